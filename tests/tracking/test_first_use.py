"""The first touch of a new local store: quiet, and safe from two processes at once."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.experiment import Store
from runner.tracking import connect, connect_apart
from runner.tracking.disks import is_on_local_disk
from runner.tracking.first_use import gather
from tests.disks import Disk

CONNECT = """
import sys
import time
from pathlib import Path
from runner.experiment import Store
from runner.tracking import connect
tracking = connect(None, Store(Path(sys.argv[1])))
study = tracking.open_study(
    "cats", study_id=sys.argv[2], run_name="x", tags={}, params={}, artifacts={}
)
study.open_trial(0, name="trial 0", params={}, tags={})
study.end_trial(0, status="FINISHED", tags={})
study.close("FINISHED")
"""


@pytest.mark.slow
def test_connect_two_processes_at_once_both_work_and_print_nothing(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONNECT, str(tmp_path / "mlruns"), study_id],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        for study_id in ("first", "second")
    ]
    results = [(process.communicate()[0].decode(), process.returncode) for process in processes]
    assert results == [("", 0), ("", 0)]
    names = {path.name for path in (tmp_path / "mlruns").iterdir()}
    assert names - {"mlflow.db-wal", "mlflow.db-shm"} == {"mlflow.db", "mlflow.db.lock"}


def test_import_of_the_room_brings_no_heavy_library() -> None:
    code = (
        "import sys, runner.tracking; "
        "print({'mlflow', 'torch', 'pandas', 'sqlalchemy', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.slow
def test_connect_killed_while_the_schema_is_made_works_the_next_time(tmp_path: Path) -> None:
    # Seen to fail with the schema made in place: half the migrations, refused for ever after.
    store = tmp_path / "mlruns"
    store.mkdir()
    environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    command = [sys.executable, "-c", CONNECT, str(store), "study"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 120
        while not any(path.stat().st_size > 50_000 for path in store.glob("mlflow.db*")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        killed.kill()

    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_new_store_keeps_a_write_ahead_log_and_is_whole_after_a_search(tmp_path: Path) -> None:
    store = Store(tmp_path / "mlruns")
    study = connect_apart(None, store).open_study(
        "cats", study_id="a", run_name="x", tags={}, params={}, artifacts={}
    )
    study.open_trial(0, name="trial 0", params={}, tags={})
    study.close("FINISHED")
    copy = tmp_path / "copy.db"
    copy.write_bytes((store.root / "mlflow.db").read_bytes())
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)


def test_new_store_on_a_disk_that_others_may_write_to_keeps_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.tracking.first_use.is_on_local_disk", lambda folder: False)
    store = Store(tmp_path / "mlruns")
    connect(None, store)
    with closing(sqlite3.connect(store.root / "mlflow.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_gather_on_a_full_disk_leaves_the_log_as_it_is(disk: Disk) -> None:
    """Fails where `gather` lets SQLite's error out: a search then ends with it."""
    database = disk.path / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE runs (id)")
        connection.execute("INSERT INTO runs VALUES (?)", ("x" * 500_000,))
        connection.commit()
        disk.fill()
        gather(f"sqlite:///{database}")
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_is_on_local_disk_goes_by_the_nearest_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"/": "ext4", "/home": "nfs4", "/home/me/disk": "xfs", "/odd": "fuse.sshfs"}
    mounts = [SimpleNamespace(mountpoint=place, fstype=kind) for place, kind in kinds.items()]
    monkeypatch.setattr("psutil.disk_partitions", lambda all: mounts)
    answers = {place: is_on_local_disk(Path(place)) for place in ("/srv", "/home/me", "/odd/a")}
    assert answers == {"/srv": True, "/home/me": False, "/odd/a": False}
    assert is_on_local_disk(Path("/home/me/disk/runs"))
