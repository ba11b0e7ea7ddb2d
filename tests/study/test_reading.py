"""Any next command puts right what a dead driver left, in the study and in MLflow."""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from runner.errors import NotFound, StudyError
from runner.experiment import Experiment, Store
from runner.study import (
    StudyRecord,
    archive,
    delete,
    enqueue,
    list_studies,
    read_study,
    stop,
    study_lock,
)
from runner.study.folders import Folders
from runner.study.inbox import StopStudy, StopTrial, pending
from runner.study.place import next_place
from runner.study.sampling import Sampling
from runner.tracking import RunStatus, StudyRun, Tracking, read_trials
from runner.trial import Ending, Outcome
from tests.objectives import METRIC

NAMES = (f"study-{number}" for number in count())
Begin = Callable[..., tuple[str, StudyRecord, StudyRun]]


@pytest.fixture
def begin(store: Store, tracking: Tracking) -> Begin:
    """Begins a study of a new name with some trials, and leaves it as a kill would."""

    def make(*outcomes: Outcome | None, died: bool = True) -> tuple[str, StudyRecord, StudyRun]:
        name = next(NAMES)
        experiment = experiment_of(name)
        folder = next_place(Folders(store.studies), name).folder
        record = StudyRecord.open(folder, direction="maximize")
        record.set_attribute("experiment", experiment.resolved())
        study_run = tracking.open_study(
            name, study_id=record.study_id, run_name=name, tags={}, params={}, artifacts={}
        )
        sampling = Sampling(experiment.space.bind(5), "random", seed=0, direction="maximize")
        for number, outcome in enumerate(outcomes):
            proposal = sampling.ask(number)
            assert proposal is not None
            record.begin(record.add(proposal, origin="sampler", seed=number))
            study_run.open_trial(number, name=f"trial {number}", params={}, tags={})
            study_run.log(number, {METRIC: 0.5}, step=1, timestamp_ms=1)
            if outcome is not None:
                record.close(number, Ending(outcome, 0.5, 1))
        study_run.flush()
        try:
            with study_lock(folder):
                if died:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        return name, record, study_run

    return make


def experiment_of(name: str) -> Experiment:
    return Experiment.from_resolved(
        {
            "name": name,
            "data": {"source": "bundled", "name": "digits"},
            "model": {"name": "resnet10t", "weights": "none"},
            "search": {
                "space": {
                    "learning_rate": {"float": [0.001, 0.1], "log": True},
                    "freeze_depth": {"int": [0, "max"]},
                },
                "trials": 4,
            },
        }
    )


def statuses(tracking: Tracking, study_id: str) -> dict[int, tuple[str, str | None]]:
    runs = read_trials(tracking, study_id)
    return {run.number: (str(run.status), run.tags.get("runner.outcome")) for run in runs}


def test_read_study_after_its_driver_died_leaves_nothing_running(
    begin: Begin, store: Store, tracking: Tracking
) -> None:
    """Fails where `read_study` puts nothing right."""
    name, dead, study_run = begin(Outcome.COMPLETE, None)
    record = read_study(store, name)
    assert [trial.state for trial in record.trials()] == ["complete", "waiting (interrupted)"]
    assert record.trial(1).reason == "its driver died"
    assert statuses(tracking, dead.study_id) == {
        0: ("FINISHED", "complete"),
        1: ("KILLED", "interrupted"),
    }
    assert tracking.client.get_run(study_run.run_id).info.status == "KILLED"


def test_read_study_whose_driver_died_with_every_trial_told_completes_mlflow(
    begin: Begin, store: Store, tracking: Tracking
) -> None:
    """Fails where `read_study` puts nothing right."""
    name, dead, study_run = begin(Outcome.COMPLETE, Outcome.FAILED)
    read_study(store, name)
    assert statuses(tracking, dead.study_id) == {
        0: ("FINISHED", "complete"),
        1: ("FAILED", "failed"),
    }
    assert tracking.client.get_run(study_run.run_id).info.status == "KILLED"


def test_read_study_with_a_journal_that_a_power_cut_left_broken(
    begin: Begin, store: Store
) -> None:
    name, dead, _ = begin(None)
    with (dead.folder / "journal.log").open("ab") as journal:
        journal.write(b"\xff\xfe\n\0\0\0")
    assert [trial.state for trial in read_study(store, name).trials()] == ["waiting (interrupted)"]


def test_read_study_that_ended_well_writes_nothing(
    begin: Begin, store: Store, tracking: Tracking
) -> None:
    name, record, study_run = begin(Outcome.COMPLETE, died=False)
    before = (record.folder / "journal.log").read_bytes()
    read_study(store, name)
    assert (record.folder / "journal.log").read_bytes() == before
    study_run.close(RunStatus.FINISHED)


HOLDER = """
import sys, time
from pathlib import Path
from runner.study import study_lock
with study_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(folder: Path, seconds: float = 60) -> "subprocess.Popen[str]":
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_read_study_of_a_living_driver_leaves_its_trials_running(
    begin: Begin, store: Store
) -> None:
    name, record, study_run = begin(None, died=False)
    with hold(record.folder) as driver:
        assert [trial.state for trial in read_study(store, name).trials()] == ["running"]
        assert next(s for s in list_studies(store) if s.reference == f"{name}:1").is_searching
        driver.kill()
    study_run.close(RunStatus.KILLED)


def test_read_study_with_mlflow_out_of_reach_warns_and_tries_again_next_time(
    begin: Begin, store: Store, tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    name, dead, _ = begin(None)
    reachable: Any = dead.attributes["experiment"]
    nowhere = {**reachable, "tracking": {**reachable["tracking"], "uri": "http://127.0.0.1:9"}}
    dead.set_attribute("experiment", nowhere)
    assert read_study(store, name).trial(0).state == "waiting (interrupted)"
    assert "MLflow still shows dead trials as running: " in caplog.text
    StudyRecord.reopen(dead.folder).set_attribute("experiment", reachable)
    read_study(store, name)
    assert statuses(tracking, dead.study_id) == {0: ("KILLED", "interrupted")}


def test_list_studies_counts_what_there_is(begin: Begin, store: Store) -> None:
    name, *_ = begin(Outcome.COMPLETE, Outcome.FAILED, None)
    summary = next(s for s in list_studies(store) if s.reference == f"{name}:1")
    assert (summary.trials, summary.complete, summary.best) == (3, 1, 0.5)
    assert not summary.is_searching
    assert not summary.is_archived
    assert summary.megabytes > 0


def test_list_studies_is_not_stopped_by_one_that_a_kill_cut_off(store: Store) -> None:
    folder = store.studies / next(NAMES) / "1"
    folder.mkdir(parents=True)
    (folder / "journal.log").write_bytes(b'{"op_code')
    assert all(s.folder != folder for s in list_studies(store))


def test_archive_puts_a_study_away_with_nothing_left_running(
    begin: Begin, store: Store, tracking: Tracking
) -> None:
    name, dead, _ = begin(None)
    assert archive(store, name) == f"archived {name}:1; the next search begins a new study"
    assert next_place(Folders(store.studies), name).folder.name == "2"
    assert statuses(tracking, dead.study_id) == {0: ("KILLED", "interrupted")}
    assert next(s for s in list_studies(store) if s.reference == f"{name}:1").is_archived


def test_delete_removes_the_folder_and_keeps_the_runs_none_of_them_running(
    begin: Begin, store: Store, tracking: Tracking
) -> None:
    name, dead, _ = begin(Outcome.COMPLETE, None)
    study_id = dead.study_id
    assert delete(store, name) == f"deleted {name}:1; its MLflow runs are kept"
    assert not dead.folder.exists()
    assert {status for status, _ in statuses(tracking, study_id).values()} == {
        "FINISHED",
        "KILLED",
    }
    with pytest.raises(NotFound, match=f"no study '{name}'"):
        read_study(store, name)


def test_stop_of_a_study_that_nobody_searches_says_so(begin: Begin, store: Store) -> None:
    name, dead, _ = begin(None)
    with pytest.raises(NotFound, match=f"the study '{name}' is not being searched"):
        stop(store, name)
    assert pending(dead.folder) == []
    assert StudyRecord.read(dead.folder).trial(0).state == "waiting (interrupted)"


def test_stop_of_a_study_waits_until_its_driver_has_gone(begin: Begin, store: Store) -> None:
    name, record, study_run = begin(died=False)
    with hold(record.folder, 0.5):
        assert stop(store, name) == "stopped; the same command continues it"
    assert [type(wish) for wish in pending(record.folder)] == [StopStudy]
    study_run.close(RunStatus.KILLED)


def test_stop_of_one_trial_leaves_a_wish_or_says_which_run(begin: Begin, store: Store) -> None:
    name, record, study_run = begin(Outcome.COMPLETE, None, died=False)
    with hold(record.folder) as driver:
        with pytest.raises(NotFound, match=r"trial 0 is not running; running are \[1\]"):
            stop(store, name, trial=0)
        assert stop(store, name, trial=1) == "trial 1 will be pruned before its next batch"
        driver.kill()
    (wish,) = pending(record.folder)
    assert isinstance(wish, StopTrial)
    assert wish.number == 1
    study_run.close(RunStatus.KILLED)


def test_enqueue_leaves_the_setting_in_the_spaces_own_types(begin: Begin, store: Store) -> None:
    name, record, study_run = begin(died=False)
    record.set_attribute("max_freeze_depth", 5)
    said = enqueue(store, name, {"learning_rate": 0.01, "freeze_depth": "max"})
    assert said == "it will be tried when the study is searched again"
    (wish,) = pending(record.folder)
    assert wish.params == {"learning_rate": 0.01, "freeze_depth": 5}
    study_run.close(RunStatus.KILLED)


def test_enqueue_of_a_setting_outside_the_space_lists_every_problem(
    begin: Begin, store: Store
) -> None:
    name, record, study_run = begin(died=False)
    with pytest.raises(StudyError) as caught:
        enqueue(store, name, {"learning_rate": 7.0, "freez_depth": 1})
    lines = str(caught.value).splitlines()
    assert lines[0] == "this setting cannot be tried:"
    assert lines[1] == "learning_rate: must lie between 0.001 and 0.1, not 7.0"
    assert lines[2] == "freez_depth: is not in the space; did you mean 'freeze_depth'?"
    assert pending(record.folder) == []
    study_run.close(RunStatus.KILLED)
