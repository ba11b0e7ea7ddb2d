"""From a list of labelled texts to an opened source: what tables, CoNLL files and hubs share."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.data.errors import counted, named
from runner.data.example import Text, TextSource
from runner.data.labelling import (
    in_order,
    names_in,
    refuse_empty_classes,
    refuse_one_label,
    tag_classes,
    used_classes,
)
from runner.data.labels import RawLabel
from runner.data.listing import Listed, examples_of
from runner.data.strata import OUTSIDE
from runner.errors import DataError
from runner.experiment import LabelKind

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextListing:
    """Labelled texts as they were found.

    Attributes:
        name: How messages call the source.
        listed: What is there; ids are unique.
        texts: The text of each.
        place: Where one stands, by position, for messages: "reviews.csv, line 3".
    """

    name: str
    listed: Sequence[Listed]
    texts: Sequence[Text]
    place: Callable[[int], str]


def texts_from_listing(
    listing: TextListing,
    *,
    kind: LabelKind,
    classes: tuple[str, ...] | None = None,
    max_empty: float,
) -> TextSource:
    """A source of those texts that are not empty, sorted by id.

    Args:
        listing: What is there.
        kind: How they are labelled.
        classes: Class names in the order of their labels, those that never occur left out; None
            sorts those that occur, as numbers if all are. Tags are always sorted, "O" first.
        max_empty: Share in [0, 1] of empty texts above which this is an error.
    Raises:
        DataError: If there is nothing, all labels are the same, a class is left without a text,
            or too many texts are empty.
    """
    name, listed, texts = listing.name, listing.listed, listing.texts
    if not listed:
        raise DataError(f"{name}: no texts found")
    labels = [entry.label for entry in listed]
    classes = _classes(name, labels, kind, classes)
    refuse_one_label(name, "text", labels, kind, classes)
    _warn_of_tags_without_names(name, labels, kind)
    order = sorted(range(len(listed)), key=lambda position: listed[position].id)
    kept = [position for position in order if not is_empty(texts[position], kind)]
    empty = [position for position in order if is_empty(texts[position], kind)]
    _refuse_too_many(name, [listing.place(i) for i in empty], len(listed), max_empty)
    refuse_empty_classes(name, "text", [labels[position] for position in kept], kind, classes)
    digests = [digest_of_text(texts[position]) for position in kept]
    examples = examples_of([listed[position] for position in kept], digests, kind, classes)
    unreadable = tuple(f"{listed[position].id}: empty text" for position in empty)
    return TextSource(name, kind, classes, examples, unreadable, [texts[i] for i in kept])


def is_empty(text: Text, kind: LabelKind) -> bool:
    """Whether a text is white space alone, or one of a pair is, or there is no word."""
    if isinstance(text, str):
        return not text.strip()
    blank = [not part.strip() for part in text]
    return all(blank) if kind is LabelKind.TAGS else any(blank)


def digest_of_text(text: Text) -> str:
    """SHA-256 of a text, a pair or a list of words, in hexadecimal."""
    # The zero byte keeps a list of texts from having the digest of a text that looks like it.
    content = text if isinstance(text, str) else "\0" + json.dumps(text)
    return hashlib.sha256(content.encode()).hexdigest()


def _classes(
    name: str, labels: Sequence[RawLabel], kind: LabelKind, given: tuple[str, ...] | None
) -> tuple[str, ...]:
    if kind is LabelKind.TAGS:
        return tag_classes(labels)
    if given is not None:
        return used_classes(name, labels, kind, given)
    return in_order({class_name for label in labels for class_name in names_in(label)})


def _warn_of_tags_without_names(name: str, labels: Sequence[RawLabel], kind: LabelKind) -> None:
    """Tags that were exported as numbers have lost what the scores go by."""
    if kind is LabelKind.TAGS and not any(OUTSIDE in names_in(label) for label in labels):
        log.warning(
            "%s: no word has the tag %s, so every run of words with one tag counts as an entity",
            name,
            OUTSIDE,
        )


def _refuse_too_many(name: str, empty: list[str], total: int, max_empty: float) -> None:
    if not empty:
        return
    if len(empty) > max_empty * total:
        raise DataError(
            f"{name}: {len(empty)} of {counted(total, 'text')} empty ({len(empty) / total:.1%}), "
            f"above data.max_empty = {max_empty:g}: {named(empty, at_most=10)}. Fill or remove "
            "them, or raise the setting to leave them out"
        )
    log.warning(
        "%s: %s of %d empty and left out: %s",
        name,
        counted(len(empty), "text"),
        total,
        named(empty, at_most=10),
    )
