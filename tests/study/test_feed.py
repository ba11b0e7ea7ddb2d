"""The study's side of the backend contract, over a real record and a real MLflow store."""

import time
from pathlib import Path
from typing import Any

import pytest

from runner.backends import NoJob
from runner.errors import DiskRefused, SearchStopped
from runner.experiment import ChoiceParameter, FixedParameter, FloatParameter, IntParameter, Space
from runner.study import Silent, TrialRecord, post
from runner.study.feed import require_success
from runner.study.inbox import INBOX
from runner.trial import CHECKPOINT, Attempt, Decision, Ending, Fault, Outcome
from tests.objectives import METRIC
from tests.study.conftest import Opened, Searching

FAST_INBOX = "runner.study.feed.INBOX_EVERY_S"


@pytest.fixture(autouse=True)
def _inbox_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FAST_INBOX, 0.0)


def wishes(folder: Path) -> list[Path]:
    return list((folder / INBOX).glob("*"))


def test_search_of_some_trials_completes_each_in_study_and_mlflow(searching: Searching) -> None:
    with searching(trials=3) as opened:
        opened.simulate()
        trials, runs = opened.record.trials(), opened.runs()
    assert [trial.state for trial in trials] == ["complete"] * 3
    assert [runs[n].status for n in range(3)] == ["FINISHED"] * 3
    for trial in trials:
        run = runs[trial.number]
        assert trial.value == pytest.approx(trial.params["value"] + 0.02, abs=1e-6)
        assert run.metrics[METRIC] == trial.value
        assert run.params["value"] == str(trial.params["value"])
        assert run.params["optimizer"] == "adamw"
        assert run.tags["runner.outcome"] == "complete"
        assert run.tags["runner.seed"] == str(trial.seed)
        assert run.tags["runner.data"] == "abc"
    assert len({trial.seed for trial in trials}) == 3


def test_search_again_with_a_larger_budget_runs_the_rest(searching: Searching) -> None:
    with searching(trials=2) as opened:
        opened.simulate()
        first = opened.record.trials()
    with searching(trials=5) as opened:
        opened.simulate()
        assert opened.record.trials()[:2] == first
        assert opened.outcomes == ["complete"] * 5
    with searching(trials=5) as opened:
        assert opened.no_job() is NoJob.DONE


def test_next_with_nothing_left_waits_while_something_runs(searching: Searching) -> None:
    with searching(trials=1) as opened:
        spec = opened.next(0)
        assert opened.no_job(1) is NoJob.WAIT
        opened.end(spec.key, Outcome.COMPLETE, 0.5)
        assert opened.no_job(1) is NoJob.DONE


def test_first_settings_are_tried_first_and_once_over_all_commands(searching: Searching) -> None:
    first = ({"value": 0.25}, {"value": 0.75, "epochs": 3})
    with searching(trials=1, first=first) as opened:
        opened.simulate()
    with searching(trials=4, first=first) as opened:
        opened.simulate()
        trials = opened.record.trials()
    assert [trial.origin for trial in trials] == ["first:0", "first:1", "sampler", "sampler"]
    assert [trial.params["value"] for trial in trials[:2]] == [0.25, 0.75]
    assert trials[0].params["epochs"] == 3


def test_enqueued_setting_is_tried_next_and_leaves_the_inbox(searching: Searching) -> None:
    with searching(trials=3) as opened:
        first = opened.next()
        wish = post(opened.folder, "enqueue", {"params": {"value": 0.125}})
        opened.end(first.key, Outcome.COMPLETE, 0.5)
        opened.simulate()
        trials = opened.record.trials()
    assert [trial.origin for trial in trials] == ["sampler", f"enqueued:{wish}", "sampler"]
    assert trials[1].params["value"] == 0.125
    assert wishes(opened.folder) == []


@pytest.mark.parametrize("is_taken", [True, False])
def test_enqueued_setting_is_tried_exactly_once_also_after_a_crash(
    searching: Searching, is_taken: bool
) -> None:
    with searching(trials=3) as opened:
        wish = post(opened.folder, "enqueue", {"params": {"value": 0.125}})
        if is_taken:
            assert opened.next().params["value"] == 0.125
            assert len(wishes(opened.folder)) == 1
    with searching(trials=3) as opened:
        opened.simulate()
        origins = [trial.origin for trial in opened.record.trials()]
        assert opened.outcomes == ["complete"] * 3
    assert origins.count(f"enqueued:{wish}") == 1
    assert wishes(opened.folder) == []


def test_stop_of_a_running_trial_prunes_it_and_the_search_goes_on(searching: Searching) -> None:
    with searching(trials=2) as opened:
        spec = opened.next()
        assert opened.report(spec.key, 1) is Decision.CONTINUE
        post(opened.folder, "stop-trial", {"number": 0})
        assert opened.feed.cancellations() == {spec.key: Decision.STOP}
        assert opened.report(spec.key, 2) is Decision.STOP
        opened.end(spec.key, Outcome.PRUNED)
        opened.simulate()
        assert opened.outcomes == ["pruned", "complete"]
        assert opened.record.trial(0).reason == "stopped by the user"
        assert opened.runs()[0].tags["runner.reason"] == "stopped by the user"
    assert wishes(opened.folder) == []


def test_stop_of_a_trial_that_does_not_run_is_dropped(searching: Searching) -> None:
    with searching(trials=1) as opened:
        post(opened.folder, "stop-trial", {"number": 7})
        opened.simulate()
        assert opened.outcomes == ["complete"]
    assert wishes(opened.folder) == []


def test_stop_of_the_study_pauses_what_runs_and_the_next_command_continues_it(
    searching: Searching,
) -> None:
    with searching(trials=3) as opened:
        specs = [opened.next(0), opened.next(1)]
        post(opened.folder, "stop-study", {})
        assert opened.feed.cancellations() == {spec.key: Decision.PAUSE for spec in specs}
        assert opened.no_job(2) is NoJob.WAIT
        for spec in specs:
            opened.end(spec.key, Outcome.PAUSED)
        assert opened.no_job() is NoJob.DONE
        assert opened.outcomes == ["waiting (paused)"] * 2
        assert opened.feed.stop_reason == "stopped from another terminal"
        runs = opened.runs()
        assert [(runs[n].status, runs[n].tags["runner.outcome"]) for n in (0, 1)] == [
            ("KILLED", "paused")
        ] * 2
    with searching(trials=3) as opened:
        again = opened.next()
        assert again.key == Attempt(0, 1)
        assert (again.params, again.seed) == (specs[0].params, specs[0].seed)
        assert opened.runs()[0].status == "RUNNING"
        opened.end(again.key, Outcome.COMPLETE, 0.5)
        opened.simulate()
        assert opened.outcomes == ["complete"] * 3
        assert {n: run.run_id for n, run in opened.runs().items() if n < 2} == {
            n: run.run_id for n, run in runs.items()
        }


def test_stop_of_the_study_left_for_an_earlier_driver_is_dropped(searching: Searching) -> None:
    with searching(trials=1) as opened:
        pass
    post(opened.folder, "stop-study", {})
    time.sleep(0.05)
    with searching(trials=1) as opened:
        opened.simulate()
        assert opened.outcomes == ["complete"]
    assert wishes(opened.folder) == []


def test_stop_of_the_study_while_the_driver_gets_ready_is_obeyed(searching: Searching) -> None:
    def ask_to_stop(folder: Path) -> None:
        time.sleep(0.05)
        post(folder, "stop-study", {})

    with searching(trials=1, between=ask_to_stop) as opened:
        assert opened.no_job() is NoJob.DONE
        assert opened.outcomes == []
        assert opened.feed.was_asked


def test_failures_in_a_row_stop_the_search_and_say_which_and_where(searching: Searching) -> None:
    """Fails where any number in a row goes on."""
    space = Space({"act": FixedParameter("raise")})
    with searching(space, trials=9, max_failures=3) as opened:
        opened.simulate()
        assert opened.outcomes == ["failed"] * 3
        with pytest.raises(SearchStopped) as caught:
            require_success(opened.feed)
        assert not opened.feed.was_asked
        assert all(run.status == "FAILED" for run in opened.runs().values())
    message = str(caught.value)
    assert message.startswith("3 trials in a row failed, the last (trial 2) with: the learning")
    assert message.endswith(str(opened.folder / "trials" / "00002" / "log.txt"))


def test_failures_with_another_ending_in_between_are_not_in_a_row(searching: Searching) -> None:
    endings = ["failed", "complete", "out_of_memory", "pruned", "timed_out", "complete"]
    with searching(trials=len(endings), max_failures=2) as opened:
        for ending in endings:
            value = 0.5 if ending == "complete" else None
            opened.end(opened.next().key, Outcome(ending), value)
        assert opened.outcomes == endings
        assert opened.feed.failure is None
        require_success(opened.feed)


def test_failed_trials_in_row_pause_what_still_runs(searching: Searching) -> None:
    with searching(trials=9, max_failures=1) as opened:
        bad, good = opened.next(0), opened.next(1)
        opened.end(bad.key, Outcome.FAILED)
        assert opened.feed.cancellations() == {good.key: Decision.PAUSE}


BUG = Fault("ZeroDivisionError", "train.py:3")


def crash(opened: Opened, key: Attempt, fault: Fault = BUG) -> None:
    ending = Ending(Outcome.USER_ERROR, reason="division by zero", fault=fault)
    opened.feed.end(key, ending)
    opened.feed.finish()


def test_first_two_trials_that_fail_alike_stop_the_search_and_run_again_when_it_is_mended(
    searching: Searching,
) -> None:
    """Fails where the first is not put aside, and where a waiting run is shown as FAILED."""
    with searching(trials=3) as opened:
        first = opened.next()
        crash(opened, first.key)
        assert opened.outcomes == ["waiting (user_error)"]
        second = opened.next()
        assert second.key == Attempt(1, 0)
        crash(opened, second.key)
        assert opened.no_job() is NoJob.DONE
        assert opened.outcomes == ["waiting (user_error)"] * 2
        assert opened.feed.stop_reason == "every trial would fail in this way"
        with pytest.raises(SearchStopped, match="trials 0 and 1 failed in the same way"):
            require_success(opened.feed)
        assert [run.status for run in opened.runs().values()] == ["KILLED"] * 2
        assert opened.runs()[1].tags["runner.outcome"] == "user_error"
    with searching(trials=3) as opened:
        again = opened.next()
        assert (again.key, again.params, again.seed) == (Attempt(0, 1), first.params, first.seed)
        opened.end(again.key, Outcome.COMPLETE, 0.5)
        opened.simulate()
        assert opened.outcomes == ["complete"] * 3


def test_trials_that_run_beside_are_paused_when_every_trial_would_fail(
    searching: Searching,
) -> None:
    with searching(trials=9) as opened:
        specs = [opened.next(slot) for slot in range(3)]
        crash(opened, specs[0].key)
        crash(opened, specs[2].key)
        assert opened.feed.cancellations() == {specs[1].key: Decision.PAUSE}
        crash(opened, specs[1].key)
        assert opened.outcomes == ["waiting (user_error)"] * 3


def test_only_trial_that_fails_is_tried_again_at_once_and_then_has_failed(
    searching: Searching,
) -> None:
    """Fails where what was put aside is not brought back."""
    with searching(trials=1) as opened:
        for attempt in range(2):
            spec = opened.next()
            assert spec.key == Attempt(0, attempt)
            crash(opened, spec.key)
        assert opened.no_job() is NoJob.DONE
        assert opened.outcomes == ["user_error"]
        assert opened.runs()[0].status == "FAILED"
        require_success(opened.feed)


def test_first_trial_that_fails_runs_again_when_another_has_shown_that_one_can(
    searching: Searching,
) -> None:
    with searching(trials=3) as opened:
        crash(opened, opened.next().key)
        good = opened.next()
        assert good.key == Attempt(1, 0)
        opened.end(good.key, Outcome.COMPLETE, 0.5)
        again = opened.next()
        assert again.key == Attempt(0, 1)
        opened.end(again.key, Outcome.COMPLETE, 0.5)
        opened.simulate()
        assert opened.outcomes == ["complete"] * 3


@pytest.mark.parametrize("outcome", [Outcome.USER_ERROR, Outcome.LOST])
def test_crashes_of_a_trial_are_counted_over_all_commands(
    searching: Searching, outcome: Outcome
) -> None:
    """Fails where the count is not written."""
    fault = BUG if outcome is Outcome.USER_ERROR else None
    with searching(trials=2, retries=2) as opened:
        opened.end(opened.next().key, Outcome.COMPLETE, 0.5)
    for attempt in range(3):
        with searching(trials=2, retries=2) as opened:
            spec = opened.next()
            assert spec.key == Attempt(1, attempt)
            opened.feed.end(spec.key, Ending(outcome, fault=fault))
    assert opened.outcomes == ["complete", str(outcome)]


def test_checkpoint_stays_while_a_trial_may_run_again_and_goes_when_it_has_failed(
    searching: Searching,
) -> None:
    """Fails without `clear_ended`."""
    names = {CHECKPOINT, f"{CHECKPOINT}.77.tmp", "checkpoint"}
    with searching(trials=1, retries=1) as opened:
        for left in (names, set()):
            spec = opened.next()
            folder = Path(spec.folder)
            (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
            for name in (CHECKPOINT, f"{CHECKPOINT}.77.tmp", "checkpoint/state"):
                (folder / name).touch()
            crash(opened, spec.key)
            assert {path.name for path in folder.iterdir()} - {"evaluation.json"} == left


def test_listener_is_told_where_the_log_lies(searching: Searching) -> None:
    """Fails where the trial is handed on as the study has it."""
    heard: list[TrialRecord] = []

    class Hears(Silent):
        def ended(self, trial: TrialRecord) -> None:
            heard.append(trial)

    with searching(trials=1, listener=Hears()) as opened:
        opened.simulate()
    (trial,) = heard
    assert trial.log == str(opened.folder / "trials" / "00000" / "log.txt")
    assert opened.record.trial(0).log == ""


def test_reason_of_an_attempt_that_failed_is_not_left_with_one_that_did_not(
    searching: Searching,
) -> None:
    """Fails where an empty reason is not sent."""
    with searching(trials=2) as opened:
        opened.end(opened.next().key, Outcome.COMPLETE, 0.5)
        crash(opened, opened.next().key)
        assert opened.runs()[1].tags["runner.reason"] == "division by zero"
        opened.end(opened.next().key, Outcome.COMPLETE, 0.5)
        assert opened.runs()[1].tags["runner.reason"] == ""


def test_lost_trial_runs_again_before_a_new_one_is_begun(searching: Searching) -> None:
    with searching(trials=2) as opened:
        lost = opened.next()
        opened.end(lost.key, Outcome.LOST)
        assert opened.outcomes == ["waiting (lost)"]
        again = opened.next()
        assert again.key == Attempt(0, 1)
        assert again.params == lost.params
        opened.end(again.key, Outcome.COMPLETE, 0.5)
        opened.simulate()
        assert opened.outcomes == ["complete"] * 2


def test_trial_lost_twice_is_given_up_and_the_search_goes_on(searching: Searching) -> None:
    with searching(trials=2) as opened:
        for attempt in range(2):
            spec = opened.next()
            assert spec.key == Attempt(0, attempt)
            opened.end(spec.key, Outcome.LOST)
        assert opened.next().key == Attempt(1, 0)
        assert opened.outcomes == ["lost", "running"]
        assert opened.runs()[0].status == "FAILED"
        assert opened.record.trial(0).value is None


def test_trial_paused_often_and_lost_once_is_not_given_up(searching: Searching) -> None:
    for _ in range(3):
        with searching(trials=1) as opened:
            opened.end(opened.next().key, Outcome.PAUSED)
    with searching(trials=1) as opened:
        opened.end(opened.next().key, Outcome.LOST)
        assert opened.next().key == Attempt(0, 4)


def test_what_a_dead_attempt_still_says_is_refused(searching: Searching) -> None:
    """Fails where the trial's number alone counts, not its attempt."""
    with searching(trials=1) as opened:
        dead = opened.next().key
        opened.end(dead, Outcome.LOST)
        alive = opened.next().key
        assert opened.report(dead, 1, 0.99) is Decision.STOP
        opened.end(dead, Outcome.COMPLETE, 0.99)
        assert opened.outcomes == ["running"]
        assert opened.report(alive, 1, 0.5) is Decision.CONTINUE
        opened.end(alive, Outcome.COMPLETE, 0.5)
        opened.end(alive, Outcome.FAILED)
        assert opened.record.trial(0).value == 0.5
        assert opened.runs()[0].metrics[METRIC] == 0.5


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_complete_without_a_finite_value_is_failed_or_diverged(
    searching: Searching, value: float | None
) -> None:
    """Fails where a value that is none counts (`judged`)."""
    outcome = Outcome.FAILED if value is None else Outcome.DIVERGED
    with searching(trials=2) as opened:
        opened.end(opened.next().key, Outcome.COMPLETE, value)
        trial = opened.record.trial(0)
        assert (trial.outcome, trial.value) == (outcome, None)
        assert trial.reason == f"it ended as complete, with {value} as its validation/accuracy"
    with searching(trials=2) as opened:
        opened.simulate()
        assert opened.outcomes == [str(outcome), "complete"]


def test_time_used_up_pauses_what_runs_and_more_time_continues_it(searching: Searching) -> None:
    space = Space({"epochs": FixedParameter(50), "epoch_s": FixedParameter(0.05)})
    with searching(space, trials=2, time_s=0.4) as opened:
        opened.run_inline()
        assert opened.outcomes == ["waiting (paused)"]
        assert opened.record.trial(0).reason == "the time of 0.4 s is used up"
        used_s = opened.record.attributes["seconds_used"]
        assert used_s >= 0.4
    with searching(space, trials=2, time_s=0.4) as opened:
        assert opened.no_job() is NoJob.DONE
    with searching(space, trials=2, time_s=1e6) as opened:
        assert opened.feed.budget.used_s >= used_s
        assert opened.next().key == Attempt(0, 1)


def test_trial_longer_than_its_limit_is_timed_out_and_the_next_one_runs(
    searching: Searching,
) -> None:
    """Fails where nothing is wanted of a trial that is overdue."""
    space = Space({"epochs": FixedParameter(1), "epoch_s": FloatParameter(0.0, 9.0)})
    first = ({"epoch_s": 9.0}, {"epoch_s": 0.0})
    with searching(space, trials=2, first=first, trial_time_s=0.3) as opened:
        opened.run_inline()
        assert opened.outcomes == ["timed_out", "complete"]
        assert opened.record.trial(0).reason == "longer than search.trial_time 0.3 s"
        assert opened.runs()[0].status == "FAILED"


def test_worker_killed_for_a_time_limit_leaves_both_reasons(searching: Searching) -> None:
    with searching(trials=1, trial_time_s=0.01) as opened:
        key = opened.next().key
        time.sleep(0.02)
        assert opened.feed.cancellations() == {key: Decision.TIME_OUT}
        opened.feed.end(key, Ending(Outcome.TIMED_OUT, reason="the worker did not leave"))
        assert opened.record.trial(0).reason == (
            "longer than search.trial_time 0.01 s; the worker did not leave"
        )


def test_asha_prunes_weak_trials_at_rungs_and_never_at_the_end(searching: Searching) -> None:
    space = Space(
        {"epochs": IntParameter(3, 9), "value": FloatParameter(0.0, 0.8)},
    )
    with searching(space, pruner="asha", trials=24) as opened:
        opened.simulate(slots=4)
        pruned = [t for t in opened.record.trials() if t.outcome is Outcome.PRUNED]
        complete = [t for t in opened.record.trials() if t.outcome is Outcome.COMPLETE]
        runs = opened.runs()
    assert len(pruned) + len(complete) == 24
    assert len(pruned) > len(complete) > 1
    for trial in pruned:
        last = max(trial.rungs)
        assert trial.rungs.keys() <= {1, 3, 9}
        assert trial.value == trial.rungs[last]
        assert trial.reason == f"pruned at epoch {last}"
        assert last < trial.params["epochs"]
        assert runs[trial.number].status == "KILLED"
        assert runs[trial.number].tags["runner.outcome"] == "pruned"
    assert max(t.params["value"] for t in complete) > max(t.params["value"] for t in pruned)


def test_reports_between_rungs_go_to_mlflow_and_not_to_the_study(searching: Searching) -> None:
    with searching(pruner="asha", trials=1) as opened:
        key = opened.next().key
        opened.feed.running[0].epochs = 5
        for step in range(1, 6):
            opened.report(key, step)
        opened.end(key, Outcome.COMPLETE, 0.5)
        assert sorted(opened.record.trial(0).rungs) == [1, 3]
        assert opened.steps(0) == [1, 2, 3, 4, 5]


GRID: Any = Space({"epochs": FixedParameter(1), "value": ChoiceParameter((0.1, 0.2))})


def test_grid_that_is_used_up_ends_the_search_and_says_so(
    searching: Searching, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "runner.study.waves")
    with searching(GRID, sampler="grid", trials=9) as opened:
        opened.simulate(slots=3)
        assert opened.outcomes == ["complete"] * 2
    assert caplog.messages == ["every setting of the grid has been tried"]


def test_grid_that_is_used_up_still_runs_a_lost_trial_and_an_enqueued_one(
    searching: Searching,
) -> None:
    with searching(GRID, sampler="grid", trials=9) as opened:
        specs = [opened.next(0), opened.next(1)]
        assert opened.no_job(2) is NoJob.WAIT
        assert opened.feed.stop_reason == ""
        opened.end(specs[0].key, Outcome.LOST)
        assert opened.next(0).key == Attempt(0, 1)
        post(opened.folder, "enqueue", {"params": {"value": 0.1}})
        assert opened.next(2).params["value"] == 0.1


def test_results_that_cannot_be_written_stop_the_search_and_the_trial_runs_again(
    searching: Searching,
) -> None:
    """Fails where the error is let through as it is."""
    with searching(trials=1) as opened:
        spec = opened.next()
        # In the way of the file; of a full disk it would be said in the same way.
        (Path(spec.folder) / "evaluation.json").mkdir(parents=True)
        with pytest.raises(DiskRefused, match=r"evaluation\.json cannot be written: .*same"):
            opened.feed.end(spec.key, Ending(Outcome.COMPLETE, 0.5, 1))
    (Path(spec.folder) / "evaluation.json").rmdir()
    with searching(trials=1) as opened:
        assert opened.next().key == Attempt(0, 1)


def test_signal_while_a_trial_is_begun_has_that_trial_leave(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where `_begin` does not look at `stop_reason` once the trial is among the running."""
    with searching() as opened:
        begin = opened.record.begin

        def interrupted(number: int) -> int:
            opened.feed.stop("interrupted")
            return begin(number)

        monkeypatch.setattr(opened.record, "begin", interrupted)
        key = opened.next().key
        assert opened.feed.cancellations() == {key: Decision.PAUSE}
        opened.end(key, Outcome.PAUSED)


@pytest.mark.parametrize("moment", ["report", "end"])
def test_inline_search_whose_feed_fails_ends_with_the_feeds_own_error(
    searching: Searching, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Fails where the backend does not raise it again, or asks the feed once more."""
    with searching() as opened:
        asked: list[str] = []

        def refused(key: Attempt, *_: object) -> None:
            asked.append(moment)
            raise DiskRefused("the disk is full")

        monkeypatch.setattr(opened.feed, moment, refused)
        with pytest.raises(DiskRefused, match="the disk is full"):
            opened.run_inline()
        assert asked == [moment]
        assert opened.outcomes == ["running"]
