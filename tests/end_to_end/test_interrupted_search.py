"""The plug is pulled: the same command goes on, and the result is the same."""

import json
import signal
import time

import pytest

from runner.experiment import Store
from runner.study import StudyRecord, read_study
from runner.tracking import RunStatus, connect, read_trials
from runner.trial.job import CHECKPOINT
from tests.end_to_end.conftest import Terminal, read_until, wait_until, workers_of

pytestmark = pytest.mark.slow


def outcomes(terminal: Terminal) -> list[tuple]:
    """What must not depend on interruptions."""
    record = StudyRecord.read(terminal.folder / "store" / "studies" / "tiny" / "1")
    return [(t.number, t.state, dict(t.params), t.value, t.best_epoch) for t in record.trials()]


def steps_in_mlflow(terminal: Terminal) -> dict[int, list[int]]:
    """Epochs of every trial's accuracy in MLflow, doubles included."""
    store = Store(terminal.folder / "store")
    tracking = connect(None, store)
    record = read_study(store, "tiny")
    runs = read_trials(tracking, record.study_id)
    assert [run.status for run in runs] == [RunStatus.FINISHED] * len(runs)
    assert len({run.number for run in runs}) == len(runs)
    return {
        run.number: [
            point.step for point in tracking.metric_history(run.run_id, "validation/accuracy")
        ]
        for run in runs
    }


def test_killed_search_goes_on_to_the_same_trials_as_an_uninterrupted_one(tmp_path, terminal):
    whole = Terminal(tmp_path / "whole")
    whole.folder.mkdir()
    (whole.folder / "tiny.yaml").write_text((terminal.folder / "tiny.yaml").read_text())
    assert whole.run("search", "tiny.yaml", "--plain")[0] == 0

    killed = terminal.start("search", "tiny.yaml", "--plain")
    read_until(killed, lambda line: "trial 1 begins" in line)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    wait_until(lambda: not workers_of(terminal.folder))
    code, status = terminal.run("status", "tiny")
    assert code == 0
    assert "1 complete, 1 waiting (interrupted)" in status
    code, output = terminal.run("search", "tiny.yaml", "--plain")

    assert code == 0, output
    assert "trial 1 goes on" in output
    assert outcomes(terminal) == outcomes(whole)
    assert steps_in_mlflow(terminal) == {n: [1, 2, 3] for n in range(4)}


def test_ctrl_c_ends_gracefully_and_says_how_to_go_on(terminal):
    """Fails where the command ends as if it were done.
    Fails where the feed is not told to stop.
    """
    search = terminal.start("search", "tiny.yaml", "--plain")
    read_until(search, lambda line: "trial 1 begins" in line)

    search.send_signal(signal.SIGINT)
    rest, _ = search.communicate(timeout=60)

    assert search.returncode == 130, rest
    assert "stopping: interrupted by Ctrl-C; what runs saves its state" in rest
    assert "stopped: interrupted by Ctrl-C" in rest
    assert "runner: the same command continues the search" in rest
    assert not workers_of(terminal.folder)
    code, output = terminal.run("search", "tiny.yaml", "--plain")
    assert code == 0, output
    assert [state for _, state, *_ in outcomes(terminal)] == ["complete"] * 4


def test_ctrl_c_in_a_long_trial_ends_within_seconds_and_keeps_its_state(terminal):
    """Fails where the feed is not told to stop."""
    for_hours = ("--set", "train.epochs=100000", "--set", "train.checkpoint=every")
    search = terminal.start("search", "tiny.yaml", "--plain", *for_hours)
    try:
        read_until(search, lambda line: "trial 0 begins" in line)
        wait_until(lambda: any(terminal.folder.rglob(CHECKPOINT)), within_s=60.0)
        search.send_signal(signal.SIGINT)
        began_s = time.monotonic()
        rest, _ = search.communicate(timeout=60)
    finally:
        search.kill()

    assert time.monotonic() - began_s < 20.0, rest
    assert search.returncode == 130, rest
    assert next(state for _, state, *_ in outcomes(terminal)) == "waiting (paused)"
    assert not workers_of(terminal.folder)


STUBBORN = """
import pathlib, time


def objective(trial):
    if pathlib.Path("stubborn").exists():
        time.sleep(600)
    trial.report(1, loss=trial.params["x"])
"""
OWN = """
name: stubborn
task: custom
objective: stubborn.py:objective
search:
  metric: loss
  direction: minimize
  trials: 2
  devices: [cpu]
  space: {x: {float: [0.0, 1.0]}}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_twice_ends_at_once_and_the_same_command_goes_on(terminal, number):
    """Fails where the second is like the first."""
    (terminal.folder / "stubborn.py").write_text(STUBBORN)
    (terminal.folder / "stubborn.yaml").write_text(OWN)
    (terminal.folder / "stubborn").touch()
    search = terminal.start("search", "stubborn.yaml", "--plain")
    read_until(search, lambda line: "trial 0 begins" in line)
    search.send_signal(number)
    read_until(search, lambda line: "stopping: interrupted" in line)

    search.send_signal(number)
    began_s = time.monotonic()
    rest, _ = search.communicate(timeout=60)

    assert time.monotonic() - began_s < 10.0
    assert search.returncode == 130, rest
    assert "runner: interrupted; the same command continues the search" in rest
    assert "Traceback" not in rest
    assert not workers_of(terminal.folder)
    (terminal.folder / "stubborn").unlink()
    code, output = terminal.run("search", "stubborn.yaml", "--plain")
    assert code == 0, output
    assert "trial 0 goes on" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [1.0, 2.5, 4.0])
def test_signal_while_it_starts_ends_it_soon_and_leaves_nobody(terminal, number, after_s):
    """Fails without `_terminated_as_interrupted` (SIGTERM)."""
    search = terminal.start("search", "tiny.yaml", "--plain")
    time.sleep(after_s)
    search.send_signal(number)
    rest, _ = search.communicate(timeout=60)
    assert search.returncode == 130, rest
    assert "Traceback" not in rest
    wait_until(lambda: not workers_of(terminal.folder))


def test_refused_command_puts_right_what_a_killed_one_left(terminal):
    """Fails where a refused search puts nothing right (`open_search`)."""
    killed = terminal.start("search", "tiny.yaml", "--plain")
    read_until(killed, lambda line: "trial 1 begins" in line)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    code, said = terminal.run("search", "tiny.yaml", "--set", "train.batch_size=16")
    assert code == 5, said
    store = Store(terminal.folder / "store")
    record = StudyRecord.read(store.studies / "tiny" / "1")
    assert [trial.state for trial in record.trials()][1:2] == ["waiting (interrupted)"]
    runs = read_trials(connect(None, store), record.study_id)
    # The killed one's run may not have been made yet.
    assert [run.status for run in runs] in (["FINISHED"], ["FINISHED", "KILLED"])


def test_other_terminals_can_stop_and_enqueue(terminal):
    search = terminal.start("search", "tiny.yaml", "--plain")
    read_until(search, lambda line: "trial 0 begins" in line)
    assert terminal.run("search", "tiny.yaml")[0] == 5  # locked
    code, said = terminal.run("enqueue", "tiny", "learning_rate=0.02", "freeze_depth=1")
    assert (code, said.strip()) == (0, "the search will try it next")
    code, said = terminal.run("enqueue", "tiny", "learning_rate=7")
    assert code == 5
    assert "learning_rate: must lie between 0.001 and 0.1, not 7" in said

    code, said = terminal.run("stop", "tiny")
    rest, _ = search.communicate(timeout=60)
    assert code == 0, said
    assert search.returncode == 130, rest

    assert terminal.run("search", "tiny.yaml", "--plain")[0] == 0
    tried = [params for _, _, params, *_ in outcomes(terminal)]
    assert tried.count({"learning_rate": 0.02, "freeze_depth": 1}) == 1


def test_changed_settings_are_refused_and_new_begins_the_next_study(terminal):
    assert terminal.run("search", "tiny.yaml", "--set", "search.trials=1")[0] == 0

    change = ("--set", "train.batch_size=16", "--set", "search.trials=1")
    code, said = terminal.run("search", "tiny.yaml", *change)
    assert code == 5
    assert "train.batch_size: 32 -> 16" in said
    assert "--new" in said
    assert "Traceback" not in said

    assert terminal.run("search", "tiny.yaml", "--new", *change)[0] == 0
    code, listed = terminal.run("studies", "--json")
    assert code == 0
    assert [study["reference"] for study in json.loads(listed)] == ["tiny:1", "tiny:2"]
