"""Wishes left as files."""

from pathlib import Path

import pytest

from runner.errors import DiskRefused
from runner.study import post
from runner.study.inbox import INBOX, Enqueue, StopStudy, StopTrial, pending, settled
from tests.disks import Disk


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
    (tmp_path / INBOX / "123-abc.json.tmp").write_text('{"kind": "enq')
    assert len(pending(tmp_path)) == 1


@pytest.mark.parametrize("content", ["", '{"kind": "enq', "\0\0\0", "[]", '{"kind": "enqueue"}'])
def test_pending_removes_a_wish_that_a_power_cut_has_damaged(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    post(tmp_path, "stop-study", {})
    damaged = tmp_path / INBOX / "123-abc.json"
    damaged.write_text(content)
    assert [type(wish) for wish in pending(tmp_path)] == [StopStudy]
    assert not damaged.exists()
    assert "123-abc.json is damaged and removed" in caplog.text


def test_post_on_a_full_disk_is_refused_and_leaves_nothing(disk: Disk) -> None:
    (disk.path / INBOX).mkdir()
    disk.fill()
    with pytest.raises(DiskRefused, match="the disk is full"):
        post(disk.path, "stop-study", {})
    assert list((disk.path / INBOX).iterdir()) == []
