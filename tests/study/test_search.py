"""A search that could not be opened, or closed, as it should: nothing of it stays RUNNING."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner import api
from runner.errors import DiskRefused, TrackingUnreachable
from runner.experiment import Store
from runner.study import StudyRecord, catching_up, list_studies, read_study
from runner.study.folders import StudyFolder
from runner.tracking import StudyRun, connect

EXPERIMENT = """
name: own
task: custom
objective: own.py:objective
search: {metric: loss, direction: minimize, trials: 2, space: {x: {float: [0, 1]}}}
"""


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], api.Study]:
    """Searches in a store of its own; its trials take no time."""
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text("def objective(trial):\n    trial.report(1, loss=1.0)\n")
    Path("own.yaml").write_text(EXPERIMENT)
    return lambda: api.search("own.yaml", backend="inline", show="none")


def parent_status() -> str:
    tracking = connect(None, Store.default())
    wanted = "tags.`runner.kind` = 'study'"
    (parent,) = tracking.client.search_runs(tracking.experiment_ids(), wanted)
    return str(parent.info.status)


@pytest.fixture
def is_writing() -> Callable[[], bool]:
    """Whether a writer that this test has started is at work; other tests may have left theirs."""
    before = set(threading.enumerate())
    return lambda: any(
        thread.name == "mlflow-writer" for thread in set(threading.enumerate()) - before
    )


def refuse(*args: object, **kwargs: object) -> Any:
    raise DiskRefused("the disk is full")


@pytest.mark.parametrize("what", ["open_logbook", "open_feed"])
def test_search_that_is_refused_after_its_runs_were_opened_closes_them(
    search: Callable[[], api.Study],
    monkeypatch: pytest.MonkeyPatch,
    is_writing: Callable[[], bool],
    what: str,
) -> None:
    """Fails with `_closed_on_error` taken out."""
    monkeypatch.setattr(f"runner.study.search.{what}", refuse)
    with pytest.raises(DiskRefused):
        search()
    assert parent_status() == "KILLED"
    assert not is_writing()


def test_search_whose_end_cannot_be_written_closes_its_runs(
    search: Callable[[], api.Study],
    monkeypatch: pytest.MonkeyPatch,
    is_writing: Callable[[], bool],
) -> None:
    """Fails where `close` gives up at the write."""
    write = StudyRecord.set_attribute

    def refuse_end(record: StudyRecord, name: str, value: Any) -> None:
        (refuse if name == "ended" and value else write)(record, name, value)

    monkeypatch.setattr(StudyRecord, "set_attribute", refuse_end)
    with pytest.raises(DiskRefused):
        search()
    assert parent_status() == "FINISHED"
    assert not is_writing()


def test_sync_that_cannot_look_at_the_study_closes_its_runs(
    search: Callable[[], api.Study],
    monkeypatch: pytest.MonkeyPatch,
    is_writing: Callable[[], bool],
) -> None:
    """Fails where `caught_up` has the logbook opened outside of its `try`."""
    search()
    monkeypatch.setattr("runner.study.parent_run.open_logbook", refuse)
    with pytest.raises(DiskRefused), catching_up(Store.default(), "own"):
        raise AssertionError("there is no logbook")
    assert parent_status() == "FINISHED"
    assert not is_writing()


def test_search_that_mlflow_did_not_hear_the_end_of_is_put_right_by_any_next_command(
    search: Callable[[], api.Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where the lock is left as after a search that MLflow has all of."""

    def cut_short(study_run: StudyRun, *args: object, **kwargs: object) -> None:
        study_run._writer.close()
        study_run._carrier.close()
        raise TrackingUnreachable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(StudyRun, "close", cut_short)
        study = search()
    assert study.undelivered.startswith("gone. The study has everything; ")
    assert parent_status() == "RUNNING"
    (summary,) = list_studies(Store.default())
    assert not summary.is_searching
    read_study(Store.default(), "own")
    assert parent_status() == "FINISHED"
    assert not StudyFolder(summary.folder).standing().is_left_behind
