"""A search whose disk fills up, is read-only or another's: a sentence, and it can go on."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.study import StudyRecord
from runner.tracking import connect, read_trials
from tests.disks import NOBODY, Disk, small_disk
from tests.end_to_end.conftest import EXPERIMENT, Terminal, read_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(terminal: Terminal) -> Iterator[Disk]:
    """The store of the terminal's commands, on a small disk of its own."""
    with small_disk(terminal.folder / "store", mib=32) as made:
        yield made


@pytest.fixture
def search(terminal: Terminal) -> list[str]:
    """The command; its MLflow is on another disk."""
    uri = f"sqlite:///{terminal.folder / 'elsewhere' / 'mlflow.db'}"
    return ["search", "tiny.yaml", "--plain", "--set", f"tracking.uri={uri}"]


def require_whole(terminal: Terminal, store: Disk, search: list[str]) -> None:
    """All four trials are complete, in the study and in MLflow."""
    record = StudyRecord.read(store.path / "studies" / "tiny" / "1")
    assert [trial.state for trial in record.trials()] == ["complete"] * 4
    runs = read_trials(connect(search[-1].partition("=")[2], None), record.study_id)
    assert [(run.number, run.status) for run in runs] == [(n, "FINISHED") for n in range(4)]


def test_search_whose_disk_fills_up_says_so_and_goes_on_when_there_is_room(
    terminal: Terminal, store: Disk, search: list[str]
) -> None:
    running = terminal.start(*search)
    before = read_until(running, lambda line: "trial 1 begins" in line)
    store.fill()
    rest, _ = running.communicate(timeout=200)
    output = "".join(before) + rest
    assert running.returncode == 11, output
    assert "cannot be written: the disk is full (0.0 MiB free). Make room" in output
    assert "the same command goes on from there" in output
    assert "Traceback" not in output
    left = store.path.rglob("*.tmp")
    assert [path for path in left if "cache" not in path.parts] == []

    store.make_room()
    code, output = terminal.run(*search)
    assert code == 0, output
    require_whole(terminal, store, search)


def test_search_on_a_read_only_disk_is_refused_and_its_results_can_be_read(
    terminal: Terminal, store: Disk, search: list[str]
) -> None:
    assert terminal.run(*search, "--set", "search.trials=2")[0] == 0
    store.remount("ro")
    code, output = terminal.run(*search)
    assert code == 11, output
    assert "cannot be written: its file system is read-only" in output
    assert "Traceback" not in output
    code, output = terminal.run("leaderboard", "tiny")
    assert code == 0, output
    assert "complete" in output

    store.remount("rw")
    assert terminal.run(*search)[0] == 0
    require_whole(terminal, store, search)


# What is imported later may lie where the other user cannot read.
AS_NOBODY = """
import os, sys
import optuna
from runner import api, cli
loaded = api.as_experiment(sys.argv[2])
api.as_experiment = lambda *given: loaded
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.exit(cli.run(sys.argv[1:]))
"""


def test_search_without_permission_names_the_user_and_the_folder() -> None:
    """Fails where the system's own words are all (`_told`)."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root, to become another user")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        folder.chmod(0o755)
        (folder / "tiny.yaml").write_text(EXPERIMENT)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, "search", "tiny.yaml"],
            cwd=folder,
            env={**os.environ, "RUNNER_HOME": str(folder / "store"), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 11, done.stderr
    assert f"this user (uid {NOBODY}) has no permission" in done.stderr
    assert str(folder / "store") in done.stderr
    assert "Traceback" not in done.stderr
