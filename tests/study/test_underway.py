"""Runs that commands beside a search have under way, and what a killed one leaves.

Seen to fail with `has_dead` taken out of `is_left_behind`.
"""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from runner.study import StudyRecord
from runner.study.parent_run import end_strays
from runner.study.storage import is_left_behind
from runner.study.underway import TAG_MARK, UNDER_WAY, end_marked, has_dead, living, under_way
from runner.tracking import TAG_OUTCOME, TAG_STUDY, Tracking
from tests.disks import Disk

HOLDER = """
import sys, time
from pathlib import Path
from runner.study.underway import under_way
with under_way(Path(sys.argv[1])) as mark:
    print(mark.name, flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> tuple["subprocess.Popen[str]", str]:
    """A process with something under way, and its mark."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_mark_is_there_for_the_block_and_is_nobody_deads(tmp_path: Path) -> None:
    with under_way(tmp_path) as mark:
        assert [path.name for path in (tmp_path / UNDER_WAY).iterdir()] == [mark.name]
        assert not has_dead(tmp_path)
    assert list((tmp_path / UNDER_WAY).iterdir()) == []
    assert not has_dead(tmp_path / "nowhere")


def test_mark_is_left_where_its_run_could_not_be_ended(tmp_path: Path) -> None:
    with under_way(tmp_path) as mark:
        mark.is_left = True
    assert has_dead(tmp_path)


def test_mark_of_another_process_is_dead_once_that_is_killed(tmp_path: Path) -> None:
    process, name = hold(tmp_path)
    try:
        assert living(tmp_path) == {name}
        assert not has_dead(tmp_path)
        assert not is_left_behind(tmp_path)
    finally:
        kill(process)
    assert has_dead(tmp_path)
    assert living(tmp_path) == set()
    assert is_left_behind(tmp_path)


def test_disk_that_takes_no_mark_does_not_stop_the_block(disk: Disk) -> None:
    disk.remount("ro")
    with under_way(disk.path) as mark:
        assert mark.name
    assert not has_dead(disk.path)


def test_mark_that_cannot_be_locked_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems have no locks. Fails where the file stays."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with under_way(tmp_path):
        assert list((tmp_path / UNDER_WAY).iterdir()) == []


@pytest.mark.parametrize("is_ending", [False, True])
def test_end_strays_leaves_a_promotion_that_begins_or_ends_meanwhile(
    tmp_path: Path, tracking: Tracking, monkeypatch: pytest.MonkeyPatch, is_ending: bool
) -> None:
    """Fails where marks are looked for at one of the two times alone."""
    record = StudyRecord.open(tmp_path / "cats" / "1", direction="maximize")
    client, search = tracking.client, tracking.client.search_runs
    experiment = tracking.experiment_id("underway")
    promotion, looks = ExitStack(), list[str]()

    def run(**tags: str) -> str:
        made = client.create_run(experiment, tags={TAG_STUDY: record.study_id, **tags})
        return str(made.info.run_id)

    def begin() -> None:
        mark = promotion.enter_context(under_way(record.folder))
        looks.append(run(**{TAG_MARK: mark.name}))

    def search_meanwhile(*arguments: Any) -> Any:
        if not is_ending:
            begin()
        found = search(*arguments)
        if is_ending:
            client.set_terminated(looks[0])
            promotion.close()
        return found

    stray = run()
    if is_ending:
        begin()
    monkeypatch.setattr(client, "search_runs", search_meanwhile)
    with promotion:
        end_strays(tracking, record)
    statuses = [client.get_run(run_id).info.status for run_id in (stray, *looks)]
    assert statuses == ["KILLED", "FINISHED" if is_ending else "RUNNING"]
    client.set_terminated(looks[0])


def test_end_marked_ends_the_runs_of_dead_processes_alone(
    tmp_path: Path, tracking: Tracking
) -> None:
    client = tracking.client
    dead_process, dead = hold(tmp_path)
    kill(dead_process)
    with under_way(tmp_path) as living:
        experiment = tracking.experiment_id("underway")
        runs = {
            name: client.create_run(experiment, tags={TAG_MARK: name}).info.run_id
            for name in (dead, living.name, "another study's")
        }
        end_marked(tracking, tmp_path)
        assert not has_dead(tmp_path)
        assert [path.name for path in (tmp_path / UNDER_WAY).iterdir()] == [living.name]
    statuses = {name: client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert statuses == {dead: "KILLED", living.name: "RUNNING", "another study's": "RUNNING"}
    assert client.get_run(runs[dead]).data.tags[TAG_OUTCOME] == "interrupted"
    for name in (living.name, "another study's"):
        client.set_terminated(runs[name])


@pytest.mark.parametrize("name", [".20261122-101010-abcdef"])
def test_mark_that_is_being_made_is_not_dead(tmp_path: Path, name: str) -> None:
    (tmp_path / UNDER_WAY).mkdir()
    (tmp_path / UNDER_WAY / name).touch()
    assert not has_dead(tmp_path)
