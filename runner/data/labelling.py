"""From labels as they are written to what examples hold: indices into classes, or numbers."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence

from runner.data.errors import counted, named
from runner.data.example import Label
from runner.data.labels import RawLabel
from runner.data.strata import OUTSIDE
from runner.errors import DataError
from runner.experiment import LabelKind

NOUNS = {LabelKind.CLASS: "class", LabelKind.CLASSES: "label", LabelKind.TAGS: "tag"}
"""What messages call the classes of each kind of label; numbers have none."""
_NUMERAL = re.compile(r"[+-]?\d+(\.\d+)?")

log = logging.getLogger(__name__)


def names_in(label: RawLabel) -> tuple[str, ...]:
    """The names in one label; none in a number."""
    if isinstance(label, tuple):
        return label
    return (label,) if isinstance(label, str) else ()


def in_order(names: Collection[str]) -> tuple[str, ...]:
    """Names sorted, as numbers if all of them are."""
    if all(_NUMERAL.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    return tuple(sorted(names))


def used_classes(
    name: str, labels: Sequence[RawLabel], kind: LabelKind, given: tuple[str, ...]
) -> tuple[str, ...]:
    """Those of the given classes that occur, in the order given; the others are logged."""
    present = {class_name for label in labels for class_name in names_in(label)}
    unused = [class_name for class_name in given if class_name not in present]
    if unused:
        log.warning(
            "%s: left out %s without an example: %s",
            name,
            counted(len(unused), NOUNS[kind]),
            named(unused),
        )
    return tuple(class_name for class_name in given if class_name in present)


def tag_classes(labels: Sequence[RawLabel]) -> tuple[str, ...]:
    """ "O" first, whether or not it occurs, then the other tags sorted."""
    present = {tag for label in labels for tag in names_in(label)}
    return (OUTSIDE, *in_order(present - {OUTSIDE}))


def refuse_one_label(
    name: str, noun: str, labels: Sequence[RawLabel], kind: LabelKind, classes: tuple[str, ...]
) -> None:
    """Refuse labels that are all the same: there is nothing to learn.

    Args:
        name: The source, for messages.
        noun: What an example is: "image" or "text".
        labels: Of every example; at least one.
        kind: How they are to be read.
        classes: The classes that occur.
    Raises:
        DataError: If they are.
    """
    of_all = f"{name}: all {len(labels)} {noun}s"
    if kind is LabelKind.CLASS and len(classes) < 2:
        raise DataError(
            f"{of_all} are of one class, {classes[0]!r}; a classifier needs at least two"
        )
    if kind is LabelKind.TAGS:
        tags = {tag for label in labels for tag in names_in(label)}
        if len(tags) < 2:
            raise DataError(f"{of_all} have only the tag {named(sorted(tags))}; nothing to learn")
    elif kind is LabelKind.CLASSES and not classes:
        raise DataError(f"{of_all} are without a label; nothing to learn")
    elif kind is not LabelKind.CLASS and len({_plain(label) for label in labels}) < 2:
        what = "the number" if kind is LabelKind.NUMBER else "the labels"
        raise DataError(f"{of_all} have {what} {_told(labels[0])}; nothing to learn")


def refuse_empty_classes(
    name: str, noun: str, labels: Sequence[RawLabel], kind: LabelKind, classes: tuple[str, ...]
) -> None:
    """Refuse classes of which nothing usable is left.

    Raises:
        DataError: If there are any; names them.
    """
    seen = {class_name for label in labels for class_name in names_in(label)}
    needed = [class_name for class_name in classes if class_name != _without(kind)]
    empty = [class_name for class_name in needed if class_name not in seen]
    if empty:
        raise DataError(
            f"{name}: no readable {noun} in {counted(len(empty), NOUNS[kind])}: {named(empty)}. "
            f"Add {noun}s, or take the {NOUNS[kind]} out"
        )


def indexed(label: RawLabel, kind: LabelKind, index: Mapping[str, int]) -> Label:
    """A label as an example holds it.

    Args:
        label: As it was written.
        kind: How it is to be read.
        index: Place of each class.
    """
    if isinstance(label, tuple):
        places = [index[class_name] for class_name in label]
        return tuple(places if kind is LabelKind.TAGS else sorted(set(places)))
    return index[label] if isinstance(label, str) else label


def _without(kind: LabelKind) -> str | None:
    """The class that need not occur."""
    return OUTSIDE if kind is LabelKind.TAGS else None


def _plain(label: RawLabel) -> object:
    return frozenset(label) if isinstance(label, tuple) else label


def _told(label: RawLabel) -> str:
    """A label for a message."""
    if isinstance(label, tuple):
        return named(label)
    return label if isinstance(label, str) else f"{label:g}"
