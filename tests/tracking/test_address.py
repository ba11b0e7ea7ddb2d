"""Which MLflow is meant, and what is said when it is not there."""

import socket
import time
from pathlib import Path

import pytest

from runner.errors import NotFound, TrackingUnreachable
from runner.experiment import Store
from runner.tracking import connect
from runner.tracking.address import artifact_location, resolve_uri


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


def test_connect_file_is_no_database_names_it(store: Store, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("not a database, but long enough to be read as the header of one " * 20)
    with pytest.raises(TrackingUnreachable, match=r"notes\.txt: file is not a database"):
        connect(f"sqlite:///{wrong}", store)


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
