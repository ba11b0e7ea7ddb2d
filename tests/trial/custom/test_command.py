"""A command of one's own: what it is given, what it may say, how its trial ends."""

import json
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from runner.backends import LocalBackend
from runner.trial import Decision, Lease, Outcome
from runner.trial.custom import command as command_module
from runner.trial.custom.command import CustomCommand
from tests.backends.feeds import Trials
from tests.objectives import ROOT
from tests.trial.custom.conftest import Answering, Bench
from tests.trial.custom.test_process import are_gone, wait_until

SAYS = """
    import json, os, sys, time
    def say(**content):
        print(json.dumps(content), flush=True)
"""


def shell(bench: Bench, script: str, **keys: object) -> CustomCommand:
    """A shell script as objective."""
    bench.write("train.sh", script)
    return bench.command("sh", "train.sh", **keys)


def python(bench: Bench, code: str, **keys: object) -> CustomCommand:
    """A Python script as objective."""
    bench.write("train.py", textwrap.dedent(SAYS) + textwrap.dedent(code))
    return bench.command(sys.executable, "train.py", **keys)


def test_command_is_given_its_values_in_words_and_in_the_environment(bench: Bench) -> None:
    words = ["{rate}", "{seed}", "{device}", "{number}", "{folder}", "{checkpoint}", "{resume}"]
    bench.write(
        "train.sh",
        r"""
        printf '%s\n' "$PWD" "$@" "$RUNNER_TRIAL" "$RUNNER_SEED" "$RUNNER_DEVICE" \
            "$RUNNER_FOLDER" "$RUNNER_CHECKPOINT" "$RUNNER_RESUME" "$RUNNER_STEP" \
            "$RUNNER_PARAMS" "$CUDA_VISIBLE_DEVICES" "$OMP_NUM_THREADS" > "$RUNNER_FOLDER/seen"
        echo '{"step": 1, "accuracy": 0.5}'
        """,
    )
    objective = bench.command("sh", "train.sh", *words, params={"rate": 0.1, "deep": True})
    bench.lease = Lease(0, ("cuda:0",), threads=2, environment={"CUDA_VISIBLE_DEVICES": "GPU-1"})
    ending = bench.run(objective, rate=0.25).ending
    assert ending.outcome is Outcome.COMPLETE, ending
    own = [str(bench.trial / "scratch"), str(bench.trial / "checkpoint.next"), "0"]
    seen = (bench.trial / "scratch" / "seen").read_text().splitlines()
    assert seen[:8] == [str(bench.folder), "0.25", "7", "cuda:0", "3", *own]
    assert seen[8:15] == ["3", "7", "cuda:0", *own, "0"]
    assert json.loads(seen[15]) == {"rate": 0.25, "deep": True}
    assert seen[16:] == ["GPU-1", "2"]


def test_messages_are_reports_and_other_lines_are_for_the_log(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    objective = shell(
        bench,
        """
        echo "loading größe"
        echo '{"step": 1, "accuracy": 0.5, "train/loss": 2}'
        echo "warning" >&2
        echo '{"step": 2, "accuracy": 0.25}'
        """,
    )
    heard = bench.run(objective)
    assert heard.metrics == [
        (1, {"validation/accuracy": 0.5, "train/loss": 2.0}),
        (2, {"validation/accuracy": 0.25}),
    ]
    ending = heard.ending
    assert (ending.outcome, ending.value, ending.best_step) == (Outcome.COMPLETE, 0.5, 1)
    assert ending.notes["epochs"] == 2
    captured = capfd.readouterr()
    assert captured.out == "loading größe\n"
    assert captured.err == "warning\n"


def test_last_reports_are_heard_although_the_command_has_ended(bench: Bench) -> None:
    class Slow(Answering):
        def report(self, key: object, report: object) -> Decision:
            time.sleep(0.01)
            return super().report(key, report)  # type: ignore[arg-type]

    objective = python(bench, "for n in range(1, 101): say(step=n, accuracy=n / 1000)")
    heard = bench.run(objective, Slow())
    assert len(heard.reports) == 100
    assert heard.ending.value == 0.1


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo one >&2; echo 'last words' >&2; exit 3", "ended with exit code 3: last words"),
        ("exit 1", "ended with exit code 1: it said nothing on stderr"),
        ("kill -SEGV $$", "was ended by signal SIGSEGV: "),
        (
            "no_such_program",
            "ended with exit code 127 (the shell's word for a program that is not",
        ),
    ],
)
def test_command_that_fails_says_how_and_its_last_words(
    bench: Bench, script: str, reason: str
) -> None:
    objective = shell(bench, f'echo \'{{"step": 1, "accuracy": 0.5}}\'\n{script}')
    ending = bench.run(objective).ending
    assert ending.outcome is Outcome.USER_ERROR
    assert ending.reason.startswith(f"the command {reason}")
    assert ending.traceback.startswith("sh train.sh\n")
    if "last words" in script:
        assert ending.traceback.endswith("one\nlast words\n")
    assert ending.value is None


def test_command_that_never_reports_the_metric_fails(bench: Bench) -> None:
    ending = bench.run(shell(bench, """echo '{"step": 1, "acuracy": 0.5}'""")).ending
    assert ending.outcome is Outcome.USER_ERROR
    assert ending.reason.startswith("the trial never reported accuracy (validation/accuracy)")
    assert "it reported validation/acuracy; did you mean search.metric: acuracy?" in ending.reason


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"accuracy": 0.5}', "it has no step; print what is no message to stderr"),
        ('{"step": 1, "accuracy": "0.5"}', "validation/accuracy is '0.5', of type str; a metric"),
        ('{"step": 1, "accuracy": Infinity}', "validation/accuracy is inf; a metric must be a"),
        ('{"step": 1.5, "accuracy": 1}', "the step is 1.5; it must be a whole number, 1 or more"),
        ('{"step": 1}', "a report has no metric; write it beside the step"),
        ('{"artifact": "none.png"}', "no such file or folder: 'none.png'; looked in "),
        ('{"checkpoint": true}', "there is no file in the folder of checkpoints, "),
    ],
)
def test_bad_message_ends_the_command_and_fails_the_trial_with_the_line(
    bench: Bench, line: str, why: str
) -> None:
    objective = shell(bench, f"echo $$ > pid\necho '{line}'\nsleep 600")
    ending = bench.run(objective).ending
    assert ending.outcome is Outcome.USER_ERROR
    assert ending.reason.startswith(f"TrialFailed: the command printed a bad message: {why}")
    assert ending.reason.endswith(f": {line}")
    assert are_gone([int((bench.folder / "pid").read_text())])


@pytest.mark.parametrize("decision", [Decision.STOP, Decision.PAUSE, Decision.TIME_OUT])
def test_command_that_is_to_leave_is_terminated_with_all_it_has_started(
    bench: Bench, decision: Decision
) -> None:
    objective = shell(
        bench,
        """
        sleep 600 & echo $! $$ > pids
        echo '{"step": 1, "accuracy": 0.5}'
        sleep 600
        """,
    )
    began = time.monotonic()
    ending = bench.run(objective, Answering({1: decision})).ending
    assert (ending.outcome, ending.value, ending.reason) == (decision.outcome, 0.5, "")
    assert time.monotonic() - began < command_module.STOP_S
    pids = [int(word) for word in (bench.folder / "pids").read_text().split()]
    assert wait_until(lambda: are_gone(pids))


def test_command_is_asked_between_reports_too(bench: Bench) -> None:
    heard = Answering()
    asked = iter([Decision.CONTINUE] * 3)
    heard.wanted = lambda: next(asked, Decision.TIME_OUT)
    ending = bench.run(shell(bench, "sleep 600"), heard).ending
    assert (ending.outcome, ending.value) == (Outcome.TIMED_OUT, None)


def test_command_that_does_not_leave_is_killed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_module, "STOP_S", 0.5)
    objective = python(
        bench,
        """
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(step=1, accuracy=0.5)
        time.sleep(600)
        """,
    )
    assert bench.run(objective, Answering({1: Decision.STOP})).ending.outcome is Outcome.PRUNED


def test_command_that_saves_when_it_is_terminated_goes_on_from_there(bench: Bench) -> None:
    objective = python(
        bench,
        """
        import signal
        from pathlib import Path
        folder = Path(os.environ["RUNNER_CHECKPOINT"])
        if os.environ["RUNNER_RESUME"] == "1":
            assert os.environ["RUNNER_STEP"] == "2"
            say(step=3, accuracy=float((folder / "state").read_text()))
            sys.exit()
        def leave(number, frame):
            say(step=2, accuracy=0.7)
            (folder / "state").write_text("0.75")
            say(checkpoint=True)
            sys.exit(143)
        signal.signal(signal.SIGTERM, leave)
        say(step=1, accuracy=0.5)
        time.sleep(600)
        """,
    )
    first = bench.run(objective, Answering({1: Decision.PAUSE}))
    assert (first.ending.outcome, first.ending.best_step) == (Outcome.PAUSED, 1)
    second = bench.run(objective)
    assert second.metrics == [
        (1, {"validation/accuracy": 0.5}),
        (2, {"validation/accuracy": 0.7}),
        (3, {"validation/accuracy": 0.75}),
    ]
    assert second.ending.outcome is Outcome.COMPLETE
    assert sorted(path.name for path in bench.trial.iterdir()) == ["scratch"]


TRAINS = """
    import random
    from pathlib import Path
    folder = Path(os.environ["RUNNER_CHECKPOINT"])
    value, stream = 0.0, random.Random(int(os.environ["RUNNER_SEED"]))
    for file in folder.iterdir():
        value, state = eval(file.read_text())
        stream.setstate(state)
    for step in range(int(os.environ["RUNNER_STEP"]) + 1, 7):
        value += stream.random()
        (folder / f"{step}.txt").write_text(repr((value, stream.getstate())))
        say(step=step, accuracy=value, checkpoint=f"{step}.txt")
        wait_for_the_test()
"""


def test_killed_command_goes_on_from_its_checkpoint_bit_for_bit(bench: Bench) -> None:
    whole = bench.run(python(bench, TRAINS.replace("wait_for_the_test()", "pass"))).metrics
    waits = TRAINS.replace("wait_for_the_test()", "step == 3 and time.sleep(600)")
    first = bench.run(python(bench, waits), Answering({3: Decision.PAUSE}))
    assert (first.ending.outcome, first.metrics) == (Outcome.PAUSED, whole[:3])
    second = bench.run(python(bench, TRAINS.replace("wait_for_the_test()", "pass")))
    assert (second.ending.outcome, second.metrics) == (Outcome.COMPLETE, whole)


def test_model_and_artifacts_are_kept_as_they_were_when_they_were_named(bench: Bench) -> None:
    objective = shell(
        bench,
        """
        echo 'first' > "kurve größe.txt"
        echo '{"step": 1, "accuracy": 0.5, "artifact": "kurve größe.txt"}'
        echo net > "$RUNNER_FOLDER/net.bin"
        echo '{"model": "net.bin"}'
        """,
    )
    assert bench.run(objective).ending.outcome is Outcome.COMPLETE
    assert (bench.trial / "artifacts" / "kurve größe.txt").read_text() == "first\n"
    assert (bench.trial / "model" / "net.bin").read_text() == "net\n"


def test_program_that_cannot_be_started_fails_the_trial(bench: Bench) -> None:
    (bench.folder / "train.bin").write_bytes(b"\x7fELF no program")
    (bench.folder / "train.bin").chmod(0o755)
    ending = bench.run(bench.command("./train.bin")).ending
    assert ending.outcome is Outcome.USER_ERROR
    assert ending.reason == "TrialFailed: ./train.bin cannot be started: Exec format error"


def test_parameter_that_only_the_space_has_has_no_value_outside_of_a_search(bench: Bench) -> None:
    objective = bench.command("sh", "{rate}", search={"space": {"rate": {"float": [0, 1]}}})
    assert objective.inspect(bench.lease).findings == ()
    assert bench.run(objective).ending.reason == (
        "TrialFailed: {rate} of the command has no value in this trial; give it a start value in "
        "`params`"
    )


def test_bytes_that_are_no_text_and_progress_bars_are_taken(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    objective = shell(
        bench,
        r"""
        printf '\377\376 raw\n1%%\r2%%\r{"step": 1, "accuracy": 0.5}'
        """,
    )
    assert bench.run(objective).ending.value == 0.5
    assert capfd.readouterr().out == "\ufffd\ufffd raw\n1%\n2%\n"


def test_much_output_does_not_hold_the_command_up(bench: Bench) -> None:
    code = """
    print("x" * 1_000_000)
    print("y" * 1_000_000, file=sys.stderr)
    say(step=1, accuracy=0.5)
    """
    assert bench.run(python(bench, code)).ending.value == 0.5


def test_command_that_leaves_a_process_outside_of_its_group_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_module, "DRAIN_S", 0.2)
    objective = python(
        bench,
        """
        import subprocess
        say(step=1, accuracy=0.5)
        escaped = subprocess.Popen(["sleep", "5"], start_new_session=True)
        """,
    )
    ending = bench.run(objective).ending
    assert ending.outcome is Outcome.USER_ERROR
    assert ending.reason.startswith("TrialFailed: a process that the command started has left")


def test_worker_killed_during_a_command_leaves_nothing_and_the_trial_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real worker: kill -9, then a second attempt from the checkpoint."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    objective = python(
        bench,
        """
        import signal
        from pathlib import Path
        folder = Path(os.environ["RUNNER_CHECKPOINT"])
        step = int(os.environ["RUNNER_STEP"])
        if os.environ["RUNNER_RESUME"] == "0":
            (folder / "state").write_text("0.25")
            say(step=1, accuracy=0.5, checkpoint="state")
            Path("pids").write_text(f"{os.getpid()} {os.getppid()}")
            while list(folder.iterdir()):
                time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
        say(step=step + 1, accuracy=float((folder / "state").read_text()))
        """,
    )
    feed = Trials(bench.folder / "trials", [{}])
    backend = LocalBackend(objective, [Lease(0)], logs=bench.folder / "logs")
    try:
        backend.run(feed)
    finally:
        backend.close()
    assert list(feed.outcomes.values()) == [Outcome.LOST, Outcome.COMPLETE]
    # The kill may come between the checkpoint and the first attempt's report of it.
    assert list(feed.reports.values())[-1] == [1, 2]
    assert wait_until(
        lambda: are_gone([int(p) for p in Path(bench.folder, "pids").read_text().split()])
    )
    assert signal.Signals.SIGKILL.name in feed.ending(0).reason


def test_lines_of_a_command_go_to_the_trials_log_in_a_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    objective = shell(bench, 'echo said\necho cried >&2\necho \'{"step": 1, "accuracy": 1}\'')
    feed = Trials(bench.folder / "trials", [{}])
    backend = LocalBackend(objective, [Lease(0)], logs=bench.folder / "logs")
    try:
        backend.run(feed)
    finally:
        backend.close()
    log = (bench.folder / "trials" / "trial-0" / "log.txt").read_text()
    assert "command: sh train.sh" in log
    assert "said\n" in log
    assert "cried\n" in log
