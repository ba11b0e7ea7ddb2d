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
from runner.data.scanning import Contents, Finding, Stamp, digest_of, scan
from runner.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a listing, before its file was looked at."""

    id: str
    class_name: str
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
            stat = self.paths[position].stat()
        except OSError:
            return None
        return stat.st_size, stat.st_mtime_ns

    def read(self, position: int) -> bytes:
        """The whole file."""
        return self.paths[position].read_bytes()


def source_from_listing(
    name: str,
    listed: Sequence[Listed],
    *,
    contents: Contents,
    classes: tuple[str, ...] | None = None,
    max_unreadable: float,
    cache: Path | None,
) -> Source:
    """A source of the readable ones among the listed images, sorted by id.

    Args:
        name: How messages call the source.
        listed: What is there; position i's image is position i of `contents`.
        contents: Gives the encoded images.
        classes: Class names in the order of their labels, those that never occur left out;
            None sorts those that occur.
        max_unreadable: Share in [0, 1] of unreadable images above which this is an error.
        cache: Folder of caches, or None.
    Raises:
        DataError: If there is nothing, only one class, a class without a readable image, or
            too much is unreadable.
    """
    if not listed:
        raise DataError(f"{name}: no images found")
    classes = _used_classes(name, listed, classes)
    if len(classes) < 2:
        raise DataError(
            f"{name}: all {len(listed)} images are of one class, {classes[0]!r}; a classifier "
            "needs at least two"
        )
    _refuse_repeated_ids(name, listed)
    findings = scan(contents, cache=cache)
    order = sorted(range(len(listed)), key=lambda position: listed[position].id)
    unreadable = _unreadable(name, [listed[i] for i in order], [findings[i] for i in order])
    _refuse_too_many(name, unreadable, len(listed), max_unreadable)
    kept = [position for position in order if findings[position].problem is None]
    examples = _examples(kept, listed, findings, classes)
    _refuse_empty_class(name, examples, classes)
    reader = _reader(contents, kept, examples)
    return Source(name, classes, examples, unreadable, flip_is_safe=True, reader=reader)


def _used_classes(
    name: str, listed: Sequence[Listed], classes: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The classes that occur, in the order given, else sorted."""
    present = {entry.class_name for entry in listed}
    if classes is None:
        return tuple(sorted(present))
    unused = [class_name for class_name in classes if class_name not in present]
    if unused:
        log.warning(
            "%s: left out %s without an example: %s",
            name,
            counted(len(unused), "class"),
            named(unused),
        )
    return tuple(class_name for class_name in classes if class_name in present)


def _refuse_repeated_ids(name: str, listed: Sequence[Listed]) -> None:
    repeated = [id_ for id_, count in Counter(entry.id for entry in listed).items() if count > 1]
    if repeated:
        raise DataError(
            f"{name}: {counted(len(repeated), 'name')} listed twice: {named(sorted(repeated))}"
        )


def _examples(
    kept: list[int], listed: Sequence[Listed], findings: list[Finding], classes: tuple[str, ...]
) -> tuple[Example, ...]:
    labels = {class_name: label for label, class_name in enumerate(classes)}
    return tuple(
        Example(
            id=listed[position].id,
            label=labels[listed[position].class_name],
            digest=findings[position].digest,
            group=listed[position].group,
            split=listed[position].split,
        )
        for position in kept
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


def _refuse_empty_class(
    name: str, examples: tuple[Example, ...], classes: tuple[str, ...]
) -> None:
    seen = {example.label for example in examples}
    empty = [class_name for label, class_name in enumerate(classes) if label not in seen]
    if empty:
        raise DataError(
            f"{name}: no readable image in {counted(len(empty), 'class')}: {named(empty)}. "
            "Add images, or take the class out"
        )


def _reader(contents: Contents, kept: list[int], examples: tuple[Example, ...]) -> ImageReader:
    """Reads the image of an example, making sure that it is still the one that was scanned."""

    def read(index: int, enough: int | None) -> Image.Image:
        """The image of one example."""
        example = examples[index]
        try:
            encoded = contents.read(kept[index])
            if digest_of(encoded) != example.digest:
                raise DataError(f"{example.id} changed since this run looked at it; start again")
            return decode(encoded, enough=enough)
        except (OSError, Unreadable) as err:
            raise DataError(f"{example.id} can no longer be read ({err}); start again") from err

    return read
