"""Objectives of one's own from the command line: searched, killed, continued, edited, wrong."""

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runner.experiment import Store
from runner.study import StudyRecord, best_trials, trial_folder, validate
from runner.trial import SavedTrial, measure, saved_model
from tests.end_to_end.conftest import Terminal

PAGE = Path(__file__).parents[2] / "docs" / "own-objective.md"
OWN = """
name: own
task: custom
{objective}
params: {{epochs: 9}}
search:
  metric: accuracy
  direction: maximize
  trials: {trials}
  slots: {slots}
  devices: [cpu]
  pruner: {pruner}
  space:
    rate: {{float: [0.1, 0.9]}}
"""
WAITS = """
import os, time
from pathlib import Path

def objective(trial):
    value = 0.0
    if folder := trial.resume():
        value = float((folder / "value").read_text())
    for epoch in range(trial.step + 1, 10):
        value += trial.params["rate"] / epoch
        trial.report(epoch, accuracy=value)
        with trial.checkpoint() as folder:
            (folder / "value").write_text(repr(value))
        if epoch == 4 and not Path("go_on").exists():
            Path("waits").touch()
            time.sleep(600)
    trial.log_artifact("ended.txt", f"by itself, after {epoch}")
"""
RUNS = """
import json, os, time
from pathlib import Path

folder, value = Path(os.environ["RUNNER_CHECKPOINT"]), 0.0
for last in folder.iterdir():
    value = float(last.read_text())
for step in range(int(os.environ["RUNNER_STEP"]) + 1, 10):
    value += json.loads(os.environ["RUNNER_PARAMS"])["rate"] / step
    (folder / str(step)).write_text(repr(value))
    print(json.dumps({"step": step, "accuracy": value, "checkpoint": str(step)}), flush=True)
    if step == 4 and not Path("go_on").exists():
        while (folder / str(step)).exists():
            time.sleep(0.01)
        Path("waits").write_text(str(os.getpid()))
        time.sleep(600)
"""


def own(
    folder: Path,
    objective: str,
    code: str,
    *,
    trials: int = 1,
    slots: int = 1,
    pruner: str = "none",
) -> Terminal:
    keys = {"trials": trials, "slots": slots, "pruner": pruner}
    (folder / "own.yaml").write_text(OWN.format(objective=objective, **keys))
    (folder / "train.py").write_text(code)
    return Terminal(folder)


def wait_for(is_so: Callable[[], bool], within_s: float = 60.0) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def record_of(folder: Path, name: str = "own") -> StudyRecord:
    return StudyRecord.read(folder / "store" / "studies" / name / "1")


@pytest.mark.parametrize(
    ("written", "where", "rule"),
    [
        (
            "objective: train.py:objectiv",
            "own.yaml:4: objective: ",
            "train.py has no function 'objectiv'",
        ),
        ("objective: trian.py:objective", "own.yaml:4: objective: ", "no such file: "),
        ('command: [no-such-program, "{rate}"]', "own.yaml:4: command: ", "no such program on"),
        ('command: [sh, "{rat}"]', "own.yaml:4: command: ", "{rat} is no parameter; {{rat}} st"),
    ],
)
def test_wrong_objective_is_named_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, where: str, rule: str
) -> None:
    monkeypatch.chdir(tmp_path)
    own(tmp_path, written, "def objective(trial): pass")
    (problem,) = validate(Store(tmp_path / "store"), "own.yaml")
    assert str(problem).startswith(where + rule)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own_objective", "own_command"])
def test_shipped_example_searches_prunes_and_keeps_what_it_saved(
    tmp_path: Path, name: str
) -> None:
    code, output = Terminal(tmp_path).run("search", f"{name}.yaml", "--plain")
    assert code == 0, output
    record = record_of(tmp_path, name)
    trials = record.trials()
    best = max((t for t in trials if str(t.outcome) == "complete"), key=lambda t: t.value or 0)
    assert len(trials) == 12
    assert {str(trial.outcome) for trial in trials} == {"complete", "pruned"}
    assert best.value is not None
    assert best.value > 0.9
    model = trial_folder(record.folder, best.number) / "model" / "model.joblib"
    assert model.is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "code"),
    [
        ("objective: train.py:objective", WAITS),
        ("command: [python, train.py]", RUNS),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_search_that_is_killed_or_paused_goes_on_from_the_checkpoint(
    tmp_path: Path, objective: str, code: str, number: signal.Signals
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "go_on").touch()
    assert own(whole, objective, code).run("search", "own.yaml", "--plain")[0] == 0
    cut = tmp_path / "cut"
    cut.mkdir()
    terminal = own(cut, objective, code)
    process = terminal.start("search", "own.yaml", "--plain")
    wait_for((cut / "waits").exists)
    # The script runs ahead of the worker that reads what it says.
    history = trial_folder(record_of(cut).folder, 0) / "checkpoint" / "history.json"
    wait_for(lambda: history.exists() and '"step": 4' in history.read_text())
    # A function asleep is killed by its backend when its grace is over; a command is told at once.
    process.send_signal(number)
    process.communicate(timeout=120)
    if pid := (cut / "waits").read_text():
        wait_for(lambda: not psutil.pid_exists(int(pid)), within_s=15)
    (cut / "go_on").touch()
    done, output = terminal.run("search", "own.yaml", "--plain")
    assert done == 0, output
    trials = [record_of(folder).trials() for folder in (whole, cut)]
    assert trials[0][0].value == trials[1][0].value
    assert [trial.attempt for trial in trials[1]] == [1]
    histories = [
        json.loads((trial_folder(record_of(folder).folder, 0) / "evaluation.json").read_text())
        for folder in (whole, cut)
    ]
    values = [[row["validation/accuracy"] for row in each["history"]] for each in histories]
    assert values[0] == values[1]
    assert len(values[0]) == 9
    log = (trial_folder(record_of(cut).folder, 0) / "log.txt").read_text()
    assert "going on after step 4" in log


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my_train", "my_script"])
def test_files_of_the_page_search_as_it_says(tmp_path: Path, name: str) -> None:
    for block in re.finditer(r"```\w+\n# (\S+)\n.*?```", PAGE.read_text("utf-8"), re.DOTALL):
        text = block[0].partition("\n")[2].removesuffix("```")
        (tmp_path / block[1]).write_text(text, "utf-8")
    code, output = Terminal(tmp_path).run("search", f"{name}.yaml", "--plain")
    assert code == 0, output
    record = record_of(tmp_path, name)
    best = next(best_trials(record))
    folder = trial_folder(record.folder, best.number)
    assert best.notes["epochs"] == 9
    model = saved_model(folder)
    assert model is not None
    assert 0.1 < float(model.read_text()) < 1.5
    if name == "my_train":
        assert "the last weight is" in (folder / "artifacts" / "last.txt").read_text()
        trial = SavedTrial(best.params, best.number, best.seed, ("cpu",), 1, folder, model)
        measured = measure(f"{tmp_path}/my_train.py:evaluate", trial, metric="error")
        assert measured.values["error"] < 4
        assert len(measured.quality) == 8


@pytest.mark.slow
def test_edited_code_is_another_study(tmp_path: Path) -> None:
    terminal = own(tmp_path, "objective: train.py:objective", "def objective(trial): return 0.5")
    assert terminal.run("search", "own.yaml", "--plain")[0] == 0
    (tmp_path / "train.py").write_text("def objective(trial): return 0.6")
    code, output = terminal.run("search", "own.yaml", "--plain")
    assert code == 5
    assert "the study 'own' was begun with other settings:" in output
    assert "content.own_code: '" in output
    assert "add --new" in output


@pytest.mark.slow
def test_failing_code_stops_the_search_with_its_reason_and_log(tmp_path: Path) -> None:
    terminal = own(
        tmp_path, "objective: train.py:objective", "def objective(trial): 1 / 0", trials=9
    )
    code, output = terminal.run("search", "own.yaml", "--plain")
    assert code == 5
    assert "trials 0 and 1 failed in the same way" in output
    assert "ZeroDivisionError: division by zero" in output
    log = trial_folder(record_of(tmp_path).folder, 1) / "log.txt"
    assert str(log) in output
    assert f'File "{tmp_path}/train.py", line 1, in objective' in log.read_text()


@pytest.mark.slow
def test_trial_of_a_command_is_trained_again_from_any_folder(tmp_path: Path) -> None:
    script = 'print(\'{"step": 1, "accuracy": 0.25}\')'
    terminal = own(tmp_path, "command: [python, train.py]", script)
    assert terminal.run("search", "own.yaml")[0] == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "store").symlink_to(tmp_path / "store")
    before = sorted(tmp_path.iterdir())

    code, output = Terminal(elsewhere).run("train", "own", "--trial", "0")

    assert "trial 0 again: 0.25, in the study it is the same" in output
    assert code == 0
    assert sorted(tmp_path.iterdir()) == before  # what the trial leaves is not put beside the file
