"""What a split is stratified by, whatever kind the labels are."""

from collections import Counter
from collections.abc import Iterable, Sequence

from runner.data.example import Label, Labelled
from runner.experiment import LabelKind

_BINS = 10  # of numbers: tenths by rank ...
_LEAST_IN_BIN = 10  # ... as long as each holds enough to be shared out
_ENTITY_MARKS = ("B-", "I-")
OUTSIDE = "O"
"""The tag of a word that belongs to no entity."""


def strata(source: Labelled) -> tuple[int, ...]:
    """The stratum of each example; every part should get its share of each.

    A class is its own stratum. Numbers: tenths by rank (fewer below 100 examples), equal ones
    together. Several labels: the rarest that the example has. Tags: the rarest type of entity
    in it. Where there is none, a stratum of its own.
    """
    if source.kind is LabelKind.NUMBER:
        return _tenths([float(_whole(example.label)) for example in source.examples])
    if source.kind is LabelKind.CLASS:
        return tuple(int(_whole(example.label)) for example in source.examples)
    held = [class_indices(example.label, source.kind) for example in source.examples]
    if source.kind is LabelKind.TAGS:
        types = _type_numbers(source.classes)
        held = [{types[tag] for tag in tags if types[tag] >= 0} for tags in held]
    return _rarest(held, none=len(source.classes))


def class_indices(label: Label, kind: LabelKind) -> set[int]:
    """The indices into the classes that occur in a label; none in a number."""
    if kind is LabelKind.NUMBER:
        return set()
    return set(label) if isinstance(label, tuple) else {int(label)}


def entity_type(tag: str) -> str | None:
    """What a tag says a word is part of: `person` for `B-person`; None for `O`."""
    if tag == OUTSIDE:
        return None
    return tag[2:] if tag.startswith(_ENTITY_MARKS) else tag


def _whole(label: Label) -> int | float:
    assert not isinstance(label, tuple)  # the source's kind says so
    return label


def _tenths(values: Sequence[float]) -> tuple[int, ...]:
    bins = max(1, min(_BINS, len(values) // _LEAST_IN_BIN))
    rank: dict[float, int] = {}
    for place, value in enumerate(sorted(values)):
        rank.setdefault(value, place)
    return tuple(rank[value] * bins // len(values) for value in values)


def _type_numbers(tags: Sequence[str]) -> list[int]:
    """A number for each tag, the same for tags of one type; -1 for `O`."""
    numbers: dict[str, int] = {}
    types = [entity_type(tag) for tag in tags]
    return [-1 if name is None else numbers.setdefault(name, len(numbers)) for name in types]


def _rarest(held: Iterable[set[int]], *, none: int) -> tuple[int, ...]:
    """Of what each example has, what the fewest have; ties go to the lower index."""
    held = list(held)
    counts = Counter(index for indices in held for index in indices)
    return tuple(
        min(indices, key=lambda index: (counts[index], index)) if indices else none
        for indices in held
    )
