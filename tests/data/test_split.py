"""Splits: the same everywhere, stratified, groups and duplicates whole, given parts kept."""

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runner.data.example import Example, Part, Source
from runner.data.split import Split, make_split
from runner.errors import DataError

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def source(examples: list[Example]) -> Source:
    def reader(index, enough):
        raise AssertionError("a split needs no pixels")

    classes = tuple(f"class{label}" for label in range(1 + max(e.label for e in examples)))
    ordered = tuple(sorted(examples, key=lambda example: example.id))
    return Source("here", classes, ordered, (), flip_is_safe=True, reader=reader)


def example(number: int, label: int, **facts) -> Example:
    return Example(f"{number:05d}", label, **{"digest": f"{number:064x}", **facts})


def classes_of(counts: list[int], **facts) -> list[Example]:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return [example(number, label, **facts) for number, label in enumerate(labels)]


def parts_of(split: Split) -> dict[Part, tuple[int, ...]]:
    return {Part.TRAIN: split.train, Part.VALIDATION: split.validation, Part.TEST: split.test}


def labels(data: Source, positions: tuple[int, ...]) -> Counter[int]:
    return Counter(data.examples[position].label for position in positions)


def test_split_is_stratified():
    data = source(classes_of([100, 50, 30]))

    split = make_split(data, **SHARES, seed=0)

    assert labels(data, split.train) == {0: 80, 1: 40, 2: 24}
    assert labels(data, split.validation) == {0: 10, 1: 5, 2: 3}
    assert labels(data, split.test) == {0: 10, 1: 5, 2: 3}
    assert split.notes == ()


def test_split_is_the_same_on_every_machine():
    """The fingerprint was taken once; another machine, order or library must not move it."""
    split = make_split(source(classes_of([20, 20])), **SHARES, seed=7)

    assert split.validation == (1, 2, 30, 35)
    assert split.test == (15, 19, 26, 28)
    assert split.fingerprint.startswith("97cf3b5013d2")


def test_split_does_not_depend_on_listing_order():
    examples = classes_of([20, 20])
    reverse = Source("here", ("a", "b"), tuple(examples[::-1]), (), True, None)
    one, other = source(examples), reverse

    first, second = (make_split(data, **SHARES, seed=3) for data in (one, other))

    assert first.fingerprint == second.fingerprint
    assert [one.examples[p].id for p in first.test] == [other.examples[p].id for p in second.test]


def test_split_with_another_seed_is_another():
    data = source(classes_of([50, 50]))

    prints = {make_split(data, **SHARES, seed=seed).fingerprint for seed in range(5)}

    assert len(prints) == 5


def test_duplicates_are_on_one_side():
    data = source([example(n, n % 2, digest=f"{n // 4 if n < 40 else n:064x}") for n in range(80)])

    for seed in range(10):
        split = make_split(data, **SHARES, seed=seed)
        sides = [
            {data.examples[position].digest for position in positions}
            for positions in parts_of(split).values()
        ]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]


def test_duplicates_with_different_labels_are_noted_by_name():
    data = source([*classes_of([10, 10]), example(98, 0, digest="d"), example(99, 1, digest="d")])

    split = make_split(data, **SHARES, seed=0)

    assert split.notes == ("2 examples have an exact duplicate with another label: 00098, 00099",)


def test_groups_are_whole_and_still_stratified():
    data = source([example(n, (n // 5) % 2, group=f"g{n // 5}") for n in range(400)])

    split = make_split(data, **SHARES, seed=1)

    assert labels(data, split.train) == {0: 160, 1: 160}
    assert labels(data, split.validation) == {0: 20, 1: 20}
    groups = [{data.examples[p].group for p in ps} for ps in parts_of(split).values()]
    assert sum(len(each) for each in groups) == 80


def test_groups_joined_by_a_duplicate_stay_together():
    data = source(
        [
            *classes_of([20, 20]),
            example(90, 0, group="ann", digest="same"),
            example(91, 1, group="bob", digest="same"),
            example(92, 1, group="bob"),
        ]
    )

    for seed in range(10):
        split = make_split(data, **SHARES, seed=seed)
        assert sum({40, 41, 42} <= set(side) for side in parts_of(split).values()) == 1


def test_three_large_groups_give_each_part_one():
    data = source([example(n, n % 2, group=f"g{n % 3}") for n in range(60)])

    split = make_split(data, **SHARES, seed=0)

    assert [len(side) for side in parts_of(split).values()] == [20, 20, 20]


def test_one_group_only_is_refused():
    data = source([example(n, n % 2, group="all") for n in range(20)])

    with pytest.raises(DataError, match="nothing is left for validation; 20 examples in these"):
        make_split(data, **SHARES, seed=0)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (5, (3, 1, 1))]
)
def test_tiny_class_is_in_train_first_then_validation_then_test(count, expected):
    data = source(classes_of([40, count]))

    split = make_split(data, **SHARES, seed=0)

    assert tuple(labels(data, side)[1] for side in parts_of(split).values()) == expected


def test_tiny_class_is_noted_with_its_size():
    split = make_split(source(classes_of([40, 1, 2])), **SHARES, seed=0)

    assert split.notes == (
        "1 class too small, or in too few groups, to be in validation: 'class1' (1) "
        "(examples in all)",
        "2 classes too small, or in too few groups, to be in test: 'class1' (1), 'class2' (2) "
        "(examples in all)",
    )


def test_no_test_share_leaves_the_test_part_empty():
    split = make_split(source(classes_of([20, 20])), train=0.8, validation=0.2, test=0.0, seed=0)

    assert (len(split.train), len(split.validation), split.test) == (32, 8, ())


def with_parts(counts: dict[Part, list[int]], **facts) -> list[Example]:
    rows = [
        (part, label)
        for part, sizes in counts.items()
        for label, n in enumerate(sizes)
        for _ in range(n)
    ]
    return [
        example(number, label, split=part, **facts) for number, (part, label) in enumerate(rows)
    ]


def test_given_parts_are_kept_whatever_the_seed():
    data = source(with_parts({Part.TRAIN: [5, 5], Part.VALIDATION: [2, 2], Part.TEST: [1, 1]}))

    for seed in (0, 1):
        split = make_split(data, **SHARES, seed=seed)
        assert split.train == tuple(range(10))
        assert split.validation == (10, 11, 12, 13)
        assert split.test == (14, 15)


def test_missing_validation_is_carved_from_train():
    data = source(with_parts({Part.TRAIN: [50, 50], Part.TEST: [10, 10]}))

    split = make_split(data, **SHARES, seed=0)

    assert split.test == tuple(range(100, 120))
    assert labels(data, split.validation) == {0: 5, 1: 5}
    assert len(split.train) == 90


def test_missing_test_is_carved_from_train():
    data = source(with_parts({Part.TRAIN: [50, 50], Part.VALIDATION: [10, 10]}))

    split = make_split(data, **SHARES, seed=0)

    assert split.validation == tuple(range(100, 120))
    assert labels(data, split.test) == {0: 5, 1: 5}


def test_train_alone_is_shared_out_as_asked():
    data = source(with_parts({Part.TRAIN: [50, 50]}))

    split = make_split(data, **SHARES, seed=0)

    assert [len(side) for side in parts_of(split).values()] == [80, 10, 10]


def test_image_that_is_in_train_and_test_is_left_out_of_train_and_noted():
    data = source(
        [
            *with_parts({Part.TRAIN: [5, 5], Part.VALIDATION: [2, 2], Part.TEST: [2, 2]}),
            example(90, 0, split=Part.TRAIN, digest="same"),
            example(91, 0, split=Part.TEST, digest="same"),
        ]
    )

    split = make_split(data, **SHARES, seed=0)

    assert 18 not in split.train
    assert 19 in split.test
    assert split.notes == (
        "left 1 example out of train: an exact duplicate is in a later part (00090)",
    )


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {Part.TRAIN: [5, 0, 5], Part.TEST: [2, 2, 2], Part.VALIDATION: [1, 0, 1]},
            "1 class in validation or test but not in train: class1",
        ),
        (
            {Part.TRAIN: [5, 5, 5], Part.TEST: [2, 0, 2], Part.VALIDATION: [1, 0, 1]},
            "1 class in train but neither in validation nor in test: class1",
        ),
        ({Part.VALIDATION: [5, 5], Part.TEST: [2, 2]}, r"given splits \(test, validation\) lack"),
    ],
)
def test_given_parts_that_do_not_fit_are_refused_by_name(counts, message):
    """Fails where a class that train lacks is let through."""
    with pytest.raises(DataError, match=message):
        make_split(source(with_parts(counts)), **SHARES, seed=0)


def test_group_in_two_given_parts_is_refused_by_name():
    examples = with_parts({Part.TRAIN: [5, 5], Part.TEST: [2, 2]}, group="ann")

    with pytest.raises(DataError, match="the group 'ann' is in the given splits train and test"):
        make_split(source(examples), **SHARES, seed=0)


def test_examples_without_a_part_beside_others_are_refused_by_name():
    examples = [*with_parts({Part.TRAIN: [5, 5]}), example(99, 0)]

    with pytest.raises(DataError, match=r"1 example without a given split beside others .* 00099"):
        make_split(source(examples), **SHARES, seed=0)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(0, 30)),
        min_size=12,
        max_size=60,
    ),
    seed=st.integers(0, 1000),
)
def test_any_split_covers_all_once_and_tears_nothing(rows, seed):
    """Random labels, groups (above 9: none) and digests."""
    data = source(
        [
            example(n, label, group=f"g{group}" if group < 9 else None, digest=f"{digest:064x}")
            for n, (label, group, digest) in enumerate(rows)
        ]
    )
    try:
        split = make_split(data, **SHARES, seed=seed)
    except DataError as err:
        assume("nothing is left for validation" not in str(err))
        raise
    sides = parts_of(split)
    assert sorted(p for side in sides.values() for p in side) == list(range(len(rows)))
    assert set(labels(data, split.train)) == {label for label, _, _ in rows}
    for fact in ("digest", "group"):
        seen = [
            {getattr(data.examples[p], fact) for p in side} - {None} for side in sides.values()
        ]
        assert sum(map(len, seen)) == len(set().union(*seen))
