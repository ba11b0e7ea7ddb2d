"""Paths start from the experiment file's folder, and every setting reaches its source."""

import os

import pytest

from runner.data import DataSettingError, open_source
from runner.errors import DataError
from runner.experiment import FolderData, ManifestData, TorchvisionData


def test_relative_path_starts_from_the_base(make_folder, tmp_path):
    make_folder({"cat": 2, "dog": 2})
    settings = FolderData(source="folder", path="images")

    assert len(open_source(settings, base=tmp_path, cache=None).examples) == 4


def test_home_is_expanded(make_folder, tmp_path, monkeypatch):
    make_folder({"cat": 2, "dog": 2})
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = FolderData(source="folder", path="~/images")

    assert len(open_source(settings, base=tmp_path / "nowhere", cache=None).examples) == 4


def test_manifest_paths_start_from_its_folder_unless_a_root_is_given(make_folder, tmp_path):
    make_folder({"a": 1, "b": 1})
    (tmp_path / "lists").mkdir()
    text = "path,label\na/000.png,cat\nb/000.png,dog\n"
    (tmp_path / "lists" / "m.csv").write_text(text)
    settings = ManifestData(source="manifest", path="lists/m.csv")

    with pytest.raises(DataError, match=r"a/000.png: no such file"):
        open_source(settings, base=tmp_path, cache=None)

    rooted = settings.model_copy(update={"root": "images"})
    assert len(open_source(rooted, base=tmp_path, cache=None).examples) == 2


def test_max_unreadable_is_the_experiments(make_folder, tmp_path):
    root = make_folder({"cat": 5, "dog": 5})
    (root / "cat" / "000.png").write_bytes(b"")
    settings = FolderData(source="folder", path="images", max_unreadable=0.1)

    assert len(open_source(settings, base=tmp_path, cache=None).unreadable) == 1
    with pytest.raises(DataError, match=r"above data.max_unreadable = 0.05"):
        open_source(
            settings.model_copy(update={"max_unreadable": 0.05}), base=tmp_path, cache=None
        )


def test_torchvision_without_root_looks_in_the_cache(tmp_path):
    settings = TorchvisionData(source="torchvision", name="MNIST")

    with pytest.raises(DataSettingError) as caught:
        open_source(settings, base=tmp_path, cache=tmp_path / "cache")

    assert caught.value.seen == os.fspath(tmp_path / "cache" / "torchvision" / "MNIST")


def test_torchvision_without_root_and_cache_is_refused(tmp_path):
    settings = TorchvisionData(source="torchvision", name="MNIST")

    with pytest.raises(DataSettingError, match="name the folder of the data"):
        open_source(settings, base=tmp_path, cache=None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read_is_refused_without_a_traceback(make_folder, tmp_path):
    root = make_folder({"cat": 1, "dog": 1})
    (root / "cat").chmod(0)

    with pytest.raises(DataError, match="cannot be read: .*Permission denied"):
        open_source(FolderData(source="folder", path="images"), base=tmp_path, cache=None)
