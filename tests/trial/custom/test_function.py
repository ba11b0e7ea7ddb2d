"""A Python function of one's own: what it may do, and how its trial ends."""

import json
import math
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runner.trial import Decision, Fault, Job, Outcome, Reach, run_job
from tests.trial.custom.conftest import Answering, Bench


def test_function_gets_its_trial(bench: Bench) -> None:
    objective = bench.function(
        """
        import json
        def objective(trial):
            facts = {name: getattr(trial, name) for name in ("params", "number", "seed", "device",
                     "devices", "threads", "step")}
            facts["folder"] = str(trial.folder)
            facts["resume"] = trial.resume()
            trial.log_artifact("facts.json", json.dumps(facts))
            return 0.5
        """,
        params={"epochs": 3, "rate": 0.1},
    )
    assert bench.run(objective, rate=0.2).ending.outcome is Outcome.COMPLETE
    assert json.loads((bench.trial / "artifacts" / "facts.json").read_text()) == {
        "params": {"epochs": 3, "rate": 0.2},
        "number": 3,
        "seed": 7,
        "device": "cpu",
        "devices": ["cpu"],
        "threads": 1,
        "step": 0,
        "folder": str(bench.trial / "scratch"),
        "resume": None,
    }


def test_reports_are_sent_and_the_best_is_the_value(bench: Bench) -> None:
    objective = bench.function(
        """
        def objective(trial):
            for step, accuracy in enumerate([0.5, 0.9, 0.7], start=1):
                trial.report(step, accuracy=accuracy, **{"train/loss": 1 / step})
        """
    )
    heard = bench.run(objective)
    assert heard.metrics == [
        (1, {"validation/accuracy": 0.5, "train/loss": 1.0}),
        (2, {"validation/accuracy": 0.9, "train/loss": 0.5}),
        (3, {"validation/accuracy": 0.7, "train/loss": 1 / 3}),
    ]
    ending = heard.ending
    assert (ending.outcome, ending.value, ending.best_step) == (Outcome.COMPLETE, 0.9, 2)
    assert ending.notes.keys() == {"device", "threads", "train_s", "epochs"}
    assert ending.notes["epochs"] == 3


@pytest.mark.parametrize(
    ("returned", "reports", "value"),
    [
        ("0.8", [(1, {"validation/accuracy": 0.8})], 0.8),
        (
            '{"accuracy": 0.8, "test/f1": 0.7}',
            [(1, {"validation/accuracy": 0.8, "test/f1": 0.7})],
            0.8,
        ),
    ],
)
def test_returned_metrics_alone_are_the_one_report(
    bench: Bench, returned: str, reports: object, value: float
) -> None:
    heard = bench.run(bench.function(f"def objective(trial): return {returned}"))
    assert heard.metrics == reports
    assert heard.ending.value == value


def test_returned_number_after_reports_is_the_last_of_them(bench: Bench) -> None:
    objective = bench.function(
        """
        def objective(trial):
            trial.report(5, accuracy=0.9)
            return 0.8
        """
    )
    heard = bench.run(objective)
    assert heard.metrics[-1] == (6, {"validation/accuracy": 0.8})
    assert (heard.ending.value, heard.ending.best_step) == (0.9, 5)


def test_function_that_has_returned_is_complete_whatever_the_study_answers(bench: Bench) -> None:
    heard = Answering({1: Decision.PAUSE})
    bench.run(bench.function("def objective(trial): return 0.8"), heard)
    assert heard.ending.outcome is Outcome.COMPLETE


@pytest.mark.parametrize("decision", [Decision.STOP, Decision.PAUSE, Decision.TIME_OUT])
def test_report_raises_when_the_study_wants_the_trial_to_leave(
    bench: Bench, decision: Decision
) -> None:
    objective = bench.function(
        """
        def objective(trial):
            for step in range(1, 9):
                trial.report(step, accuracy=step / 10)
        """
    )
    heard = bench.run(objective, Answering({2: decision}))
    assert [step for step, _ in heard.metrics] == [1, 2]
    ending = heard.ending
    assert (ending.outcome, ending.value, ending.best_step) == (decision.outcome, 0.2, 2)


def test_should_stop_that_was_true_ends_the_trial_although_it_returned(bench: Bench) -> None:
    objective = bench.function(
        """
        def objective(trial):
            trial.report(1, accuracy=0.5)
            while not trial.should_stop():
                pass
            return 0.9
        """
    )
    heard = Answering()
    asked = iter([Decision.CONTINUE, Decision.CONTINUE, Decision.STOP])
    heard.wanted = lambda: next(asked)
    ending = bench.run(objective, heard).ending
    assert (ending.outcome, ending.value) == (Outcome.PRUNED, 0.5)


def test_except_exception_lets_the_stop_through(bench: Bench) -> None:
    objective = bench.function(
        """
        def objective(trial):
            for step in range(1, 4):
                try:
                    trial.report(step, accuracy=step / 10)
                except Exception:
                    pass
        """
    )
    assert len(bench.run(objective, Answering({1: Decision.STOP})).reports) == 1


@pytest.mark.parametrize("ending", ["return 0.9", "raise SystemExit(3)", "1 / 0"])
def test_swallowed_stop_is_a_stop_all_the_same(bench: Bench, ending: str) -> None:
    objective = bench.function(
        f"""
        def objective(trial):
            for step in range(1, 4):
                try:
                    trial.report(step, accuracy=step / 10)
                except BaseException as stop:
                    print(type(stop).__name__, stop.outcome)
            {ending}
        """
    )
    heard = bench.run(objective, Answering({1: Decision.STOP}))
    assert len(heard.reports) == 1
    assert (heard.ending.outcome, heard.ending.value) == (Outcome.PRUNED, 0.1)
    expected = {"1 / 0": "while leaving it raised ZeroDivisionError: division by zero"}
    assert heard.ending.reason == expected.get(ending, "")


def test_exception_ends_the_trial_as_the_users_error_with_the_users_line(bench: Bench) -> None:
    objective = bench.function(
        """
        def objective(trial):
            trial.report(1, accuracy=0.5)
            raise ValueError("the learning rate is\\nmuch too high")
        """
    )
    ending = bench.run(objective).ending
    assert ending.outcome is Outcome.USER_ERROR
    assert ending.reason == "ValueError: the learning rate is"
    assert f'File "{bench.folder / "my_train.py"}", line 4, in objective' in ending.traceback
    assert 'raise ValueError("the learning rate is' in ending.traceback
    assert ending.fault == Fault("ValueError", f"{bench.folder / 'my_train.py'}:4")


def test_exception_leaves_the_checkpoint_for_the_next_attempt(bench: Bench) -> None:
    """Fails where an exception removes it."""
    objective = bench.function(
        """
        def objective(trial):
            for step in range(trial.step + 1, 4):
                trial.report(step, accuracy=step / 10)
                with trial.checkpoint():
                    pass
                if step == 2:
                    raise OSError("the network has gone")
        """
    )
    assert bench.run(objective).ending.outcome is Outcome.USER_ERROR
    again = bench.run(objective)
    assert again.ending.outcome is Outcome.COMPLETE
    assert [step for step, _ in again.metrics] == [1, 2, 3]


@pytest.mark.parametrize("body", ["return float('nan')", "trial.report(1, accuracy=float('nan'))"])
def test_metric_that_is_never_finite_is_diverged(bench: Bench, body: str) -> None:
    ending = bench.run(bench.function(f"def objective(trial):\n    {body}")).ending
    assert ending.outcome is Outcome.DIVERGED
    assert ending.reason == "validation/accuracy was not a finite number in any of 1 steps"


def test_metric_that_is_never_reported_is_what_every_trial_would_do(bench: Bench) -> None:
    objective = bench.function("def objective(trial): trial.report(1, acuracy=0.5)")
    ending = bench.run(objective).ending
    assert ending.outcome is Outcome.USER_ERROR
    assert ending.fault is not None
    assert ending.fault.reach is Reach.STUDY


def test_sys_exit_in_the_function_fails_the_trial_and_not_the_worker(bench: Bench) -> None:
    objective = bench.function("import sys\ndef objective(trial): sys.exit('no data')")
    ending = bench.run(objective).ending
    assert ending.outcome is Outcome.USER_ERROR
    assert ending.reason == "TrialFailed: the objective called sys.exit('no data')"


def test_driver_that_has_gone_takes_the_worker_with_it_and_the_checkpoint_stays(
    bench: Bench,
) -> None:
    objective = bench.function(
        """
        def objective(trial):
            with trial.checkpoint() as folder:
                (folder / "state").write_text("1")
            trial.report(1, accuracy=0.5)
        """
    )

    class Gone(Answering):
        def report(self, key: object, report: object) -> Decision:  # type: ignore[override]
            raise SystemExit("the driver has gone")

    with pytest.raises(SystemExit, match="the driver has gone"):
        bench.run(objective, Gone())
    assert (bench.trial / "checkpoint" / "files" / "state").read_text() == "1"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("MemoryError()", ""),
        ("torch.OutOfMemoryError('CUDA out of memory.')", " (CUDA out of memory.)"),
    ],
)
def test_memory_that_runs_out_is_an_outcome_of_its_own(
    bench: Bench, raised: str, said: str
) -> None:
    objective = bench.function(f"import torch\ndef objective(trial): raise {raised}")
    ending = bench.run(objective).ending
    assert ending.outcome is Outcome.OUT_OF_MEMORY
    assert ending.reason == f"out of memory in the objective{said}"


@pytest.mark.parametrize("is_packed", [True, False])
def test_memory_that_runs_out_beside_others_leaves_the_checkpoint_for_the_next_attempt(
    bench: Bench, is_packed: bool
) -> None:
    objective = bench.function(
        """
        def objective(trial):
            with trial.checkpoint() as folder:
                (folder / "state").write_text("1")
            raise MemoryError
        """
    )
    spec, channel = replace(bench.spec(), is_packed=is_packed), Answering()
    run_job(objective, Job((spec,)), bench.lease, channel)
    assert channel.ending.outcome is Outcome.OUT_OF_MEMORY
    assert (bench.trial / "checkpoint" / "files" / "state").exists() == is_packed


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("pass", "the trial never reported accuracy (validation/accuracy), the metric that the "),
        ("trial.report(1, acc=0.5)", "the trial never reported accuracy "),
        ("return 'good'", "TrialFailed: the function returned 'good', of type str; it may return"),
        ("trial.report(0, accuracy=1)", "TrialFailed: the step is 0; steps are counted from 1"),
        ("trial.report(1, accuracy='1')", "TrialFailed: validation/accuracy is '1', of type str"),
        ("trial.report(1)", "TrialFailed: a report has no metric"),
        ("trial.log_artifact('x.png')", "TrialFailed: no such file or folder: 'x.png'; looked in"),
        ("trial.save_model('/none')", "TrialFailed: no such file or folder: '/none'"),
    ],
)
def test_misuse_fails_the_trial_with_a_reason(bench: Bench, body: str, reason: str) -> None:
    ending = bench.run(bench.function(f"def objective(trial):\n    {body}")).ending
    assert ending.outcome is Outcome.USER_ERROR
    assert ending.reason.startswith(reason)
    assert ending.value is None


def test_parameter_that_is_not_there_is_answered_with_those_that_are(bench: Bench) -> None:
    objective = bench.function(
        "def objective(trial): return trial.params['lerning_rate']", params={"epochs": 3}
    )
    reason = bench.run(objective, learning_rate=0.1).ending.reason
    assert reason == (
        "KeyError: \"the trial has no parameter 'lerning_rate'; it has epochs, learning_rate; did "
        "you mean 'learning_rate'? (give it a start value in `params`, or vary it in "
        'search.space)"'
    )


def test_nan_is_passed_on_and_never_the_best(bench: Bench) -> None:
    objective = bench.function(
        """
        def objective(trial):
            trial.report(1, accuracy=float("nan"))
            trial.report(2, accuracy=0.1)
        """
    )
    heard = bench.run(objective)
    assert math.isnan(heard.metrics[0][1]["validation/accuracy"])
    assert (heard.ending.value, heard.ending.best_step) == (0.1, 2)


TRAINS = """
    import random
    from pathlib import Path

    def objective(trial):
        weights, stream = [0.0], random.Random(trial.seed)
        if folder := trial.resume():
            weights, state = eval((folder / "state.txt").read_text())
            stream.setstate(state)
        for epoch in range(trial.step + 1, 7):
            weights.append(weights[-1] + stream.random())
            trial.report(epoch, accuracy=weights[-1])
            with trial.checkpoint() as folder:
                (folder / "state.txt").write_text(repr((weights, stream.getstate())))
"""


def test_paused_trial_goes_on_from_its_checkpoint_bit_for_bit(bench: Bench) -> None:
    objective = bench.function(TRAINS)
    whole = bench.run(objective).metrics
    first = bench.run(objective, Answering({4: Decision.PAUSE}))
    assert (first.ending.outcome, first.metrics) == (Outcome.PAUSED, whole[:4])
    second = bench.run(objective)
    # The checkpoint was written after epoch 3, and epoch 4 is trained again.
    assert second.ending.outcome is Outcome.COMPLETE
    assert second.metrics == whole
    assert [report.time_ms for report in second.reports[:3]] == [
        report.time_ms for report in first.reports[:3]
    ]
    assert not (bench.trial / "checkpoint").exists()


def test_replayed_report_may_end_the_trial_without_calling_the_function(bench: Bench) -> None:
    objective = bench.function(TRAINS)
    bench.run(objective, Answering({4: Decision.PAUSE}))
    bench.write("my_train.py", "def objective(trial): raise AssertionError")
    again = bench.run(bench.function(), Answering({1: Decision.STOP}))
    assert (again.ending.outcome, len(again.reports)) == (Outcome.PRUNED, 1)


def test_checkpoint_that_raises_leaves_the_one_before(bench: Bench) -> None:
    objective = bench.function(
        """
        def objective(trial):
            for step in (1, 2):
                trial.report(step, accuracy=step / 10)
                try:
                    with trial.checkpoint() as folder:
                        (folder / "state").write_text(str(step))
                        if step == 2:
                            raise OSError("disk full")
                except OSError:
                    pass
            print("found", (trial.resume() / "state").read_text())
            trial.report(3, accuracy=(trial.resume() / "state").read_text() == "1" and 1)
        """
    )
    assert bench.run(objective).metrics[-1] == (3, {"validation/accuracy": 1.0})


def test_trial_that_reports_from_the_start_again_after_a_checkpoint_is_told(bench: Bench) -> None:
    objective = bench.function(
        """
        def objective(trial):
            for step in (1, 2, 3):
                trial.report(step, accuracy=0.5)
                with trial.checkpoint():
                    pass
        """
    )
    bench.run(objective, Answering({3: Decision.PAUSE}))
    ending = bench.run(objective).ending
    assert ending.outcome is Outcome.USER_ERROR
    assert ending.reason.startswith("TrialFailed: step 1 is reported after step 2; steps must")


def test_model_is_kept_of_a_complete_trial_and_not_of_a_pruned_one(bench: Bench) -> None:
    objective = bench.function(
        """
        def objective(trial):
            for step, accuracy in enumerate([0.5, 0.9, 0.7], start=1):
                trial.report(step, accuracy=accuracy)
                if trial.is_best:
                    (trial.folder / "net.txt").write_text(str(step))
                    trial.save_model("net.txt")
        """
    )
    bench.run(objective)
    assert (bench.trial / "model" / "net.txt").read_text() == "2"
    bench.run(objective, Answering({2: Decision.STOP}))
    assert not (bench.trial / "model").exists()


def test_artifacts_are_kept_by_their_names(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    objective = bench.function(
        """
        def objective(trial):
            trial.log_artifact("kurven/größe 1.txt", "größer")
            trial.log_artifact("raw.bin", b"123")
            (trial.folder / "plots").mkdir()
            (trial.folder / "plots" / "a.txt").write_text("a")
            trial.log_artifact("plots")
            trial.log_artifact(trial.folder / "plots" / "a.txt")
            return 1
        """
    )
    with caplog.at_level("INFO"):
        bench.run(objective)
    artifacts = bench.trial / "artifacts"
    names = sorted(p.relative_to(artifacts).as_posix() for p in artifacts.rglob("*.*"))
    assert names == ["a.txt", "kurven/größe 1.txt", "plots/a.txt", "raw.bin"]
    assert (artifacts / "kurven" / "größe 1.txt").read_text("utf-8") == "größer"
    assert "artifact kurven/größe 1.txt: 0.0 kB" in caplog.messages


def test_function_in_a_folder_of_any_name_with_modules_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "mein Projekt (训练)"
    folder.mkdir()
    bench = Bench(folder)
    bench.write("hilfe.py", "VALUE = 0.5")
    bench.write("spät.py", "VALUE = 0.25")
    bench.write(
        "my_train.py",
        """
        import os
        from hilfe import VALUE
        def objective(trial):
            import spät
            os.chdir("/")
            return VALUE + spät.VALUE
        """,
    )
    before = (list(sys.path), Path.cwd())
    assert bench.run(bench.function()).ending.value == 0.75
    assert (list(sys.path), Path.cwd()) == before


def test_function_is_loaded_once_a_process_and_pickles_without_it(bench: Bench) -> None:
    objective = bench.function(
        """
        calls = []
        def objective(trial):
            calls.append(1)
            return len(calls)
        """
    )
    assert not objective.inspect(bench.lease).findings
    assert [bench.run(objective).ending.value for _ in range(2)] == [1.0, 2.0]
    fresh = pickle.loads(pickle.dumps(objective))
    assert bench.run(fresh).ending.value == 1.0


def test_trials_begin_with_the_same_random_state_whatever_ran_before(bench: Bench) -> None:
    objective = bench.function(
        """
        import random
        import numpy as np
        import torch
        def objective(trial):
            return {"accuracy": random.random(), "n": np.random.rand(), "t": torch.rand(())}
        """
    )
    first, second = bench.run(objective).metrics, bench.run(objective).metrics
    assert first == second
