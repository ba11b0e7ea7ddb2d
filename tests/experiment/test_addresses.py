"""Addresses of data: kept as they are, and refused with a secret in them, which is not shown."""

import pytest

from runner.errors import ExperimentError
from runner.experiment import is_address, load_experiment


def load(tmp_path, path: str):
    file = tmp_path / "e.yaml"
    file.write_text(f"name: e\ndata: {{source: folder, path: '{path}'}}\nmodel: {{name: m}}\n")
    return load_experiment(str(file))


@pytest.mark.parametrize(
    "path",
    [
        "s3://bucket/cats",
        "abfs://container@account.dfs/cats",
        "https://host:80/cats",
        "sftp://me@host/c",
    ],
)
def test_address_stays_as_it_was_written(path, tmp_path):
    assert is_address(path)
    assert load(tmp_path, path).resolved()["data"]["path"] == path


@pytest.mark.parametrize("path", ["cats", "/data/cats", "a:b/c", "~/cats", "1://x"])
def test_path_is_no_address(path):
    assert not is_address(path)


@pytest.mark.parametrize(
    "path",
    [
        "https://me:hunter2@host/cats",
        "https://hunter2@host/cats",
        "https://me:hun/ter2@host/cats",
        "sftp://me:hun@ter2@host/cats",
        "https://host/cats?sig=hunter2",
        "https://host/cats?hunter2",
        "s3://b/c?x=1&key=hunter2",
    ],
)
def test_address_with_a_secret_is_refused_without_showing_it(path, tmp_path):
    with pytest.raises(ExperimentError, match="without password or key") as refused:
        load(tmp_path, path)
    assert "ter2" not in str(refused.value)


def test_several_addresses_in_one_are_refused(tmp_path):
    with pytest.raises(ExperimentError, match="must be one address"):
        load(tmp_path, "simplecache::s3://bucket/cats")
    with pytest.raises(ExperimentError, match="must be one address"):
        load(tmp_path, "zip://a::s3://bucket/cats.zip")


def test_sent_files_are_for_code_of_ones_own(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text(
        "name: e\ndata: {source: folder, path: c}\nmodel: {name: m}\nray: {files: [a]}\n"
    )
    with pytest.raises(ExperimentError, match="ray.files: is for `task: custom` alone"):
        load_experiment(str(file))
