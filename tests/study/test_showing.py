"""Nothing is shown before it is on the disk, and everything in the order it happened."""

import pytest

from runner.study.showing import SHOWN_WITHIN_S, Showing


@pytest.fixture
def told() -> list[str]:
    return []


def test_events_share_one_sync_and_come_after_it_in_order(told: list[str]) -> None:
    showing = Showing(lambda: told.append("sync"))
    for name in ("begun", "reported", "ended"):
        showing.add(lambda name=name: told.append(name))
    assert told == []
    showing.show()
    assert told == ["sync", "begun", "reported", "ended"]
    showing.show()
    assert told.count("sync") == 1


def test_events_are_due_when_the_first_has_waited_long_enough(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("runner.study.showing.time.monotonic", lambda: now_s)
    showing = Showing(lambda: None)
    showing.add(lambda: told.append("first"))
    now_s += SHOWN_WITHIN_S / 2
    showing.add(lambda: told.append("second"))
    showing.show_due()
    assert told == []
    now_s += SHOWN_WITHIN_S
    showing.show_due()
    assert told == ["first", "second"]


def test_event_that_raises_leaves_those_behind_it_for_the_next_time(told: list[str]) -> None:
    def fail() -> None:
        raise OSError("the terminal has gone")

    showing = Showing(lambda: None)
    showing.add(fail)
    showing.add(lambda: told.append("next"))
    with pytest.raises(OSError, match="the terminal has gone"):
        showing.show()
    showing.show()
    assert told == ["next"]
