"""A file with everything, or a file for each part."""

import pytest

from runner.data.errors import DataSettingError
from runner.data.example import Part
from runner.data.part_files import PartFiles


def test_one_file_alone_gives_no_part(tmp_path):
    assert PartFiles(tmp_path / "a").by_part() == {None: ("data.path", tmp_path / "a")}


def test_other_files_make_the_first_the_training_part(tmp_path):
    assert PartFiles(tmp_path / "a", test=tmp_path / "c").by_part() == {
        Part.TRAIN: ("data.path", tmp_path / "a"),
        Part.TEST: ("data.test_path", tmp_path / "c"),
    }


def test_file_that_is_named_twice_is_refused(tmp_path):
    (tmp_path / "a").write_text("")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    with pytest.raises(DataSettingError, match="is the same file as data.path") as caught:
        PartFiles(tmp_path / "a", tmp_path / "b").by_part()

    assert caught.value.key == "data.validation_path"
