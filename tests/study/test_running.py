"""What is kept of the trials that run."""

import pytest

from runner.study.rules import RunningTrial
from runner.study.running import Running
from runner.trial import Attempt, Decision, Lease, Share

LIMIT_S = 10.0


def trial(number: int, lease: Lease, *, attempt: int = 0, started_s: float = 0.0) -> RunningTrial:
    return RunningTrial(Attempt(number, attempt), lease, {}, None, started_s)


def shared(slot: int, device: str = "cuda:0") -> Lease:
    return Lease(slot, share=Share(device, count=4, memory_gib=None))


def overdue(running: Running, *, now_s: float) -> list[int]:
    return [each.key.trial for each in running.overdue(now_s=now_s)]


def test_places_of_trials_that_share_one_and_end_are_counted_once_and_then_not() -> None:
    running = Running(LIMIT_S)
    running.add(trial(0, Lease(0)))
    running.add(trial(1, shared(1)))
    running.add(trial(2, shared(2)))
    assert (len(running), running.places) == (3, 2)
    running.remove(1)
    assert running.places == 2
    running.remove(2)
    assert running.places == 1
    assert running.get(2) is None


def test_beside_is_the_most_other_jobs_that_ran_on_a_trials_device() -> None:
    running = Running(LIMIT_S)
    running.add(trial(0, shared(0)))
    running.add(trial(1, shared(1)))
    # Of the same job as trial 1, and on another device.
    running.add(trial(2, shared(1)))
    running.add(trial(3, shared(2, "cuda:1")))
    running.remove(0)
    running.add(trial(4, shared(3)))
    assert [running[number].beside for number in (1, 2, 3, 4)] == [1, 1, 0, 1]


def test_leaving_has_what_was_wanted_first_until_the_trial_has_ended() -> None:
    running = Running(LIMIT_S)
    for number in (0, 1):
        running.add(trial(number, Lease(number)))
    running.want(running[0], Decision.STOP, "weak")
    running.want_all(Decision.PAUSE, "over")
    assert running.leaving == {Attempt(0, 0): Decision.STOP, Attempt(1, 0): Decision.PAUSE}
    assert (running[0].why, running[1].why) == ("weak", "over")
    running.remove(0)
    assert running.leaving == {Attempt(1, 0): Decision.PAUSE}


def test_leaving_is_not_changed_by_what_comes_later() -> None:
    running = Running(LIMIT_S)
    running.add(trial(0, Lease(0)))
    before = running.leaving
    running.want(running[0], Decision.STOP, "weak")
    assert before == {}


def test_overdue_gives_each_trial_once_when_its_own_time_is_over() -> None:
    running = Running(LIMIT_S)
    running.add(trial(0, Lease(0), started_s=0.0))
    running.add(trial(1, Lease(1), started_s=5.0))
    assert overdue(running, now_s=9.0) == []
    assert overdue(running, now_s=11.0) == [0]
    assert overdue(running, now_s=12.0) == []
    assert overdue(running, now_s=100.0) == [1]


def test_overdue_of_a_trial_that_got_neighbours_since_waits_for_its_longer_limit() -> None:
    running = Running(LIMIT_S)
    running.add(trial(0, shared(0)))
    assert overdue(running, now_s=1.0) == []
    running.add(trial(1, shared(1), started_s=1.0))
    assert overdue(running, now_s=15.0) == []
    assert overdue(running, now_s=20.5) == [0]


def test_overdue_leaves_out_what_ended_and_an_earlier_attempt_at_what_runs() -> None:
    running = Running(LIMIT_S)
    for number in (0, 1):
        running.add(trial(number, Lease(number)))
        running.remove(number)
    running.add(trial(1, Lease(1), attempt=1, started_s=8.0))
    assert overdue(running, now_s=11.0) == []
    assert overdue(running, now_s=18.5) == [1]


def test_overdue_without_a_limit_is_nobody() -> None:
    running = Running()
    running.add(trial(0, Lease(0)))
    assert overdue(running, now_s=1e9) == []


def test_getitem_of_a_trial_that_does_not_run_raises() -> None:
    with pytest.raises(KeyError):
        Running()[0]
