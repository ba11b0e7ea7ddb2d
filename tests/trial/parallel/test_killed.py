"""Processes of a trial on two devices that are killed, under a real backend."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from runner.backends import LocalBackend
from runner.experiment import Store
from runner.trial import Attempt, FineTune, Outcome, Report
from tests.backends.feeds import Trials
from tests.objectives import ROOT
from tests.trial.conftest import small_experiment
from tests.trial.parallel.conftest import TWO

# The longest a helper lives on after its leader.
AFTER_S = 5.0


@pytest.mark.slow
def test_trial_whose_helper_or_leader_is_killed_is_lost_and_runs_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that is stopped goes with its leader. Fails where it leads a group of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    helpers: list[psutil.Process] = []

    def kill(key: Attempt, report: Report) -> None:
        if key.attempt > 0 or report.step != 2:
            return
        worker = psutil.Process(backend._workers[0].process.pid)
        (helper,) = worker.children()
        helpers.append(helper)
        if key.trial == 0:
            helper.send_signal(signal.SIGKILL)
        else:
            helper.send_signal(signal.SIGSTOP)
            worker.send_signal(signal.SIGKILL)

    trials = Trials(tmp_path / "trials", [{}], [{}], on_report=kill)
    objective = FineTune(small_experiment(epochs=4), store)
    backend = LocalBackend(objective, [TWO], logs=tmp_path / "logs")
    try:
        backend.run(trials)
    finally:
        backend.close()

    lost, whole = Outcome.LOST, Outcome.COMPLETE
    assert trials.outcomes == {(0, 0): lost, (0, 1): whole, (1, 0): lost, (1, 1): whole}
    assert "device 2 of 2 died with signal SIGKILL" in trials.ending(0).reason
    assert "the worker of slot 0 died with signal SIGKILL" in trials.ending(1).reason
    assert trials.ending(0, 1).notes["data_parallel"].startswith("2 devices")
    assert "rank 1 INFO" in (tmp_path / "trials" / "trial-0" / "log.txt").read_text()
    until_s = time.monotonic() + AFTER_S
    while any(_is_alive(helper) for helper in helpers):
        assert time.monotonic() < until_s, "a helper lives on"
        time.sleep(0.1)
    assert os.getpid() not in {helper.pid for helper in helpers}


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
