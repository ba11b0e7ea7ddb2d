"""Wishes left as files."""

from pathlib import Path

from runner.study import post
from runner.study.inbox import INBOX, Enqueue, StopStudy, StopTrial, pending, settled


def test_pending_of_no_inbox_is_empty(tmp_path: Path) -> None:
    assert pending(tmp_path) == []


def test_pending_gives_wishes_oldest_first_until_they_are_settled(tmp_path: Path) -> None:
    post(tmp_path, "stop-trial", {"number": 3})
    wish_id = post(tmp_path, "enqueue", {"params": {"learning_rate": 0.1}})
    post(tmp_path, "stop-study", {})
    first, second, third = pending(tmp_path)
    assert isinstance(first, StopTrial)
    assert first.number == 3
    assert second == Enqueue(wish_id, {"learning_rate": 0.1})
    assert isinstance(third, StopStudy)
    settled(tmp_path, second)
    settled(tmp_path, second)
    assert pending(tmp_path) == [first, third]


def test_pending_does_not_see_a_wish_that_is_half_written(tmp_path: Path) -> None:
    post(tmp_path, "stop-study", {})
    (tmp_path / INBOX / ".123-abc.tmp").write_text('{"kind": "enq')
    assert len(pending(tmp_path)) == 1
