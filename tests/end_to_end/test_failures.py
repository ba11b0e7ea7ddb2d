"""Everything that can go wrong with a trial: each has its own name, its log, and what follows."""

from pathlib import Path

import psutil
import pytest

from runner.experiment import Store
from runner.study import StudyRecord, trial_folder
from runner.tracking import TrialRun, connect, read_trials
from runner.trial import Outcome
from tests.end_to_end.conftest import Terminal, wait_until

pytestmark = pytest.mark.slow

OWN = """
name: own
task: custom
objective: train.py:objective
search:
  metric: accuracy
  direction: maximize
  trials: {trials}
  slots: 1
  devices: [cpu]
  pruner: none
  sampler: random
  space: {{rate: {{float: [0.1, 0.9]}}}}
"""


def own(folder: Path, code: str, *, trials: int) -> Terminal:
    (folder / "own.yaml").write_text(OWN.format(trials=trials))
    (folder / "train.py").write_text(code)
    return Terminal(folder)


def record_of(folder: Path) -> StudyRecord:
    return StudyRecord.read(folder / "store" / "studies" / "own" / "1")


def log_of(folder: Path, number: int) -> Path:
    return trial_folder(record_of(folder).folder, number) / "log.txt"


def runs_of(folder: Path) -> dict[int, TrialRun]:
    tracking = connect(None, Store(folder / "store"))
    return {run.number: run for run in read_trials(tracking, record_of(folder).study_id)}


def states(folder: Path) -> list[tuple[str, int]]:
    """State and last attempt of each trial."""
    return [(trial.state, trial.attempt) for trial in record_of(folder).trials()]


BREAKS = """
import os, signal
import time

def objective(trial):
    if trial.number == 1:
        raise MemoryError
    if trial.number == 2:
        trial.report(1, accuracy=float("nan"))
        return
    if trial.number == 3:
        raise ValueError("no such setting")
    if trial.number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    if trial.number == 5:
        time.sleep(600)
    return 0.5
"""


def test_each_kind_of_failure_has_its_name_in_the_study_in_mlflow_and_on_screen(
    tmp_path: Path,
) -> None:
    """Out of memory, not a number, the user's error, a lost worker, a time limit."""
    terminal = own(tmp_path, BREAKS, trials=7)
    limits = ["--set", "search.max_failures=6", "--set", "search.trial_time=5s"]
    code, output = terminal.run("search", "own.yaml", "--plain", *limits)
    assert code == 0, output
    assert states(tmp_path) == [
        ("complete", 0),
        ("out_of_memory", 0),
        ("diverged", 0),
        ("user_error", 1),
        ("lost", 1),
        ("timed_out", 0),
        ("complete", 0),
    ]
    reasons = [trial.reason for trial in record_of(tmp_path).trials()]
    assert reasons[1] == "out of memory in the objective"
    assert reasons[2] == "validation/accuracy was not a finite number in any of 1 steps"
    assert reasons[3] == "ValueError: no such setting"
    assert "died with signal SIGKILL" in reasons[4]
    assert reasons[5].startswith(
        "longer than search.trial_time 5 s; the worker of slot 0 did not "
    )
    runs = runs_of(tmp_path)
    for number, (state, _) in enumerate(states(tmp_path)):
        status = "FINISHED" if state == "complete" else "FAILED"
        assert (runs[number].status, runs[number].tags["runner.outcome"]) == (status, state)
        assert runs[number].tags["runner.log"] == f"trials/{number:05d}/log.txt"
        if state != "complete":
            assert f"trial {number} {state}: " in output
            assert f"its log is {log_of(tmp_path, number)}" in output
    said = f"user_error: ValueError: no such setting; its log is {log_of(tmp_path, 3)}; it is run"
    assert said in output
    assert log_of(tmp_path, 3).read_text().count("ValueError: no such setting") == 2
    code, shown = terminal.run("leaderboard", "own", "--csv")
    assert "ValueError: no such setting; its log is trials/00003/log.txt" in shown


DIVIDES = """
from pathlib import Path

def objective(trial):
    return 1 / int(Path("divisor").read_text())
"""


def test_failure_that_every_trial_would_meet_stops_at_the_second_and_goes_on_when_mended(
    tmp_path: Path,
) -> None:
    terminal = own(tmp_path, DIVIDES, trials=4)
    (tmp_path / "divisor").write_text("0")
    code, output = terminal.run("search", "own.yaml", "--plain")
    assert code == 5
    assert (
        f"trials 0 and 1 failed in the same way (at {tmp_path}/train.py:5), and none has ended "
        "well: ZeroDivisionError: division by zero (trial 1; its log is "
        f"{log_of(tmp_path, 1)}). When it is mended, the same command goes on"
    ) in output
    assert states(tmp_path) == [("waiting (user_error)", 0)] * 2
    (tmp_path / "divisor").write_text("1")
    code, output = terminal.run("search", "own.yaml", "--plain")
    assert code == 0, output
    assert states(tmp_path) == [("complete", 1)] * 2 + [("complete", 0)] * 2
    assert {run.status for run in runs_of(tmp_path).values()} == {"FINISHED"}


def test_metric_that_no_trial_reports_stops_the_search_at_the_first(tmp_path: Path) -> None:
    code, output = own(
        tmp_path, "def objective(trial): trial.report(1, acuracy=0.5)", trials=9
    ).run("search", "own.yaml", "--plain")
    assert code == 5
    assert "what every trial needs is not in order: the trial never reported accuracy" in output
    assert states(tmp_path) == [("waiting (user_error)", 0)]


GOES_ON = """
from pathlib import Path

def objective(trial):
    for step in range(trial.step + 1, 4):
        trial.report(step, accuracy=trial.params["rate"] * step)
        with trial.checkpoint():
            pass
        if trial.number == 1 and step == 2:
            {act}
"""


@pytest.mark.parametrize(
    ("act", "why", "silence"),
    [
        ("raise OSError('the network has gone')", "user_error: OSError: the network", "auto"),
        (
            "while not Path('stop').exists(): pass",
            "showed no sign of life for 3 s (search.silence): killed",
            "3s",
        ),
    ],
)
def test_trial_that_crashed_once_goes_on_from_its_checkpoint(
    tmp_path: Path, act: str, why: str, silence: str
) -> None:
    """A worker whose code goes round in circles is found where the silence is limited."""
    terminal = own(tmp_path, GOES_ON.format(act=act), trials=3)
    asked = ("--set", f"search.silence={silence}")
    code, output = terminal.run("search", "own.yaml", "--plain", *asked)
    assert code == 0, output
    assert why in output
    assert states(tmp_path) == [("complete", 0), ("complete", 1), ("complete", 0)]
    assert "going on after step 2" in log_of(tmp_path, 1).read_text()
    trial = record_of(tmp_path).trial(1)
    assert trial.crashes == 1
    assert trial.value == pytest.approx(trial.params["rate"] * 3)
    assert runs_of(tmp_path)[1].tags["runner.reason"] == ""


HANGS = """
[ -e hung ] && echo '{"step": 1, "accuracy": 0.5}' && exit
touch hung
sleep 600
"""


def test_command_that_says_nothing_has_hung_although_it_is_watched(tmp_path: Path) -> None:
    """Whoever waits for it asks ten times a second what the study wants.

    Fails without `pulse.unnoticed`.
    """
    terminal = own(tmp_path, "", trials=1)
    (tmp_path / "train.sh").write_text(HANGS)
    file = tmp_path / "own.yaml"
    said = file.read_text().replace("objective: train.py:objective", "command: [sh, train.sh]")
    file.write_text(said)
    code, output = terminal.run("search", "own.yaml", "--plain", "--set", "search.silence=3s")
    assert code == 0, output
    assert "showed no sign of life for 3 s (search.silence): killed" in output
    assert states(tmp_path) == [("complete", 1)]


LEAVES = """
import os, subprocess, time
from pathlib import Path

def objective(trial):
    child = subprocess.Popen(["sleep", "600"])
    Path(f"child-{trial.number}").write_text(str(child.pid))
    if trial.number == 0:
        time.sleep(600)
    return 0.5
"""


def test_trial_over_its_time_is_ended_with_all_it_started_and_the_search_goes_on(
    tmp_path: Path,
) -> None:
    terminal = own(tmp_path, LEAVES, trials=2)
    code, output = terminal.run("search", "own.yaml", "--plain", "--set", "search.trial_time=3s")
    assert code == 0, output
    assert [state for state, _ in states(tmp_path)] == ["timed_out", "complete"]
    for number in range(2):
        child = int((tmp_path / f"child-{number}").read_text())
        # Whoever takes over a dead worker's children may take its time to bury them.
        wait_until(lambda child=child: is_over(child), within_s=5.0)


def is_over(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_outcomes_are_all_told_in_the_documents() -> None:
    text = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text("utf-8")
    table = text.partition("### Outcomes")[2].partition("### ")[0]
    assert [outcome for outcome in Outcome if str(outcome) not in table] == []
