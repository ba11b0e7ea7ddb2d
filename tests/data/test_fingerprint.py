"""The fingerprint covers all that a result depends on, and a change is told by name."""

from dataclasses import replace

import pytest

from runner.data.example import Example, Part, Source
from runner.data.fingerprint import data_fingerprint, describe_change, manifest_of

EXAMPLES = tuple(Example(f"{i}.png", i % 2, f"{i:064x}") for i in range(4))


def source(*, examples=EXAMPLES, classes=("cat", "dog")) -> Source:
    def reader(index, enough):
        raise AssertionError("a fingerprint needs no pixels")

    return Source("here", classes, examples, (), flip_is_safe=True, reader=reader)


def test_fingerprint_ignores_name_and_order():
    shuffled = replace(source(examples=EXAMPLES[::-1]), name="there")

    assert data_fingerprint(shuffled) == data_fingerprint(source())


@pytest.mark.parametrize(
    "change",
    [{"label": 1}, {"digest": "f" * 64}, {"group": "g"}, {"split": Part.TEST}, {"id": "x"}],
)
def test_fingerprint_changes_with_any_fact_of_an_example(change):
    changed = source(examples=(replace(EXAMPLES[0], **change), *EXAMPLES[1:]))

    assert data_fingerprint(changed) != data_fingerprint(source())


def test_fingerprint_changes_with_class_names():
    assert data_fingerprint(source(classes=("cat", "emu"))) != data_fingerprint(source())


def test_describe_change_names_what_changed_appeared_and_vanished():
    old = manifest_of(source())
    new = {**old, "0.png": "other", "new.png": "1"}
    del new["3.png"]

    assert describe_change(old, new) == (
        "1 file changed (0.png); 1 file added (new.png); 1 file removed (3.png)"
    )


def test_describe_change_of_many_files_names_a_few_and_counts_the_rest():
    new = {f"{i}.png": "1" for i in range(8)}

    assert describe_change({}, new) == (
        "8 files added (0.png, 1.png, 2.png, 3.png, 4.png and 3 more)"
    )


def test_describe_change_of_equal_files_points_to_the_labels():
    assert describe_change(manifest_of(source()), manifest_of(source())) == (
        "every file is the same; labels, groups, given splits or class names differ"
    )
