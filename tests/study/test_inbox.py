"""Wishes left as files."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from runner.errors import DiskRefused
from runner.study import post
from runner.study.inbox import INBOX, Enqueue, StopStudy, StopTrial, pending, settled
from tests.disks import NOBODY, Disk, as_nobody


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


def test_wish_of_another_user_is_left_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Fails where `_wish_in`, or `_remove`, lets the PermissionError out."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        folder.chmod(0o755)
        post(folder, "stop-study", {})
        (wish,) = pending(folder)
        (secret,) = (folder / INBOX).iterdir()
        with as_nobody():
            settled(folder, wish)
            os.seteuid(0)
            secret.chmod(0o600)
            os.seteuid(NOBODY)
            assert pending(folder) == pending(folder) == []
    finally:
        shutil.rmtree(folder)
    removed, read = (record.message for record in caplog.records)
    assert f"{wish.id}.json cannot be removed: " in removed
    assert f"{wish.id}.json cannot be read: " in read
