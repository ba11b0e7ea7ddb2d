"""A source cut down to some of its classes."""

import pytest

from runner.data import open_source
from runner.data.errors import DataSettingError
from runner.experiment import BundledData


def digits(tmp_path, **settings):
    return open_source(
        BundledData(source="bundled", name="digits", size=5, **settings), base=tmp_path, cache=None
    )


def test_only_the_named_classes_are_left_in_their_order(tmp_path):
    whole, some = digits(tmp_path), digits(tmp_path, classes=["7", "3"])

    assert some.classes == ("7", "3")
    assert len(some.examples) == 10
    by_id = {example.id: n for n, example in enumerate(whole.examples)}
    for index, example in enumerate(some.examples):
        theirs = by_id[example.id]
        assert some.classes[example.label] == whole.classes[whole.examples[theirs].label]
        assert some.image(index).tobytes() == whole.image(theirs).tobytes()


def test_class_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(DataSettingError, match="no class eleven; .* has 0, 1, 2, 3") as caught:
        digits(tmp_path, classes=["7", "eleven"])

    assert caught.value.key == "data.classes"
    assert "9" in caught.value.allowed
