"""What trials leave that nobody will read again, on disks that let go of it and on others."""

from pathlib import Path

import pytest

from runner.trial import CHECKPOINT, INHERITED, MODEL, WEIGHTS, clear_ended
from tests.disks import Disk

STATE = {CHECKPOINT, INHERITED, f"{CHECKPOINT}.7.tmp", "checkpoint", "checkpoint.7.new"}


def leave(folder: Path, *names: str) -> None:
    for name in names:
        if "." in name and not name.endswith(("new", "old")):
            (folder / name).write_text(name)
        else:
            (folder / name).mkdir()
            (folder / name / "file").write_text(name)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("ended", "kept"),
    [
        ({"is_complete": False}, set()),
        ({"is_complete": False, "is_segment": True}, set()),
        ({"is_complete": True}, {WEIGHTS, MODEL}),
        ({"is_complete": True, "is_segment": True}, {WEIGHTS, MODEL, CHECKPOINT}),
    ],
)
def test_clear_ended_leaves_what_is_promoted_or_gone_on_from(
    tmp_path: Path, ended: dict[str, bool], kept: set[str]
) -> None:
    """Fails with the exception for segments taken out."""
    leave(tmp_path, *STATE, WEIGHTS, MODEL, f"{MODEL}.new", "log.txt")
    gone = clear_ended(tmp_path, **ended)
    assert left(tmp_path) == kept | {"log.txt"}
    assert {path.name for path in gone} == (STATE | {WEIGHTS, MODEL, f"{MODEL}.new"}) - kept


@pytest.mark.parametrize("is_complete", [True, False])
def test_clear_ended_on_a_disk_that_lets_go_of_nothing_says_so_and_does_it_later(
    disk: Disk, is_complete: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A kill had left the model aside. Fails where the error of `settle` goes on."""
    leave(disk.path, CHECKPOINT, f"{MODEL}.old")
    disk.remount("ro")
    assert clear_ended(disk.path, is_complete=is_complete) == []
    assert left(disk.path) == {CHECKPOINT, f"{MODEL}.old"}
    assert f"{disk.path / CHECKPOINT} cannot be removed: " in caplog.text
    disk.remount("rw")
    clear_ended(disk.path, is_complete=is_complete)
    assert left(disk.path) == ({MODEL} if is_complete else set())
