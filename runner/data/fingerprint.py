"""What the data were when a study began, and what has changed since."""

import hashlib
import json
from collections.abc import Mapping

from runner.data.errors import counted, named
from runner.data.example import Labelled


def data_fingerprint(source: Labelled) -> str:
    """SHA-256 over contents, labels, groups, given splits and class names, in hexadecimal.

    It depends neither on where the data lie nor on the order they were listed in.
    """
    rows = sorted(
        [example.id, example.digest, example.label, example.group, example.split]
        for example in source.examples
    )
    text = json.dumps([list(source.classes), rows], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def manifest_of(source: Labelled) -> dict[str, str]:
    """Digest by example id: what `describe_change` compares."""
    return {example.id: example.digest for example in source.examples}


def describe_change(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Which examples changed, appeared and vanished, in one line.

    Args:
        old: `manifest_of` the source as it was.
        new: `manifest_of` the source as it is.
    """
    changes = {
        "changed": sorted(name for name in old if name in new and old[name] != new[name]),
        "added": sorted(name for name in new if name not in old),
        "removed": sorted(name for name in old if name not in new),
    }
    told = [
        f"{counted(len(names), 'example')} {what} ({named(names)})"
        for what, names in changes.items()
        if names
    ]
    if told:
        return "; ".join(told)
    return "every example is the same; labels, groups, given splits or class names differ"
