"""What a search leaves in MLflow and beside its trials, also after a driver was killed."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.errors import DiskRefused
from runner.experiment import ChoiceParameter, FixedParameter, Space, Store
from runner.study import EVALUATION, WEIGHTS, StudyRecord, trial_folder
from runner.study.folders import StudyFolder
from runner.tracking import Tracking, read_trials
from runner.trial import Ending, Outcome, Report
from tests.disks import Disk
from tests.objectives import METRIC, ROOT, Plan
from tests.study.conftest import Opened, Searching


def report_of(step: int, value: float = 0.5) -> Report:
    return Report(step, {METRIC: value, "train/loss": 1.0}, 1_700_000_000_000 + step)


def unheard(opened: Opened, outcome: Outcome, *, begun: bool = False) -> int:
    """A trial that the study knows to have ended, and of which MLflow has at most the start."""
    record, number = opened.record, opened.next().key.trial
    if begun:
        opened.study_run.log(
            number, report_of(1).metrics, step=1, timestamp_ms=report_of(1).time_ms
        )
        opened.study_run.flush()
    ending = Ending(outcome, 0.52, 3, evaluation={"confusion": [[1]]}, reason="why")
    reports = {step: report_of(step) for step in (1, 2, 3)}
    opened.logbook.keep(opened.folder, number, reports, ending)
    record.close(number, ending)
    return number


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.COMPLETE, "FINISHED"),
        (Outcome.PRUNED, "KILLED"),
        (Outcome.FAILED, "FAILED"),
        (Outcome.USER_ERROR, "FAILED"),
        (Outcome.DIVERGED, "FAILED"),
        (Outcome.PAUSED, "KILLED"),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_catch_up_completes_a_run_that_never_heard_of_its_trials_end(
    searching: Searching, outcome: Outcome, status: str, begun: bool, tmp_path: Path
) -> None:
    with searching() as opened:
        number = unheard(opened, outcome, begun=begun)
    with searching() as opened:
        run = opened.runs()[number]
        assert run.status == status
        assert run.tags["runner.outcome"] == outcome.value
        assert run.tags["runner.reason"] == "why"
        assert run.tags["runner.log"] == f"trials/{number:05d}/log.txt"
        assert opened.steps(number) == [1, 2, 3]
        assert opened.steps(number, "train/loss") == [1, 2, 3]
        file = opened.tracking.download_artifact(run.run_id, EVALUATION, tmp_path / "artifact")
        kept = json.loads(file.read_text())
    assert kept["confusion"] == [[1]]
    assert [row["epoch"] for row in kept["history"]] == [1, 2, 3]


@pytest.mark.parametrize("left", [b"", b'{"confusion": [[1', b"\0" * 300, b"[1]"])
def test_catch_up_with_an_evaluation_that_a_power_cut_damaged_tells_the_end_without_it(
    searching: Searching, left: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with searching() as opened:
        number = unheard(opened, Outcome.COMPLETE, begun=True)
        (trial_folder(opened.folder, number) / EVALUATION).write_bytes(left)
    with searching() as opened:
        run = opened.runs()[number]
        assert (run.status, run.tags["runner.outcome"]) == ("FINISHED", "complete")
        assert opened.record.trial(number).value == 0.52
    assert "is damaged (" in caplog.text
    assert f"trial {number} goes without it" in caplog.text


def test_catch_up_of_a_trial_that_another_machine_ran_leaves_its_history_to_that_machine(
    searching: Searching, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Fails where a trial that left nothing here is told as one with nothing to tell."""
    monkeypatch.setattr(StudyFolder, "is_shared", True)
    with searching() as opened:
        number = unheard(opened, Outcome.COMPLETE, begun=True)
    here, elsewhere = trial_folder(opened.folder, number), tmp_path / "elsewhere"
    for _ in range(2):
        with searching(between=lambda _: here.exists() and here.rename(elsewhere)) as opened:
            run = opened.runs()[number]
            assert (run.status, run.tags["runner.outcome"]) == ("FINISHED", "complete")
            assert opened.tracking.client.list_artifacts(run.run_id) == []
            assert opened.logbook.elsewhere == 1
    with searching(between=lambda _: elsewhere.rename(here)) as opened:
        assert opened.steps(number) == [1, 2, 3]
        run = opened.runs()[number]
        assert opened.tracking.download_artifact(run.run_id, EVALUATION, tmp_path).exists()
        assert opened.logbook.elsewhere == 0


def test_keep_on_a_full_disk_is_refused_before_the_end_is_told(
    searching: Searching, disk: Disk
) -> None:
    with searching() as opened:
        number = opened.next().key.trial
        disk.fill()
        with pytest.raises(DiskRefused, match=r"evaluation\.json cannot be written: the disk is"):
            opened.logbook.keep(disk.path, number, {1: report_of(1)}, Ending(Outcome.COMPLETE))
        assert opened.record.trial(number).outcome is None


def test_catch_up_twice_changes_nothing(searching: Searching) -> None:
    with searching() as opened:
        number = unheard(opened, Outcome.COMPLETE, begun=True)
    seen = []
    for _ in range(2):
        with searching() as opened:
            seen.append((opened.runs()[number], opened.steps(number)))
    assert seen[0] == seen[1]


def test_catch_up_of_a_trial_that_was_interrupted_and_then_completed_unheard(
    searching: Searching,
) -> None:
    """MLflow has the first attempt's end, which is not the last word."""
    with searching() as opened:
        first = opened.next()
        opened.report(first.key, 1)
        opened.end(first.key, Outcome.PAUSED)
        assert opened.runs()[0].status == "KILLED"
    with searching() as opened:
        record = opened.record
        record.begin(0)
        ending = Ending(Outcome.COMPLETE, 0.52, 3)
        reports = {step: report_of(step) for step in (1, 2, 3)}
        opened.logbook.keep(opened.folder, 0, reports, ending)
        record.close(0, ending)
    with searching() as opened:
        assert opened.runs()[0].status == "FINISHED"
        assert opened.runs()[0].tags["runner.outcome"] == "complete"
        assert opened.steps(0) == [1, 2, 3]


def test_catch_up_writes_nothing_for_runs_that_are_as_they_should_be(
    searching: Searching, tracking: Tracking
) -> None:
    with searching(trials=2) as opened:
        opened.simulate()
        before = {
            n: tracking.client.get_run(r.run_id).info.end_time for n, r in opened.runs().items()
        }
    with searching(trials=2) as opened:
        after = {
            n: tracking.client.get_run(r.run_id).info.end_time for n, r in opened.runs().items()
        }
    assert before == after


def test_catch_up_ends_the_run_of_a_trial_whose_driver_died(searching: Searching) -> None:
    """Fails where `catch_up` brings no trial up."""
    with searching() as opened:
        spec = opened.next()
        opened.report(spec.key, 1)
    with searching() as opened:
        run = opened.runs()[0]
        assert (run.status, run.tags["runner.outcome"]) == ("KILLED", "interrupted")
        assert opened.next().key.attempt == 1
        assert opened.runs()[0].status == "RUNNING"


def test_search_replayed_from_a_checkpoint_doubles_no_point(searching: Searching) -> None:
    with searching(pruner="asha") as opened:
        key = opened.next().key
        for step in (1, 2, 3):
            opened.report(key, step)
        opened.end(key, Outcome.PAUSED)
    with searching(pruner="asha") as opened:
        key = opened.next().key
        opened.feed.running[0].epochs = 9
        for step in (1, 2, 3, 4):
            opened.report(key, step)
        opened.end(key, Outcome.COMPLETE, 0.5)
        assert opened.steps(0) == [1, 2, 3, 4]
        assert sorted(opened.record.trial(0).rungs) == [1, 3]


def test_weights_that_the_disk_does_not_let_go_of_end_no_search(
    searching: Searching, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails without `discard`."""
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == WEIGHTS:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with searching(trials=2, keep_weights=1) as opened:
        for value in (0.5, 0.7):
            spec = opened.next()
            Path(spec.folder).mkdir(parents=True, exist_ok=True)
            (Path(spec.folder) / WEIGHTS).touch()
            opened.end(spec.key, Outcome.COMPLETE, value)
        assert opened.outcomes == ["complete"] * 2
    assert f"{WEIGHTS} cannot be removed: " in caplog.text


def test_weights_of_all_but_the_best_trials_are_dropped(searching: Searching) -> None:
    """Fails where `end` drops none. Fails where the ranking names none."""
    values = (0.3, 0.7, 0.1, 0.9, 0.5)
    space = Space({"epochs": FixedParameter(1), "value": ChoiceParameter(values)})
    first = tuple({"value": value} for value in values)
    with searching(space, trials=5, first=first, keep_weights=2) as opened:
        for number in range(5):
            spec = opened.next()
            Path(spec.folder).mkdir(parents=True, exist_ok=True)
            (Path(spec.folder) / WEIGHTS).touch()
            opened.end(spec.key, Outcome.COMPLETE, values[number])
        kept = [n for n in range(5) if (trial_folder(opened.folder, n) / WEIGHTS).exists()]
    assert kept == [1, 3]


def test_parent_run_has_the_best_value_over_time(searching: Searching) -> None:
    with searching(trials=3) as opened:
        for value in (0.3, 0.2, 0.6):
            opened.end(opened.next().key, Outcome.COMPLETE, value)
        opened.study_run.flush()
        points = opened.tracking.metric_history(opened.study_run.run_id, "best_value")
    assert [(point.step, point.value) for point in points] == [(0, 0.3), (1, 0.3), (2, 0.6)]


DRIVER = """
import os, signal, sys
from pathlib import Path
from runner.experiment import Store
from runner.study import Silent
from runner.tracking import connect
import runner.study.listener
from tests.study.conftest import SPACE, _open
from runner.study import study_lock

moment, number = sys.argv[2], int(sys.argv[3])


class Dying(Silent):
    def began(self, trial, lease, epochs):
        if moment == "began" and trial.number == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def reported(self, trial, report):
        if moment == "reported" and trial == number and report.step == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def ended(self, trial):
        if moment == "ended" and trial.number == number:
            os.kill(os.getpid(), signal.SIGKILL)


store = Store(Path(sys.argv[1]))
folder = store.studies / "cats" / "1"
with study_lock(folder):
    opened = _open(connect(None, store), folder, SPACE, trials=5, listener=Dying())
    opened.simulate()
    opened.study_run.close("FINISHED")
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["began", "reported", "ended"])
def test_driver_killed_at_any_moment_leaves_mlflow_complete_after_the_next_command(
    tmp_path: Path, moment: str
) -> None:
    """Fails where `catch_up` brings no trial up."""

    def drive(moment: str) -> int:
        command = [sys.executable, "-c", DRIVER, str(tmp_path), moment, "2"]
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode

    assert drive(moment) == -signal.SIGKILL
    assert drive("never") == 0
    store = Store(tmp_path)
    record = StudyRecord.read(store.studies / "cats" / "1")
    from runner.tracking import connect

    tracking = connect(None, store)
    runs = read_trials(tracking, record.study_id)
    assert [trial.state for trial in record.trials()] == ["complete"] * 5
    assert [(run.number, run.status) for run in runs] == [(n, "FINISHED") for n in range(5)]
    for run in runs:
        points = tracking.metric_history(run.run_id, METRIC)
        plan = Plan.of(record.trial(run.number).params)
        assert [(p.step, p.value) for p in points] == [
            (step, pytest.approx(plan.value_at(step))) for step in (1, 2, 3)
        ]
