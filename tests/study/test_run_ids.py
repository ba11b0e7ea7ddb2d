"""The runs of a study's trials, without asking MLflow."""

from pathlib import Path

from runner.study import known_run_ids
from runner.study.run_ids import RUNS, RunIds
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


def test_search_tells_the_run_of_each_trial_as_it_is_made(searching: Searching) -> None:
    with searching(trials=2) as opened:
        RunIds(opened.folder).begin(opened.study_run.run_ids)
        opened.study_run.on_run(RunIds(opened.folder).add)
        opened.simulate()
        runs = {number: run.run_id for number, run in opened.runs().items()}
        assert known_run_ids(opened.folder) == runs
