"""Between Tune's loop and a feed, without Ray."""

from pathlib import Path

import pytest

from runner.backends import Silence
from runner.backends.ray.bridge import Bridge
from runner.errors import SearchStopped
from runner.trial import Lease, Outcome
from tests.backends.feeds import Trials


class Four:
    """Slots of one machine."""

    def count(self) -> int:
        return 4

    def lease(self, slot: int) -> Lease:
        return Lease(slot)


@pytest.fixture
def feed(tmp_path: Path) -> Trials:
    return Trials(tmp_path, *([{}] for _ in range(4)))


@pytest.fixture
def bridge(feed: Trials) -> Bridge:
    """Four jobs run, for Tune's trials 0 to 3."""
    made = Bridge(feed, Four(), grace_s=30.0, silence=Silence(10.0))
    for number in range(4):
        made.next(str(number))
    return made


def test_jobs_that_are_open_when_tune_ends_are_lost_and_no_deaths(
    bridge: Bridge, feed: Trials
) -> None:
    """Fails where `abandon` counts each of them."""
    bridge.abandon("Ray Tune ended before the trial did")
    assert set(feed.outcomes.values()) == {Outcome.LOST}
    assert feed.ending(3).reason == "Ray Tune ended before the trial did"
    assert bridge.failure is None


def test_first_failure_is_the_one_that_is_told(bridge: Bridge) -> None:
    """Fails where workers that die afterwards write over it."""
    bridge.failure = SearchStopped("the disk is full")
    for number in range(4):
        bridge.over(str(number), why="its worker died")
    assert str(bridge.failure) == "the disk is full"


def test_workers_that_die_in_a_row_stop_the_search(bridge: Bridge) -> None:
    for number in range(3):
        assert bridge.failure is None
        bridge.over(str(number), why="its worker died: out of memory")
    assert str(bridge.failure) == (
        "its worker died: out of memory; 3 times in a row, so the search stops"
    )
