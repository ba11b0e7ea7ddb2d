"""Which keys make a study what it is, and which may change between two runs of its command."""

from collections.abc import Mapping
from typing import Any

FREE_KEYS = frozenset(
    {
        "description",
        "data.max_unreadable",
        "data.max_megapixels",
        "data.max_empty",
        "data.download",
        "train.checkpoint",
        "train.compile",
        "search.trials",
        "search.time",
        "search.trial_time",
        "search.slots",
        "search.devices",
        "search.pack",
        "search.gpus_per_trial",
        "search.wave",
        "search.max_failures",
        "search.retries",
        "search.silence",
        "evaluate",
        "ray",
        "reuse",
        "tracking",
    }
)
"""Dotted keys that may change without making it another study; every other key may not."""


def is_free(key: str) -> bool:
    """Whether a dotted key, or a part it belongs to, may change within a study."""
    parts = key.split(".")
    return any(".".join(parts[:length]) in FREE_KEYS for length in range(1, len(parts) + 1))


def identity_of(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved experiment without its free keys, nested as in the file."""
    return _kept(resolved, "")


def _kept(part: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    kept = {}
    for key, value in part.items():
        if is_free(prefix + key):
            continue
        is_section = isinstance(value, Mapping) and not prefix
        kept[key] = _kept(value, f"{key}.") if is_section else value
    return kept
