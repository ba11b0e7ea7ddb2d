"""Which MLflow is meant, and what is said when it is not there."""

import shutil
import socket
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner.errors import DiskRefused, NotFound, TrackingUnreachable
from runner.experiment import Store
from runner.tracking import Tracking, connect
from runner.tracking.address import artifact_location, knock, resolve_uri
from tests.disks import Disk, as_nobody


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "mlruns")


def test_resolve_uri_setting_beats_environment(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment:1")
    assert resolve_uri("http://setting:1", store) == "http://setting:1"
    assert resolve_uri(None, store) == "http://environment:1"


def test_resolve_uri_nothing_set_gives_local_store(store: Store, tmp_path: Path) -> None:
    assert resolve_uri(None, store) == f"sqlite:///{tmp_path}/mlruns/mlflow.db"


def test_artifact_location_is_absolute_for_databases_and_left_to_servers(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert artifact_location(store.tracking_uri, store) == str(store.artifacts)
    assert artifact_location("sqlite:///other.db", store) == str(tmp_path / "artifacts")
    assert artifact_location("postgresql://host/db", store) == str(store.artifacts)
    assert artifact_location("http://host:5000", store) is None


@pytest.mark.parametrize("scheme", ["http", "https", "postgresql", "mysql+pymysql"])
def test_connect_nothing_listens_says_so_in_seconds_without_secrets(
    store: Store, scheme: str
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}/x"
        started_s = time.monotonic()
        with pytest.raises(TrackingUnreachable) as caught:
            connect(f"{scheme}://ann:s3cret@{address}", store)
    assert time.monotonic() - started_s < 3.0
    message = str(caught.value)
    assert message.startswith(f"MLflow tracking at {scheme}://***@{address} cannot be used: ")
    assert "Connection refused" in message
    assert "--set tracking.uri=" in message
    assert "s3cret" not in message


def test_connect_password_with_a_slash_shows_nothing_of_it(store: Store) -> None:
    """Fails where the message is that of `urlsplit(...).port`: it has "secr" in it."""
    with pytest.raises(TrackingUnreachable, match="its port is no number") as caught:
        connect("postgresql://user:secr/et@h/db", store)
    assert "secr" not in str(caught.value)


def test_connect_file_is_no_database_names_it(store: Store, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("not a database, but long enough to be read as the header of one " * 20)
    with pytest.raises(TrackingUnreachable, match=r"notes\.txt: file is not a database"):
        connect(f"sqlite:///{wrong}", store)


def made(folder: Path) -> str:
    """Address of a database that has something in it."""
    database = folder / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE runs (id)")
        connection.commit()
    return f"sqlite:///{database}"


def test_knock_on_a_disk_that_is_full_or_read_only_says_so(disk: Disk) -> None:
    uri = made(disk.path)
    knock(uri)
    disk.fill()
    with pytest.raises(TrackingUnreachable, match="the disk is full"):
        knock(uri)
    disk.make_room()
    disk.remount("ro")
    with pytest.raises(TrackingUnreachable, match="its file system is read-only"):
        knock(uri)
    knock(uri, is_written=False)


def test_knock_on_a_file_that_is_anothers_says_so(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        uri = made(folder)
        (folder / "mlflow.db").chmod(0o644)
        folder.chmod(0o777)
        with (
            as_nobody(),
            pytest.raises(TrackingUnreachable, match=r"mlflow\.db cannot be written: this user"),
        ):
            knock(uri)
    finally:
        shutil.rmtree(folder)


def test_knock_on_a_file_that_another_is_writing_is_an_answer(tmp_path: Path) -> None:
    uri = made(tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        knock(uri)


def test_knock_writes_nothing(tmp_path: Path) -> None:
    uri = made(tmp_path)
    before = (tmp_path / "mlflow.db").read_bytes()
    knock(uri)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    assert (tmp_path / "mlflow.db").read_bytes() == before


def test_answering_tells_a_full_disk_from_an_mlflow_that_is_gone(store: Store, disk: Disk) -> None:
    tracking = Tracking("http://127.0.0.1:9", MlflowClient("http://127.0.0.1:9"), None)
    disk.fill()
    with pytest.raises(DiskRefused, match="the disk is full"), tracking.answering():
        (disk.path / "a").write_bytes(b"x" * 10_000)
    with pytest.raises(TrackingUnreachable), tracking.answering():
        raise ConnectionError("gone")


def test_connect_folder_cannot_be_made_names_it(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(TrackingUnreachable, match="Not a directory"):
        connect(None, Store(tmp_path / "taken" / "mlruns"))


@pytest.mark.parametrize("password", ["s3cret", "s3c/r@t", "s3c'r:t?"])
def test_error_of_mlflow_is_shown_without_secrets(
    store: Store, tmp_path: Path, password: str
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

    tracking = connect(f"sqlite:///{tmp_path}/m.db", store)
    said = f"unsupported URI 'http://ann:{password}@host/x' (password={password})"
    for code, kind in ((RESOURCE_DOES_NOT_EXIST, NotFound), (None, TrackingUnreachable)):
        error = MlflowException(said) if code is None else MlflowException(said, code)
        with pytest.raises(kind, match="unsupported URI") as caught, tracking.answering():
            raise error
        assert "s3c" not in str(caught.value)
