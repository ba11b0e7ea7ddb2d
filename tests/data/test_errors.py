"""The data room's error crosses a process border whole."""

import pickle

import pytest

from runner.data.errors import DataSettingError, counted, named


def test_data_setting_error_survives_pickling():
    error = DataSettingError("data.path", "is wrong", seen="x", allowed=("y", "z"))

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is DataSettingError
    assert (copy.key, copy.rule, copy.seen, copy.allowed) == (
        "data.path",
        "is wrong",
        "x",
        ("y", "z"),
    )
    assert str(copy) == "data.path: is wrong (seen: x)"


def test_named_shows_a_few_and_counts_the_rest():
    assert named(["a", "b"]) == "a, b"
    assert named(["a", "b", "c"], at_most=2) == "a, b and 1 more"


@pytest.mark.parametrize(
    ("count", "noun", "expected"),
    [(1, "file", "1 file"), (0, "file", "0 files"), (2, "class", "2 classes")],
)
def test_counted_agrees_in_number(count, noun, expected):
    assert counted(count, noun) == expected
