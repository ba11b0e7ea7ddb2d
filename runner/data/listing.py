"""From a list of labelled names to an opened source: what folders, manifests and hubs share."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from runner.data.decoding import Unreadable, decode
from runner.data.errors import counted, named
from runner.data.example import Example, ImageReader, Part, Source
from runner.data.labelling import (
    in_order,
    indexed,
    names_in,
    refuse_empty_classes,
    refuse_one_label,
    used_classes,
)
from runner.data.labels import RawLabel
from runner.data.local_files import read_regular_file
from runner.data.scanning import Contents, Finding, Stamp, digest_of, scan
from runner.errors import DataError
from runner.experiment import LabelKind

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a listing, before its content was looked at."""

    id: str
    label: RawLabel
    group: str | None = None
    split: Part | None = None


@dataclass(frozen=True)
class FileContents:
    """Images in files of their own.

    Attributes:
        paths: Absolute paths by position.
        scan_name: What tells this set from others in the cache of scans.
    """

    paths: tuple[Path, ...]
    scan_name: str

    def keys(self) -> Sequence[str]:
        """Absolute paths."""
        return [str(path) for path in self.paths]

    def stamp(self, position: int) -> Stamp | None:
        """Size and time of change."""
        try:
            status = self.paths[position].stat()
        except (OSError, ValueError):
            return None
        return status.st_size, status.st_mtime_ns

    def read(self, position: int) -> bytes:
        """The whole file; see `Contents.read`."""
        return read_regular_file(self.paths[position])


def source_from_listing(
    name: str,
    listed: Sequence[Listed],
    *,
    contents: Contents,
    kind: LabelKind = LabelKind.CLASS,
    classes: tuple[str, ...] | None = None,
    max_unreadable: float,
    cache: Path | None,
    max_pixels: int | None = None,
    notes: tuple[str, ...] = (),
) -> Source:
    """A source of the readable ones among the listed images, sorted by id.

    Args:
        name: How messages call the source.
        listed: What is there; position i's image is position i of `contents`.
        contents: Gives the encoded images.
        kind: How they are labelled; not by tags.
        classes: Class names in the order of their labels, those that never occur left out;
            None sorts those that occur.
        max_unreadable: Share in [0, 1] of unreadable images above which this is an error.
        cache: Folder of caches, or None.
        max_pixels: As of `decode`.
        notes: What a user should know of the listing.
    Raises:
        DataError: If there is nothing, only one class, a class without a readable image, or
            too much is unreadable.
    """
    if not listed:
        raise DataError(f"{name}: no images found")
    labels = [entry.label for entry in listed]
    classes = _classes(name, labels, kind, classes)
    refuse_one_label(name, "image", labels, kind, classes)
    _refuse_repeated_ids(name, listed)
    findings = scan(contents, cache=cache, max_pixels=max_pixels)
    order = sorted(range(len(listed)), key=lambda position: listed[position].id)
    unreadable = _unreadable(name, [listed[i] for i in order], [findings[i] for i in order])
    _refuse_too_many(name, unreadable, len(listed), max_unreadable)
    kept = [position for position in order if findings[position].problem is None]
    refuse_empty_classes(name, "image", [labels[i] for i in kept], kind, classes)
    digests = [findings[position].digest for position in kept]
    examples = examples_of([listed[i] for i in kept], digests, kind, classes)
    reader = _reader(contents, kept, examples, max_pixels)
    return Source(
        name,
        classes,
        examples,
        unreadable,
        flip_is_safe=True,
        reader=reader,
        kind=kind,
        notes=notes,
    )


def examples_of(
    listed: Sequence[Listed], digests: Sequence[str], kind: LabelKind, classes: tuple[str, ...]
) -> tuple[Example, ...]:
    """Listed entries as examples, their labels indexed.

    Args:
        listed: The usable entries.
        digests: Of the content of each.
        kind: How they are labelled.
        classes: What labels index.
    """
    index = {class_name: place for place, class_name in enumerate(classes)}
    return tuple(
        Example(entry.id, indexed(entry.label, kind, index), digest, entry.group, entry.split)
        for entry, digest in zip(listed, digests, strict=True)
    )


def _classes(
    name: str, labels: Sequence[RawLabel], kind: LabelKind, given: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The classes that occur, in the order given, else sorted."""
    if given is not None:
        return used_classes(name, labels, kind, given)
    names = {class_name for label in labels for class_name in names_in(label)}
    # Single classes of images were sorted as text from the first study on.
    return tuple(sorted(names)) if kind is LabelKind.CLASS else in_order(names)


def _refuse_repeated_ids(name: str, listed: Sequence[Listed]) -> None:
    repeated = [id_ for id_, count in Counter(entry.id for entry in listed).items() if count > 1]
    if repeated:
        raise DataError(
            f"{name}: {counted(len(repeated), 'name')} listed twice: {named(sorted(repeated))}"
        )


def _unreadable(name: str, listed: list[Listed], findings: list[Finding]) -> tuple[str, ...]:
    """Every image that cannot be used, as "id: reason"; logged once."""
    problems = tuple(
        f"{entry.id}: {finding.problem}"
        for entry, finding in zip(listed, findings, strict=True)
        if finding.problem is not None
    )
    if problems:
        log.warning(
            "%s: %s of %d unreadable and left out: %s",
            name,
            counted(len(problems), "image"),
            len(listed),
            named(problems, at_most=10),
        )
    return problems


def _refuse_too_many(
    name: str, unreadable: tuple[str, ...], total: int, max_unreadable: float
) -> None:
    if len(unreadable) > max_unreadable * total:
        raise DataError(
            f"{name}: {len(unreadable)} of {counted(total, 'image')} unreadable "
            f"({len(unreadable) / total:.1%}), above data.max_unreadable = {max_unreadable:g}: "
            f"{named(unreadable, at_most=10)}. Repair or remove them, or raise the setting"
        )


def _reader(
    contents: Contents, kept: list[int], examples: tuple[Example, ...], max_pixels: int | None
) -> ImageReader:
    """Reads the image of an example, making sure that it is still the one that was scanned."""

    def read(index: int, enough: int | None) -> Image.Image:
        """The image of one example."""
        example = examples[index]
        try:
            encoded = contents.read(kept[index])
            if digest_of(encoded) != example.digest:
                raise DataError(f"{example.id} changed since this run looked at it; start again")
            return decode(encoded, enough=enough, max_pixels=max_pixels)
        except (OSError, Unreadable) as err:
            raise DataError(f"{example.id} can no longer be read ({err}); start again") from err

    return read
