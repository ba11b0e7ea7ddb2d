"""Train, validation and test: seeded, stratified, groups and duplicates kept together."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runner.data.allocation import allocate
from runner.data.errors import counted, named
from runner.data.example import Label, Labelled, Part
from runner.data.labelling import NOUNS
from runner.data.strata import class_indices, entity_type
from runner.data.units import units_of
from runner.errors import DataError
from runner.experiment import LabelKind

Positions = dict[Part, list[int]]
# Where examples of two given parts are exact duplicates, the part named later keeps its own.
_KEEPS = (Part.TRAIN, Part.VALIDATION, Part.TEST)


@dataclass(frozen=True)
class Split:
    """Positions of examples in their source, by part, each in the order of the ids.

    Attributes:
        train: What trials train on.
        validation: What trials are compared on.
        test: What only promotion looks at.
        fingerprint: SHA-256 over the example ids of each part.
        notes: What a user should know: classes too small for every part, duplicates left out.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    fingerprint: str
    notes: tuple[str, ...]


def make_split(
    source: Labelled, *, train: float, validation: float, test: float, seed: int
) -> Split:
    """The split of a source, the same on every machine.

    A source that gives its own parts keeps them; parts it lacks are carved from its train part
    in the asked proportion. Else the shares apply. Members of a group, and exact duplicates,
    are never on two sides.

    Args:
        source: What to split.
        train: Share of the examples, as are `validation` and `test`; only their ratio counts.
        validation: See `train`.
        test: See `train`; 0 leaves the test part empty.
        seed: Decides who goes where.
    Raises:
        DataError: If a class is missing from the train part, a group is in two given parts, or
            train or validation would be empty.
    """
    shares = {Part.TRAIN: train, Part.VALIDATION: validation, Part.TEST: test}
    notes: list[str] = _conflicting_duplicates(source)
    given = _given_parts(source)
    if given:
        _refuse_torn_groups(source, given)
        notes += _drop_leaks(source, given)
        asked = {part for part, share in shares.items() if share > 0}
        carved = sorted(asked - given.keys() - {Part.TRAIN})
        parts = _carve(source, given, {part: shares[part] for part in carved}, seed)
        _refuse_lopsided(source, parts, is_all_given=not carved)
    else:
        parts = _share_out(source, range(len(source.examples)), shares, seed)
    return _finished(source, parts, notes)


def _given_parts(source: Labelled) -> Positions:
    """The source's own parts; empty where it gives none."""
    given: Positions = defaultdict(list)
    without = []
    for position, example in enumerate(source.examples):
        if example.split is None:
            without.append(example.id)
        else:
            given[example.split].append(position)
    if given and without:
        raise DataError(
            f"{source.name}: {counted(len(without), 'example')} without a given split beside "
            f"others that have one: {named(without)}. Give all of them a split, or none"
        )
    if given and not given.get(Part.TRAIN):
        raise DataError(f"{source.name}: the given splits ({named(sorted(given))}) lack train")
    return dict(given)


def _refuse_torn_groups(source: Labelled, given: Positions) -> None:
    part_of: dict[str, Part] = {}
    for part, positions in given.items():
        for position in positions:
            group = source.examples[position].group
            if group is not None and part_of.setdefault(group, part) is not part:
                raise DataError(
                    f"{source.name}: the group {group!r} is in the given splits "
                    f"{part_of[group]} and {part}; a group must stay on one side"
                )


def _drop_leaks(source: Labelled, given: Positions) -> list[str]:
    """Take examples out of a part where a later one has the very same; say which."""
    notes = []
    kept_by: dict[str, Part] = {}
    for part in reversed(_KEEPS):
        leaked = [
            position
            for position in given.get(part, ())
            if kept_by.setdefault(source.examples[position].digest, part) is not part
        ]
        if leaked:
            gone = set(leaked)
            given[part] = [position for position in given[part] if position not in gone]
            names = sorted(source.examples[position].id for position in leaked)
            notes.append(
                f"left {counted(len(names), 'example')} out of {part}: an exact duplicate is in "
                f"a later part ({named(names)})"
            )
    return notes


def _carve(source: Labelled, given: Positions, missing: dict[Part, float], seed: int) -> Positions:
    """The given parts, and those missing taken out of train."""
    if not missing:
        return given
    rest = 1.0 - sum(missing.values())
    pool = given[Part.TRAIN]
    return {**given, **_share_out(source, pool, {Part.TRAIN: rest, **missing}, seed)}


def _share_out(
    source: Labelled, positions: Sequence[int], shares: dict[Part, float], seed: int
) -> Positions:
    whole = sum(shares.values())
    units = units_of(source, positions, seed=seed)
    allocated = allocate(units, {part: share / whole for part, share in shares.items()})
    return {
        part: [position for unit in members for position in unit.positions]
        for part, members in allocated.items()
    }


def _holders(source: Labelled, positions: Iterable[int]) -> Counter[int]:
    """How many examples have each of the classes."""
    examples = source.examples
    return Counter(
        index
        for position in positions
        for index in class_indices(examples[position].label, source.kind)
    )


def _refuse_lopsided(source: Labelled, parts: Positions, *, is_all_given: bool) -> None:
    """Given parts that do not share their classes are mostly a misspelt folder."""
    noun = NOUNS.get(source.kind, "")  # numbers have no classes, so nothing is found below
    train = _holders(source, parts.get(Part.TRAIN, ()))
    elsewhere = Counter[int]()
    for part in (Part.VALIDATION, Part.TEST):
        elsewhere += _holders(source, parts.get(part, ()))
    unlearnt = [source.classes[index] for index in sorted(elsewhere) if index not in train]
    if source.kind is LabelKind.TAGS:
        # A rare `I-x` alone is no mistake of the file's: entities of its type are learnt.
        learnt = {entity_type(source.classes[index]) for index in train}
        unlearnt = [tag for tag in unlearnt if entity_type(tag) not in learnt]
    if unlearnt:
        raise DataError(
            f"{source.name}: {counted(len(unlearnt), noun)} in validation or test but not in "
            f"train: {named(unlearnt)}. Of all {counted(len(source.classes), noun)} there are "
            f"{named(source.classes, at_most=20)}. Check the spelling, take these examples out, "
            "or drop the given splits so that the shares apply"
        )
    untested = [source.classes[index] for index in sorted(train) if index not in elsewhere]
    if untested and is_all_given and source.kind is LabelKind.CLASS:
        raise DataError(
            f"{source.name}: {counted(len(untested), 'class')} in train but neither in "
            f"validation nor in test: {named(untested)}. Check the spelling of the class "
            "folders or labels, or drop the given splits so that the shares apply"
        )


def _conflicting_duplicates(source: Labelled) -> list[str]:
    """A note on content that occurs with two labels: one of them is wrong."""
    labels: dict[str, set[Label]] = defaultdict(set)
    for example in source.examples:
        labels[example.digest].add(example.label)
    wrong = [example.id for example in source.examples if len(labels[example.digest]) > 1]
    if not wrong:
        return []
    return [
        f"{counted(len(wrong), 'example')} have an exact duplicate with another label: "
        f"{named(sorted(wrong))}"
    ]


def _small_classes(source: Labelled, parts: Positions) -> list[str]:
    """A note on classes that one of the parts in use does not see."""
    noun = NOUNS.get(source.kind, "")
    counts = {part: _holders(source, positions) for part, positions in parts.items()}
    notes = []
    for part in Part:
        absent = [
            f"{source.classes[index]!r} ({sum(c[index] for c in counts.values())})"
            for index in range(len(source.classes))
            if parts.get(part) and not counts[part][index]
        ]
        if absent:
            notes.append(
                f"{counted(len(absent), noun)} too small, or in too few groups, to be in "
                f"{part}: {named(absent)} (examples in all)"
            )
    return notes


def _finished(source: Labelled, parts: Positions, notes: list[str]) -> Split:
    """The split, checked and fingerprinted."""
    ids = {part: sorted((source.examples[p].id, p) for p in parts.get(part, ())) for part in Part}
    for part in (Part.TRAIN, Part.VALIDATION):
        if not ids[part]:
            raise DataError(
                f"{source.name}: nothing is left for {part}; {len(source.examples)} examples in "
                "these groups cannot be shared out as data.split asks"
            )
    text = json.dumps({part: [id_ for id_, _ in ids[part]] for part in Part}, sort_keys=True)
    return Split(
        train=tuple(position for _, position in ids[Part.TRAIN]),
        validation=tuple(position for _, position in ids[Part.VALIDATION]),
        test=tuple(position for _, position in ids[Part.TEST]),
        fingerprint=hashlib.sha256(text.encode()).hexdigest(),
        notes=tuple(notes + _small_classes(source, parts)),
    )
