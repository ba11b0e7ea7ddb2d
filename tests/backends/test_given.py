"""How a driver follows a job that it has given: what is open, what was told, when it has hung."""

import time

import pytest

from runner.backends.given import Given
from runner.trial import Attempt, Decision, Outcome

FIRST, SECOND = Attempt(1, 0), Attempt(2, 0)


def test_wish_is_told_once_and_a_changed_one_again() -> None:
    given = Given([FIRST])
    wanted = {FIRST: Decision.PAUSE, SECOND: Decision.STOP}

    assert given.news(wanted) == {FIRST: Decision.PAUSE}
    assert given.news(wanted) == {}
    assert given.news({FIRST: Decision.TIME_OUT}) == {FIRST: Decision.TIME_OUT}


def test_worker_that_does_not_leave_in_time_has_hung() -> None:
    given = Given([FIRST], grace_s=0.05)
    time.sleep(0.1)
    assert not given.has_hung
    given.news({FIRST: Decision.PAUSE})
    assert not given.has_hung
    time.sleep(0.1)
    assert given.has_hung
    given.is_killed = True
    assert not given.has_hung


def test_worker_is_given_time_while_others_of_the_job_are_heard_of() -> None:
    given = Given([FIRST, SECOND], grace_s=0.2)
    given.news({FIRST: Decision.STOP})
    time.sleep(0.25)
    given.hear()
    assert not given.has_hung
    time.sleep(0.25)
    assert given.has_hung


def test_ended_attempt_is_not_waited_for() -> None:
    given = Given([FIRST], grace_s=0.0)
    given.news({FIRST: Decision.STOP})
    assert given.end(FIRST)
    assert not given.end(FIRST)
    assert not given.has_hung


def test_worker_without_a_sign_of_life_is_silent_and_any_is_enough() -> None:
    given = Given([FIRST], silence_s=0.2)
    for sign in (given.live, given.hear):
        time.sleep(0.15)
        assert not given.is_silent
        sign()
    time.sleep(0.25)
    assert given.is_silent
    assert not given.has_hung
    given.was_silent = True
    assert not given.is_silent
    assert given.why_killed == "showed no sign of life for 0.2 s (search.silence): killed"


def test_time_that_the_driver_was_stopped_is_neither_silence_nor_grace() -> None:
    """Its workers may have been stopped with it. Fails where `Watch` counts all of it."""
    given = Given([FIRST], grace_s=10.0, silence_s=10.0)
    given.news({FIRST: Decision.STOP})
    given._watch._looked_s -= 3600.0
    assert not given.is_silent
    assert not given.has_hung


def test_worker_may_be_silent_for_ever_where_nobody_minds() -> None:
    given = Given([FIRST])
    time.sleep(0.05)
    assert not given.is_silent


@pytest.mark.parametrize(
    ("told", "outcome"),
    [({}, Outcome.LOST), ({FIRST: Decision.TIME_OUT}, Outcome.TIMED_OUT)],
)
def test_what_was_open_ends_as_it_was_told_to(
    told: dict[Attempt, Decision], outcome: Outcome
) -> None:
    given = Given([FIRST, SECOND])
    given.end(SECOND)
    given.news(told)

    assert [(key, ending.outcome, ending.reason) for key, ending in given.losses("it died")] == [
        (FIRST, outcome, "it died")
    ]
