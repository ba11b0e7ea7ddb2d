"""Pretrained weights: where they come from, and what identifies them."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from runner.models.catalogue import canonical_name
from runner.models.hub import hub_state
from runner.models.weight_files import bundled_file, package_file, read_state

NONE = "none"
HUB = "hub"
PACKAGE_PREFIX = "package:"
BUNDLED_PREFIX = "bundled:"

_log = logging.getLogger(__name__)
# One worker runs many trials: files are read once a process, until they change on disk.
_loaded: dict[tuple[str, int], "Weights"] = {}


@dataclass(frozen=True)
class Weights:
    """Tensors by name, float32 where floating; not to be changed, trials share them.

    Attributes:
        state: The tensors under the names their file gives them.
        fingerprint: sha256 over names, dtypes, shapes and bytes, in order of name.
        description: Where they come from, for people.
    """

    state: Mapping[str, torch.Tensor] = field(repr=False)
    fingerprint: str
    description: str


def load_weights(weights: str, name: str, *, base: Path) -> Weights | None:
    """The pretrained weights an experiment asks for, read once a process.

    Args:
        weights: `hub`, `none`, `bundled:<name>`, `package:<distribution>` or a file path.
        name: Model name; `hub` needs it.
        base: Folder a relative path starts from.
    Returns:
        None for `none`.
    Raises:
        WeightsUnavailable: If they cannot be had here; the message says what to do instead.
    """
    if weights == NONE:
        return None
    if weights == HUB:
        return _remembered((f"hub:{canonical_name(name)}", 0), name)
    path = weights_file(weights, base=base)
    if not path.is_file():
        read_state(path)
    return _remembered((str(path), path.stat().st_mtime_ns), name)


def weights_file(weights: str, *, base: Path) -> Path:
    """The file behind a `weights` setting other than `hub` and `none`; a path may lead nowhere.

    Raises:
        WeightsUnavailable: If the package or the bundled weights are not here.
    """
    if weights.startswith(BUNDLED_PREFIX):
        return bundled_file(weights.removeprefix(BUNDLED_PREFIX))
    if weights.startswith(PACKAGE_PREFIX):
        return package_file(weights.removeprefix(PACKAGE_PREFIX))
    return (base / weights).resolve()


def _remembered(key: tuple[str, int], name: str) -> Weights:
    known = _loaded.get(key)
    if known is None:
        location = key[0]
        state = hub_state(name) if location.startswith("hub:") else read_state(Path(location))
        known = Weights(state, fingerprint(state), location)
        _loaded[key] = known
        _log.info("weights: %s (%d tensors)", location, len(state))
    return known


def fingerprint(state: Mapping[str, torch.Tensor]) -> str:
    """sha256 over the sorted (name, dtype, shape, bytes) of tensors, as 64 hex digits."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
