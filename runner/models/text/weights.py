"""Tensors of a text model: one file or several, read once a process."""

import logging
from pathlib import Path

import torch

from runner.errors import WeightsUnavailable
from runner.models.text.locations import TextFiles
from runner.models.weight_files import SUFFIXES, read_state
from runner.models.weights import Weights, fingerprint

_log = logging.getLogger(__name__)
_loaded: dict[tuple[tuple[Path, int], ...], Weights] = {}
# transformers' name for a pickle of tensors; it is read as one, with weights_only.
_TEXT_SUFFIXES = (*SUFFIXES, ".bin")


def load_text_weights(files: TextFiles) -> Weights | None:
    """The pretrained tensors of a text model, float32, read once a process.

    Returns:
        None for random weights.
    Raises:
        WeightsUnavailable: If a file is damaged, or a pickle that needs code to load.
    """
    if not files.weights:
        return None
    key = tuple((path, path.stat().st_mtime_ns) for path in files.weights)
    known = _loaded.get(key)
    if known is None:
        state = _merged(files.weights)
        known = Weights(state, fingerprint(state), files.description)
        _loaded[key] = known
        _log.info("weights: %s (%d tensors)", files.description, len(state))
    return known


def _merged(paths: tuple[Path, ...]) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for path in paths:
        part = read_state(path, suffixes=_TEXT_SUFFIXES)
        doubled = sorted(state.keys() & part.keys())
        if doubled:
            raise WeightsUnavailable(f"weights file {path}: {doubled[0]} is in two of the files")
        state.update(part)
    return state
