"""Looks at a test split: each is ended, whatever becomes of it and of its process.

Seen to fail with the end of a look that fails, or `end_dead` in `open_logbook`, taken out.
"""

import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from runner.errors import TrackingUnreachable
from runner.experiment import Experiment, Store
from runner.promotion.gate import Evaluation
from runner.promotion.looks import EVALUATION_ARTIFACT, count_looks, end_look, looking, read_look
from runner.study import StudyRecord, read_study
from runner.study.sampling import Proposal
from runner.study.underway import has_dead
from runner.tracking import RunStatus, Tracking, connect
from runner.trial import Ending, Outcome

NAMES = (f"looked-{number}" for number in count())
EVALUATION = Evaluation("s", "accuracy", {"accuracy": 0.5}, True, {}, labels=None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("looks") / "mlruns")


@pytest.fixture(scope="module")
def tracking(store: Store) -> Iterator[Tracking]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield connect(None, store)


@dataclass(frozen=True)
class Searched:
    """A study with one complete trial, and the run of that."""

    record: StudyRecord
    run_id: str
    tracking: Tracking

    def look(self) -> AbstractContextManager[str]:
        """Look at a split that is named as the study."""
        return looking(
            self.tracking,
            self.record,
            self.record.trial(0),
            run_id=self.run_id,
            split=self.record.name,
        )

    def status(self, look: str) -> tuple[str, str | None]:
        """Of a look in MLflow: status and outcome."""
        run = self.tracking.client.get_run(look)
        return run.info.status, run.data.tags.get("runner.outcome")


@pytest.fixture
def searched(store: Store, tracking: Tracking) -> Searched:
    name = next(NAMES)
    experiment = Experiment.from_resolved(
        {
            "name": name,
            "task": "custom",
            "objective": "mine.py:run",
            "search": {
                "metric": "cost",
                "direction": "minimize",
                "space": {"steps": {"float": [1, 9]}},
            },
        }
    )
    record = StudyRecord.open(store.study(name) / "1", direction="minimize")
    record.set_attribute("experiment", experiment.resolved())
    study_run = tracking.open_study(
        name, study_id=record.study_id, run_name=name, tags={}, params={}, artifacts={}
    )
    record.begin(record.add(Proposal({}, {}), origin="sampler", seed=0))
    record.close(0, Ending(Outcome.COMPLETE, 0.5, 1))
    study_run.open_trial(0, name="trial 0", params={}, tags={})
    tags = {"runner.outcome": "complete", "runner.attempt": "0"}
    study_run.end_trial(0, status=RunStatus.FINISHED, tags=tags)
    study_run.close(RunStatus.FINISHED)
    return Searched(record, study_run.run_ids[0], tracking)


def test_look_that_saw_something_is_finished_and_leaves_no_mark(searched: Searched) -> None:
    with searched.look() as look:
        assert searched.status(look) == ("RUNNING", None)
        end_look(searched.tracking, look, EVALUATION, {})
    assert searched.status(look)[0] == "FINISHED"
    assert read_look(searched.tracking, look) == EVALUATION
    assert not has_dead(searched.record.folder)


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (ValueError("the model is broken\nat length"), ("FAILED", "failed")),
        (KeyboardInterrupt(), ("KILLED", "interrupted")),
    ],
)
def test_look_that_is_cut_short_is_ended_says_why_and_counts(
    searched: Searched, error: BaseException, ended: tuple[str, str]
) -> None:
    looks: list[str] = []

    def fail() -> None:
        with searched.look() as look:
            looks.append(look)
            raise error

    with pytest.raises(type(error)):
        fail()
    assert searched.status(looks[0]) == ended
    reason = searched.tracking.client.get_run(looks[0]).data.tags["runner.reason"]
    assert reason == (str(error) or "KeyboardInterrupt").splitlines()[0]
    assert count_looks(searched.tracking, searched.record.name) == 1
    assert not has_dead(searched.record.folder)


def test_look_that_mlflow_could_not_be_told_the_end_of_is_ended_by_the_next_command(
    searched: Searched, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def gone(*args: object) -> None:
        raise MlflowException("gone")

    def fail() -> None:
        with searched.look() as look:
            looks.append(look)
            monkeypatch.setattr(searched.tracking.client, "set_tag", gone)
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    monkeypatch.undo()
    assert searched.status(looks[0]) == ("RUNNING", None)
    read_study(store, searched.record.name)
    assert searched.status(looks[0]) == ("KILLED", "interrupted")


@pytest.mark.parametrize("error", [MlflowException("no answer"), KeyboardInterrupt()])
def test_look_that_was_made_and_its_answer_lost_is_ended_by_the_next_command(
    searched: Searched, store: Store, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Fails with `is_left` set only once the look is known."""
    client, looks = searched.tracking.client, list[str]()
    create_run = client.create_run

    def made(*args: Any, **kwargs: Any) -> None:
        looks.append(create_run(*args, **kwargs).info.run_id)
        raise error

    monkeypatch.setattr(client, "create_run", made)
    with pytest.raises((TrackingUnreachable, KeyboardInterrupt)), searched.look():
        raise AssertionError("there is no look")
    monkeypatch.undo()
    assert searched.status(looks[0]) == ("RUNNING", None)
    read_study(store, searched.record.name)
    assert searched.status(looks[0]) == ("KILLED", "interrupted")


LOOKER = """
import sys, time
from pathlib import Path
from runner.experiment import Store
from runner.promotion.looks import looking
from runner.study import StudyRecord
from runner.tracking import connect

folder, run_id = Path(sys.argv[1]), sys.argv[2]
record = StudyRecord.read(folder)
tracking = connect(None, Store.of_study(folder))
with looking(tracking, record, record.trial(0), run_id=run_id, split="s") as look:
    print(look, flush=True)
    time.sleep(120)
"""


@pytest.mark.slow
def test_look_of_a_killed_promotion_is_ended_by_the_next_command_and_a_living_one_is_not(
    searched: Searched, store: Store
) -> None:
    folder = str(searched.record.folder)
    command = [sys.executable, "-c", LOOKER, folder, searched.run_id]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        look = process.stdout.readline().strip()
        read_study(store, searched.record.name)
        assert searched.status(look) == ("RUNNING", None)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert searched.status(look) == ("RUNNING", None)
    read_study(store, searched.record.name)
    assert searched.status(look) == ("KILLED", "interrupted")
    assert not has_dead(searched.record.folder)
    assert Path(folder).exists()


def test_numbers_that_are_none_are_null_in_the_file_and_themselves_again(
    searched: Searched,
) -> None:
    """Fails where JSON is written as Python does: NaN is none."""
    evaluation = replace(EVALUATION, values={"accuracy": 0.5, "auroc": math.nan})
    with searched.look() as look:
        end_look(searched.tracking, look, evaluation, {"metrics": {"auroc": math.nan}})
    with TemporaryDirectory() as folder:
        file = searched.tracking.download_artifact(look, EVALUATION_ARTIFACT, Path(folder))
        assert "NaN" not in file.read_text()
    found = read_look(searched.tracking, look)
    assert found.values["accuracy"] == 0.5
    assert math.isnan(found.values["auroc"])
