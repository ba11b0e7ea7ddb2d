"""Writes to disks that are full, read-only or another's: whole files, and words to act on.

Seen to fail with the removal of temporary files, or the look into `shutil.Error`, taken out.
"""

import errno
import os
import shutil
from pathlib import Path

import pytest

from runner.errors import DiskRefused, TrackingUnreachable, first_refusal
from runner.experiment import (
    free_bytes,
    link_or_copy,
    refusals,
    refused,
    replacing,
    require_writable,
    write_whole,
    writing,
)
from tests.disks import Disk, as_nobody


def test_write_whole_makes_the_folder_and_leaves_no_temporary(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "a.txt", "grün")
    write_whole(tmp_path / "new" / "a.txt", b"second")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"second"


def test_write_whole_on_a_full_disk_keeps_what_was_there(disk: Disk) -> None:
    path = disk.path / "a.txt"
    write_whole(path, "first")
    disk.fill()
    with pytest.raises(DiskRefused) as caught:
        write_whole(path, "x" * 100_000)
    assert str(caught.value) == (
        f"{path} cannot be written: the disk is full (0.0 MiB free). Make room; "
        "`python -m runner cache` shows the caches. What was written before is intact; the same "
        "command goes on from there"
    )
    assert path.read_text() == "first"
    assert sorted(each.name for each in disk.path.iterdir()) == ["a.txt", "ballast"]
    disk.make_room()
    write_whole(path, "second")
    assert path.read_text() == "second"


def test_write_whole_on_a_read_only_disk_says_so(disk: Disk) -> None:
    write_whole(disk.path / "a.txt", "first")
    disk.remount("ro")
    with pytest.raises(DiskRefused, match="its file system is read-only. Have it mounted for"):
        write_whole(disk.path / "a.txt", "second")
    assert (disk.path / "a.txt").read_text() == "first"


def test_write_whole_without_permission_names_the_user(tmp_path: Path) -> None:
    """Fails where the system's own words are all (`_told`)."""
    (tmp_path / "theirs").mkdir(mode=0o755)
    with as_nobody(), pytest.raises(DiskRefused) as caught:
        write_whole(tmp_path / "theirs" / "a.txt", "mine")
    assert "this user (uid 65534) has no permission" in str(caught.value)
    assert "RUNNER_HOME" in str(caught.value)
    assert list((tmp_path / "theirs").iterdir()) == []


def test_replacing_that_is_left_by_an_error_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("first")

    def broken() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert path.read_text() == "first"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_link_or_copy_copies_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    (tmp_path / "a").write_text("content")
    link_or_copy(tmp_path / "a", tmp_path / "link")
    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(tmp_path / "a", tmp_path / "copy")
    assert (tmp_path / "link").samefile(tmp_path / "a")
    assert not (tmp_path / "copy").samefile(tmp_path / "a")
    assert (tmp_path / "copy").read_text() == "content"


def test_require_writable_makes_the_folder_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_require_writable_leaves_a_probe_that_is_swept_where_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails with the name that the probe had before, which did not end in `.tmp`."""
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    require_writable(tmp_path)
    assert len(list(tmp_path.glob("*.tmp"))) == 1


def test_require_writable_of_a_full_or_read_only_disk_is_refused(disk: Disk) -> None:
    require_writable(disk.path)
    disk.fill()
    with pytest.raises(DiskRefused, match="the disk is full"):
        require_writable(disk.path)
    disk.make_room()
    require_writable(disk.path)
    disk.remount("ro")
    with pytest.raises(DiskRefused, match="read-only"):
        require_writable(disk.path)


def test_refusals_of_a_copied_folder_are_found_among_its_errors(
    disk: Disk, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "large").write_bytes(os.urandom(200_000))
    disk.fill(leave=50_000)
    with pytest.raises(DiskRefused, match="the disk is full"), refusals():
        shutil.copytree(tmp_path / "source", disk.path / "copy")


def test_refusals_lets_other_errors_be_what_they_are() -> None:
    with pytest.raises(FileNotFoundError), refusals():
        Path("/nowhere/at/all").read_text()
    with pytest.raises(ConnectionError), refusals():
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def test_writing_turns_every_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(DiskRefused, match="cannot be written: Is a directory"), writing(tmp_path):
        tmp_path.write_text("a file")


def test_refused_without_a_file_claims_none() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert str(refused(full)).startswith("a file cannot be written: the disk is full. Make room")
    forbidden = PermissionError(errno.EACCES, "Permission denied", "/etc/shadow")
    assert str(refused(forbidden)).startswith("/etc/shadow cannot be read or written: this user")


def test_free_bytes_of_what_is_not_there_are_those_of_its_disk(disk: Disk) -> None:
    assert free_bytes(disk.path / "not" / "there") == shutil.disk_usage(disk.path).free


def test_first_refusal_is_what_all_else_came_of() -> None:
    def fail() -> None:
        try:
            raise DiskRefused("full")
        finally:
            raise TrackingUnreachable("has not taken 3 records")

    with pytest.raises(TrackingUnreachable) as caught:
        fail()
    assert str(first_refusal(caught.value)) == "full"
    assert first_refusal(TrackingUnreachable("gone")) is None


def test_replacing_durably_has_the_file_on_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where the name is written first, or the folder is not."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').resolve().name}")
        sync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    with replacing(tmp_path / "a.txt", is_durable=True) as temporary:
        temporary.write_text("whole")
    assert done == [f"sync {temporary.name}", "rename", f"sync {tmp_path.name}"]
    assert (tmp_path / "a.txt").read_text() == "whole"
