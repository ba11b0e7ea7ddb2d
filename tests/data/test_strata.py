"""What splits of each kind of label are stratified by, and how they come out."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.data.example import Example, Part, TextSource
from runner.data.split import Split, make_split
from runner.data.strata import class_indices, entity_type, strata
from runner.errors import DataError
from runner.experiment import LabelKind

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
TAGS = ("O", "B-LOC", "B-PER", "I-PER", "NOUN")


def texts(kind: LabelKind, labels, *, classes=(), parts=None) -> TextSource:
    examples = tuple(
        Example(f"{n:05d}", label, f"{n:064x}", split=parts[n] if parts else None)
        for n, label in enumerate(labels)
    )
    return TextSource("here", kind, classes, examples, (), [str(n) for n in range(len(labels))])


def several(labels, **facts) -> TextSource:
    return texts(LabelKind.CLASSES, labels, classes=("a", "b", "c"), **facts)


def sides(split: Split) -> list[tuple[int, ...]]:
    return [split.train, split.validation, split.test]


def test_stratum_of_a_class_is_the_class():
    assert strata(texts(LabelKind.CLASS, [2, 0, 1], classes=("a", "b", "c"))) == (2, 0, 1)


def test_strata_of_numbers_are_tenths_by_rank_with_equal_ones_together():
    values = [float(n) for n in range(200)]
    assert Counter(strata(texts(LabelKind.NUMBER, values))) == dict.fromkeys(range(10), 20)

    tied = strata(texts(LabelKind.NUMBER, [0.0] * 150 + values[1:51]))
    assert set(tied[:150]) == {0}
    assert set(tied[150:]) == {7, 8, 9}


def test_strata_of_few_numbers_hold_ten_each():
    assert Counter(strata(texts(LabelKind.NUMBER, [3.0 * n for n in range(35)]))) == {
        0: 12,
        1: 12,
        2: 11,
    }
    assert set(strata(texts(LabelKind.NUMBER, [1.0, 2.0]))) == {0}


def test_stratum_of_several_labels_is_the_rarest_and_none_has_its_own():
    source = several([(0,), (0, 1), (0, 1, 2), (), (1,)])

    assert strata(source) == (0, 0, 2, 3, 1)


def test_stratum_of_tags_is_the_rarest_type_of_entity():
    labels = [(0, 0), (2, 3, 0), (2, 1), (3,), (4,), (4, 0)]

    found = strata(texts(LabelKind.TAGS, labels, classes=TAGS))

    assert found[1] == found[3] != found[2]
    assert found[4] == found[5] not in found[:4]
    assert found[0] == len(TAGS)


@pytest.mark.parametrize(
    ("tag", "kind"),
    [("O", None), ("B-PER", "PER"), ("I-a-b", "a-b"), ("NOUN", "NOUN"), ("B", "B")],
)
def test_entity_type_is_what_follows_the_mark(tag, kind):
    assert entity_type(tag) == kind


def test_class_indices_of_a_number_are_none():
    assert class_indices(3.0, LabelKind.NUMBER) == set()
    assert class_indices(3, LabelKind.CLASS) == {3}
    assert class_indices((1, 0, 1), LabelKind.TAGS) == {0, 1}


def test_numbers_are_spread_alike_over_the_parts():
    source = texts(LabelKind.NUMBER, [float(n) ** 2 for n in range(300)])

    split = make_split(source, **SHARES, seed=0)

    assert [len(side) for side in sides(split)] == [240, 30, 30]
    for side in sides(split):
        tenth = len(side) // 10
        assert Counter(position // 30 for position in side) == dict.fromkeys(range(10), tenth)
    assert split.notes == ()


def test_few_numbers_are_shared_out_as_asked():
    source = texts(LabelKind.NUMBER, [float(n) for n in range(20)])

    assert [len(side) for side in sides(make_split(source, **SHARES, seed=0))] == [16, 2, 2]


def test_rare_labels_are_in_every_part():
    source = several([(0,)] * 100 + [(0, 1)] * 30 + [(0, 2)] * 10)

    split = make_split(source, **SHARES, seed=3)

    held = [Counter(source.examples[p].label for p in side) for side in sides(split)]
    assert [counts[(0, 2)] for counts in held] == [8, 1, 1]
    assert [counts[(0, 1)] for counts in held] == [24, 3, 3]


@settings(max_examples=80, deadline=None)
@given(
    labels=st.lists(
        st.lists(st.integers(0, 5), max_size=3, unique=True).map(lambda x: tuple(sorted(x))),
        min_size=15,
        max_size=50,
    ),
    seed=st.integers(0, 100),
)
def test_no_label_is_outside_training_alone(labels, seed):
    source = texts(LabelKind.CLASSES, labels, classes=tuple("abcdef"))

    split = make_split(source, **SHARES, seed=seed)

    in_train = {index for p in split.train for index in labels[p]}
    assert in_train == {index for label in labels for index in label}
    assert sorted(p for side in sides(split) for p in side) == list(range(len(labels)))


GIVEN = [Part.TRAIN, Part.TRAIN, Part.VALIDATION, Part.TEST]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            several([(0,), (0,), (0,), (0, 2)], parts=GIVEN),
            "1 label in validation or test but not in train: c. Of all 3 labels there are a, b, c",
        ),
        (
            texts(LabelKind.TAGS, [(2, 3), (0,), (1,), (0, 4)], classes=TAGS, parts=GIVEN),
            "2 tags in validation or test but not in train: B-LOC, NOUN",
        ),
    ],
)
def test_labels_that_only_later_parts_have_are_refused_by_name(source, message):
    with pytest.raises(DataError, match=message):
        make_split(source, **SHARES, seed=0)


def test_labels_that_only_train_has_are_noted():
    split = make_split(several([(0, 1), (0,), (0,), (0,)], parts=GIVEN), **SHARES, seed=0)

    assert any("2 labels too small" in note and "'b' (1)" in note for note in split.notes)


def test_given_parts_of_numbers_are_kept():
    source = texts(LabelKind.NUMBER, [1.0, 2.0, 50.0, -3.0], parts=GIVEN)

    split = make_split(source, **SHARES, seed=0)

    assert sides(split) == [(0, 1), (2,), (3,)]
    assert split.notes == ()


def test_same_text_with_another_number_is_noted():
    examples = tuple(
        Example(f"{n:05d}", float(n), "same" if n < 2 else f"{n:064x}") for n in range(20)
    )
    source = TextSource("here", LabelKind.NUMBER, (), examples, (), ["x"] * 20)

    (note,) = make_split(source, **SHARES, seed=0).notes

    assert note == "2 examples have an exact duplicate with another label: 00000, 00001"
