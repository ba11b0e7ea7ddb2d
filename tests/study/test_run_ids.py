"""The runs of a study's trials, without asking MLflow."""

from pathlib import Path

import pytest

from runner.study import known_run_ids
from runner.study.run_ids import RUNS, RunIds
from tests.disks import Disk
from tests.study.conftest import Searching


def test_known_run_ids_are_those_that_were_there_and_those_added(tmp_path: Path) -> None:
    assert known_run_ids(tmp_path) is None
    ids = RunIds(tmp_path)
    ids.begin({})
    assert known_run_ids(tmp_path) == {}
    ids.begin({3: "c"})
    ids.add(0, "a")
    ids.add(4, "e")
    assert known_run_ids(tmp_path) == {3: "c", 0: "a", 4: "e"}


def test_line_that_is_only_half_written_is_ignored(tmp_path: Path) -> None:
    RunIds(tmp_path).begin({0: "a", 1: "b"})
    with (tmp_path / RUNS).open("a") as file:
        file.write("2 a1b")
    assert known_run_ids(tmp_path) == {0: "a", 1: "b"}


def test_add_on_a_full_disk_raises_nothing_and_readers_ask_mlflow(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    ids = RunIds(disk.path)
    ids.begin({0: "a"})
    disk.fill()
    # Until the page that the file has is full.
    for number in range(1, 200):
        ids.add(number, "b" * 32)
    assert known_run_ids(disk.path) is None
    assert len(caplog.records) == 1
    assert "is given up, MLflow has what it says: " in caplog.text
    disk.make_room()
    RunIds(disk.path).begin({0: "a"})
    assert known_run_ids(disk.path) == {0: "a"}


def test_begin_on_a_full_disk_gives_the_file_up(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails where `begin` lets the refusal out: the search then ends with it."""
    RunIds(disk.path).begin({0: "a"})
    disk.fill()
    ids = RunIds(disk.path)
    ids.begin(dict.fromkeys(range(200), "b" * 32))
    ids.add(200, "c")
    assert known_run_ids(disk.path) is None
    assert len(caplog.records) == 1


def test_file_that_a_power_cut_left_as_zeros_is_none(tmp_path: Path) -> None:
    (tmp_path / RUNS).write_bytes(b"0 a\n" + b"\0" * 30 + b"\n2 c\n")
    assert known_run_ids(tmp_path) is None


def test_search_tells_the_run_of_each_trial_as_it_is_made(searching: Searching) -> None:
    with searching(trials=2) as opened:
        RunIds(opened.folder).begin(opened.study_run.run_ids)
        opened.study_run.on_run(RunIds(opened.folder).add)
        opened.simulate()
        runs = {number: run.run_id for number, run in opened.runs().items()}
        assert known_run_ids(opened.folder) == runs
