"""Torchvision's image-classification data sets, by name."""

import hashlib
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runner.data.errors import DataSettingError
from runner.data.example import Part, Source
from runner.data.listing import FileContents, Listed, source_from_listing
from runner.data.scanning import Contents, Stamp
from runner.errors import DataError, nearest_spelling
from runner.experiment import first_line

_CONNECT_TIMEOUT_S = 15.0
_BY_TRAIN = ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS")
_WHOLE = ("EuroSAT", "SEMEION", "SUN397")
# What torchvision calls the parts of its other data sets, in the order train, validation, test.
_BY_SPLIT: dict[str, tuple[str | None, str | None, str | None]] = {
    "Country211": ("train", "valid", "test"),
    "DTD": ("train", "val", "test"),
    "FGVCAircraft": ("train", "val", "test"),
    "Flowers102": ("train", "val", "test"),
    "Food101": ("train", None, "test"),
    "GTSRB": ("train", None, "test"),
    "ImageNet": ("train", "val", None),
    "Imagenette": ("train", "val", None),
    "OxfordIIITPet": ("trainval", None, "test"),
    "RenderedSST2": ("train", "val", "test"),
    "STL10": ("train", None, "test"),
    "StanfordCars": ("train", None, "test"),
    "SVHN": ("train", None, "test"),
}
TORCHVISION_SETS = tuple(sorted((*_BY_TRAIN, *_BY_SPLIT, *_WHOLE)))
_HAS_WRITING = ("MNIST", "SVHN", "USPS", "SEMEION", "GTSRB", "SST2")  # mirrored, it is another


@dataclass(frozen=True)
class ArrayContents:
    """Images that torchvision keeps in memory, given as uncompressed PNM files."""

    parts: tuple[Any, ...]
    places: tuple[tuple[int, int], ...]  # (part, index in it) by position
    ids: tuple[str, ...]
    scan_name: str
    data_hash: int

    def keys(self) -> Sequence[str]:
        """The ids."""
        return self.ids

    def stamp(self, position: int) -> Stamp:
        """The hash of all arrays together: one change looks at everything again."""
        return 0, self.data_hash

    def read(self, position: int) -> bytes:
        """One image as a PGM or PPM file: exact, and quick to write and read."""
        part, index = self.places[position]
        image = self.parts[part][index][0]
        if image.mode != "L":
            image = image.convert("RGB")
        kind = b"P5" if image.mode == "L" else b"P6"
        header = b"%s %d %d 255\n" % (kind, image.width, image.height)
        return header + bytes(image.tobytes())


def torchvision_source(
    name: str,
    *,
    root: Path,
    download: bool,
    max_unreadable: float,
    cache: Path | None,
    max_pixels: int | None = None,
) -> Source:
    """One of torchvision's data sets, with its own splits where it has them.

    Args:
        name: Class name in `torchvision.datasets`, for example `Flowers102`.
        root: Folder the set lies in, or is downloaded to.
        download: Whether torchvision may fetch it.
        max_unreadable: Share in [0, 1] of unreadable images that is tolerated.
        cache: Folder of caches, or None.
        max_pixels: As of `decode`.
    Raises:
        DataSettingError: If there is no such set, or it is not under `root`.
        DataError: If it cannot be downloaded.
    """
    if name not in TORCHVISION_SETS:
        near = nearest_spelling(name, TORCHVISION_SETS)
        hint = f"; did you mean {near!r}?" if near else ""
        raise DataSettingError(
            "data.name",
            f"no torchvision data set of that name is supported{hint}; there are "
            f"{', '.join(TORCHVISION_SETS)}",
            seen=name,
            allowed=TORCHVISION_SETS,
        )
    parts = _load_parts(name, root, download=download)
    classes = _classes(next(iter(parts.values())))
    listed, contents = _listing(name, parts, root, classes)
    source = source_from_listing(
        f"torchvision {name}",
        listed,
        contents=contents,
        classes=classes,
        max_unreadable=max_unreadable,
        cache=cache,
        max_pixels=max_pixels,
    )
    return _unmirrored(source) if any(part in name for part in _HAS_WRITING) else source


def _unmirrored(source: Source) -> Source:
    from dataclasses import replace

    return replace(source, flip_is_safe=False)


def _load_parts(name: str, root: Path, *, download: bool) -> dict[Part | None, Any]:
    """The torchvision objects of a set by part; the part is None for a set without splits."""
    wanted: dict[Part | None, dict[str, Any]] = {None: {}}
    if name in _BY_TRAIN:
        wanted = {Part.TRAIN: {"train": True}, Part.TEST: {"train": False}}
    elif name in _BY_SPLIT:
        calls = zip(Part, _BY_SPLIT[name], strict=True)
        wanted = {part: {"split": split} for part, split in calls if split is not None}
    if name != "ImageNet":
        wanted = {part: {**call, "download": download} for part, call in wanted.items()}
    return {part: _construct(name, root, call) for part, call in wanted.items()}


def _construct(name: str, root: Path, call: dict[str, Any]) -> Any:
    """One torchvision data set; its failures in our words."""
    from torchvision import datasets

    try:
        with _impatient():
            return getattr(datasets, name)(root=str(root), **call)
    except (RuntimeError, FileNotFoundError) as err:
        if call.get("download"):
            raise _unfetched(name, root, err) from err
        raise DataSettingError(
            "data.root",
            f"torchvision finds no complete {name} there ({first_line(err)}); set "
            "data.download: true to fetch it, or name the folder that holds it",
            seen=str(root),
        ) from err
    except OSError as err:
        raise _unfetched(name, root, err) from err


def _unfetched(name: str, root: Path, err: Exception) -> DataError:
    return DataError(
        f"torchvision {name} cannot be downloaded to {root} ({first_line(err)}). Without a "
        "network, copy the files there from a machine that has them and set "
        "data.download: false, or use a bundled set (data.source: bundled)"
    )


@contextmanager
def _impatient() -> Iterator[None]:
    """Connections made in this block give up after seconds; torchvision itself waits for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECT_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _classes(dataset: Any) -> tuple[str, ...]:
    """Class names in label order; numbers where torchvision knows no names."""
    names = getattr(dataset, "classes", None)
    if names:
        return _told_apart(names)
    return tuple(str(label) for label in range(max(_labels(dataset)) + 1))


def _told_apart(names: Sequence[Any]) -> tuple[str, ...]:
    """The first word for each class; all of them, or a number too, where two have the same."""
    words = [(name,) if isinstance(name, str) else tuple(map(str, name)) for name in names]
    firsts = Counter(each[0] for each in words)
    shown = [each[0] if firsts[each[0]] == 1 else ", ".join(each) for each in words]
    counts = Counter(shown)
    return tuple(
        name if counts[name] == 1 else f"{name} ({label})" for label, name in enumerate(shown)
    )


def _labels(dataset: Any) -> list[int]:
    for attribute in ("targets", "labels", "_labels"):
        values = getattr(dataset, attribute, None)
        if values is not None:
            return [int(value) for value in values]
    return [int(label) for _, label in _samples(dataset) or ()]


def _samples(dataset: Any) -> list[tuple[Any, int]] | None:
    """(file, label) pairs of a set that keeps files; None for one that keeps arrays."""
    for attribute in ("samples", "_samples", "imgs"):
        pairs = getattr(dataset, attribute, None)
        if pairs and isinstance(pairs[0][0], str | Path):
            return [(pair[0], int(pair[1])) for pair in pairs]
    for attribute in ("_image_files", "_images"):
        files = getattr(dataset, attribute, None)
        if files is not None:
            return list(zip(files, _labels(dataset), strict=True))
    return None


def _listing(
    name: str, parts: dict[Part | None, Any], root: Path, classes: tuple[str, ...]
) -> tuple[list[Listed], Contents]:
    """Names and contents of all parts."""
    samples = {part: _samples(dataset) for part, dataset in parts.items()}
    listed: list[Listed] = []
    if all(pairs is not None for pairs in samples.values()):
        paths = []
        for part, pairs in samples.items():
            for file, label in pairs or ():
                paths.append(Path(file).absolute())
                id_ = _relative(paths[-1], root)
                listed.append(Listed(id_, classes[label], split=part))
        return listed, FileContents(tuple(paths), f"torchvision:{name}:{root}")
    places = []
    for order, (part, dataset) in enumerate(parts.items()):
        for index, label in enumerate(_labels(dataset)):
            places.append((order, index))
            listed.append(Listed(f"{part or 'all'}/{index:06d}", classes[label], split=part))
    contents = ArrayContents(
        tuple(parts.values()),
        tuple(places),
        tuple(entry.id for entry in listed),
        f"torchvision:{name}:{root}",
        _hash_of_arrays(parts.values()),
    )
    return listed, contents


def _relative(path: Path, root: Path) -> str:
    base = root.absolute()
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def _hash_of_arrays(datasets: Any) -> int:
    """A negative number that changes with the pixels."""
    digest = hashlib.sha256()
    for dataset in datasets:
        digest.update(np.ascontiguousarray(np.asarray(dataset.data)).tobytes())
    return -1 - int(digest.hexdigest()[:12], 16)
