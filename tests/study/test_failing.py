"""Which failures stop a search, and which trials are run again."""

from pathlib import Path
from typing import Any

import pytest

from runner.study.failing import FailurePolicy, Then, Verdict
from runner.study.mlflow_mapping import STATUS
from runner.study.trial_record import TrialRecord
from runner.trial import Ending, Fault, Outcome, Reach

BUG = Fault("ZeroDivisionError", "train.py:3")
OTHER = Fault("ZeroDivisionError", "train.py:9")
DATA = Fault("DataError: a.png is gone", "folder.py:7", Reach.STUDY)
FULL = Fault("OSError", "checkpoint.py:64", Reach.MACHINE)
BAD = [
    Outcome.FAILED,
    Outcome.USER_ERROR,
    Outcome.DIVERGED,
    Outcome.OUT_OF_MEMORY,
    Outcome.TIMED_OUT,
]


def record(number: int, outcome: Outcome | None = None, *, crashes: int = 0) -> TrialRecord:
    written: dict[str, Any] = dict.fromkeys(TrialRecord.__dataclass_fields__)
    known = {"number": number, "outcome": outcome, "crashes": crashes}
    return TrialRecord(**{**written, **known})


GOOD = record(99, Outcome.COMPLETE)


class Judged:
    """A policy that is told of endings, and the crashes of each trial so far."""

    def __init__(self, *before: TrialRecord, retries: int = 1, max_failures: int = 5) -> None:
        self._policy = FailurePolicy(
            retries=retries,
            max_failures=max_failures,
            trials=before,
            log_of=lambda number: Path(f"trials/{number}/log.txt"),
        )
        self._crashes: dict[int, int] = {}

    def end(
        self,
        number: int,
        outcome: Outcome,
        fault: Fault | None = None,
        *,
        is_crash: bool | None = None,
    ) -> Verdict:
        trial = record(number, crashes=self._crashes.get(number, 0))
        ending = Ending(outcome, reason="it broke", fault=fault)
        is_own = outcome is Outcome.LOST if is_crash is None else is_crash
        verdict = self._policy.judge(trial, ending, is_crash=is_own)
        self._crashes[number] = verdict.crashes
        return verdict

    def crash(self, number: int, fault: Fault = BUG) -> Verdict:
        return self.end(number, Outcome.USER_ERROR, fault)


def test_crash_is_tried_again_as_often_as_asked_then_over() -> None:
    judged = Judged(GOOD, retries=2)
    verdicts = [judged.crash(0) for _ in range(3)]
    assert [verdict.then for verdict in verdicts] == [Then.AGAIN, Then.AGAIN, Then.OVER]
    assert [verdict.crashes for verdict in verdicts] == [1, 2, 3]
    assert Judged(GOOD, retries=0).crash(0).then is Then.OVER


def test_lost_workers_and_errors_share_the_count() -> None:
    judged = Judged(GOOD, retries=1)
    assert judged.end(0, Outcome.LOST).then is Then.AGAIN
    assert judged.crash(0).then is Then.OVER
    assert Judged(retries=0).end(0, Outcome.LOST).then is Then.OVER


def test_lost_beside_others_counts_for_nothing() -> None:
    judged = Judged(retries=0)
    for _ in range(9):
        verdict = judged.end(0, Outcome.LOST, is_crash=False)
        assert verdict == Verdict(Then.AGAIN, 0)


@pytest.mark.parametrize("outcome", BAD)
def test_what_was_not_raised_is_not_tried_again(outcome: Outcome) -> None:
    assert Judged(GOOD, retries=5).end(0, outcome) == Verdict(Then.OVER, 0)


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.OUT_OF_MEMORY])
def test_what_would_come_out_the_same_is_not_tried_again(outcome: Outcome) -> None:
    assert Judged(retries=5).end(0, outcome, BUG).then is Then.OVER


@pytest.mark.parametrize("outcome", [Outcome.PAUSED, Outcome.INTERRUPTED])
def test_what_was_told_to_leave_waits_for_the_next_command(outcome: Outcome) -> None:
    assert Judged().end(0, outcome) == Verdict(Then.WAITS, 0)


def test_same_error_in_the_first_two_trials_stops_the_search_and_loses_neither() -> None:
    judged = Judged(retries=0)
    assert judged.crash(0).then is Then.ASIDE
    verdict = judged.crash(1)
    assert verdict.then is Then.WAITS
    assert verdict.stop == (
        "trials 0 and 1 failed in the same way (at train.py:3), and none has ended well: it broke "
        "(trial 1; its log is trials/1/log.txt). When it is mended, the same command goes on, and "
        "runs again what failed; where the objective itself was edited, add --new"
    )
    assert verdict.headline == "every trial would fail in this way"


def test_same_error_of_one_trial_twice_is_its_own() -> None:
    judged = Judged(retries=1)
    assert judged.crash(0).then is Then.ASIDE
    assert judged.crash(0) == Verdict(Then.OVER, 2)


def test_other_error_or_a_trial_that_ended_well_does_not_stop_the_search() -> None:
    judged = Judged()
    assert judged.crash(0).then is Then.ASIDE
    assert judged.crash(1, OTHER).then is Then.ASIDE
    assert judged.end(2, Outcome.PRUNED).then is Then.OVER
    assert judged.crash(3) == Verdict(Then.AGAIN, 1)
    assert judged.crash(4) == Verdict(Then.AGAIN, 1)


def test_study_that_has_a_good_trial_is_not_stopped_by_two() -> None:
    judged = Judged(GOOD)
    assert [judged.crash(number).stop for number in range(4)] == [""] * 4


def test_trials_that_fail_again_in_the_next_command_have_failed() -> None:
    """Or a study whose first settings are bad would never get on."""
    judged = Judged()
    judged._crashes = {0: 1, 1: 1}
    assert judged.crash(0).then is Then.OVER
    verdict = judged.crash(1)
    assert verdict.then is Then.OVER
    assert verdict.stop.startswith("trials 0 and 1 failed in the same way")


def test_error_of_what_all_trials_share_stops_the_search_at_the_first() -> None:
    """Fails where such an error is taken for a trial's own."""
    verdict = Judged().end(0, Outcome.FAILED, DATA)
    assert verdict.then is Then.WAITS
    assert verdict.stop.startswith("what every trial needs is not in order: it broke (trial 0;")
    assert "--new" not in verdict.stop


def test_error_of_what_all_trials_share_is_not_tried_again_once_it_was_there() -> None:
    verdict = Judged(GOOD, retries=5).end(0, Outcome.FAILED, DATA)
    assert verdict == Verdict(Then.OVER, 1)


@pytest.mark.parametrize("before", [(), (GOOD,)])
def test_full_disk_stops_the_search_at_any_time_and_counts_for_nothing(
    before: tuple[TrialRecord, ...],
) -> None:
    verdict = Judged(*before, retries=0).end(0, Outcome.FAILED, FULL)
    assert (verdict.then, verdict.crashes) == (Then.WAITS, 0)
    assert verdict.stop.startswith(
        "the disk is full, or cannot be written: it broke (trial 0; its"
    )


@pytest.mark.parametrize("outcome", BAD)
def test_failures_in_a_row_stop_the_search_whatever_their_kind(outcome: Outcome) -> None:
    """Fails where any number in a row goes on."""
    judged = Judged(max_failures=3)
    verdicts = [judged.end(number, outcome) for number in range(3)]
    assert [verdict.stop == "" for verdict in verdicts] == [True, True, False]
    assert verdicts[2].stop == (
        "3 trials in a row failed, the last (trial 2) with: it broke. Its log is trials/2/log.txt"
    )


@pytest.mark.parametrize("well", [Outcome.COMPLETE, Outcome.PRUNED])
def test_failures_with_a_good_end_in_between_are_not_in_a_row(well: Outcome) -> None:
    judged = Judged(max_failures=2)
    outcomes = [Outcome.FAILED, well, Outcome.OUT_OF_MEMORY, well, Outcome.TIMED_OUT]
    assert [judged.end(n, each).stop for n, each in enumerate(outcomes)] == [""] * 5


def test_trial_that_is_tried_again_has_not_failed_in_the_row() -> None:
    judged = Judged(GOOD, max_failures=1)
    assert judged.crash(0).stop == ""
    assert judged.crash(0).stop.startswith("1 trials in a row failed")


def test_every_outcome_has_a_status_in_mlflow() -> None:
    assert STATUS.keys() == set(Outcome)
