"""Checkpoints and weights on disks that are full, and checkpoints that are damaged.

Seen to fail with the check sums, `weights_only`, the tolerance of `keep_checkpoint`, the second
try of the weights, or the error of safetensors taken out.
"""

import errno
import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from runner.errors import DiskRefused
from runner.trial import CHECKPOINT, INHERITED, Decision, Lease, Outcome, Segment, TrialSpec
from runner.trial.bench import Bench
from runner.trial.checkpoint import (
    WEIGHTS,
    TrainingState,
    keep_checkpoint,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
    save_weights,
)
from runner.trial.finetune import fine_tune
from tests.disks import Disk
from tests.trial.conftest import Recorder, small_experiment

VALUES = torch.arange(1000.0)


def state(epoch: int = 2) -> TrainingState:
    return TrainingState(
        epoch=epoch,
        model={"w": VALUES.clone()},
        optimizer={"state": {}, "param_groups": []},
        micro_batch=8,
    )


@pytest.fixture(scope="module")
def bench(store) -> Bench:
    return Bench(small_experiment(), store)


@pytest.fixture
def _always_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every trial checkpoints here, however short.
    monkeypatch.setattr("runner.trial.training.CHECKPOINT_FROM_S", 0.0)


def require_unusable(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    assert load_checkpoint(folder) is None
    assert not (folder / CHECKPOINT).exists()
    assert f"{folder / CHECKPOINT} cannot be used and is removed: " in caplog.text


def test_checkpoint_cut_off_anywhere_is_none_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_checkpoint(tmp_path, state())
    whole = (tmp_path / CHECKPOINT).read_bytes()
    size = len(whole)
    for length in (0, 1, 4, 30, 100, size // 4, size // 2, size - 100, size - 22, size - 1):
        (tmp_path / CHECKPOINT).write_bytes(whole[:length])
        require_unusable(tmp_path, caplog)
    (tmp_path / CHECKPOINT).write_bytes(whole)
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert torch.equal(loaded.model["w"], VALUES)


def archive(**members: bytes) -> bytes:
    """A zip of files, whole."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name, content in members.items():
            opened.writestr(f"checkpoint/{name}", content)
    return made.getvalue()


def saved(value: Any) -> bytes:
    made = io.BytesIO()
    torch.save(value, made)
    return made.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"garbage",
        b"\0" * 5000,
        b"\x80\x02]q\0.",
        b"PK\x03\x04abc",
        archive(),
        archive(notes=b"no checkpoint"),
        archive(**{"data.pkl": b"\x80\x02}q\0.", "version": b"3"}),
        saved(VALUES),
        saved([1, 2]),
        saved({"reports": [], "epoch": 1}),
    ],
)
def test_checkpoint_that_is_none_is_none(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails for archives without torch's own errors among what is taken for damage."""
    (tmp_path / CHECKPOINT).write_bytes(content)
    require_unusable(tmp_path, caplog)


@pytest.mark.parametrize(
    ("number", "raised"),
    [
        (errno.EMFILE, OSError),
        (errno.ESTALE, OSError),
        (errno.EIO, OSError),
        (errno.EACCES, DiskRefused),
    ],
)
@pytest.mark.parametrize("where", ["open", "_EndRecData", "ZipExtFile.read"])
def test_checkpoint_that_cannot_be_read_now_stays_for_the_next_attempt(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    number: int,
    raised: type[Exception],
) -> None:
    """Fails where every error of the system is damage, or those that zipfile takes for it."""
    save_checkpoint(tmp_path, state())
    monkeypatch.setattr(*_refusing(where, number))
    with pytest.raises(raised):
        load_checkpoint(tmp_path)
    monkeypatch.undo()
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.epoch == 2


def _refusing(where: str, number: int) -> tuple[Any, str, Callable[..., Any]]:
    """What to put in place of a part of zipfile, so that the system refuses there."""

    def refuse(*arguments: Any, **_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    if where == "open":
        return zipfile.io, "open", refuse  # type: ignore[attr-defined]
    owner, _, name = where.rpartition(".")
    return (getattr(zipfile, owner) if owner else zipfile), name, refuse


def test_checkpoint_for_which_memory_is_missing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without `is_out_of_memory`."""
    save_checkpoint(tmp_path, state())

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load_checkpoint(tmp_path)
    assert (tmp_path / CHECKPOINT).exists()


@pytest.mark.parametrize("wrong", [b"\0" * 512, b"\xff"])
def test_checkpoint_of_the_right_length_with_other_weights_is_told_by_its_check_sums(
    tmp_path: Path, wrong: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    save_checkpoint(tmp_path, state())
    whole = (tmp_path / CHECKPOINT).read_bytes()
    middle = whole.index(VALUES.numpy().tobytes()) + 2000
    (tmp_path / CHECKPOINT).write_bytes(whole[:middle] + wrong + whole[middle + len(wrong) :])
    # torch would take it.
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["epoch"] == 2
    require_unusable(tmp_path, caplog)


class Code:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_checkpoint_with_code_in_it_does_not_run_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = tmp_path / "made"
    torch.save({"epoch": Code(made)}, tmp_path / CHECKPOINT)
    require_unusable(tmp_path, caplog)
    assert not made.exists()
    # It is code: whoever trusts it runs it.
    torch.save({"epoch": Code(made)}, tmp_path / CHECKPOINT)
    torch.load(tmp_path / CHECKPOINT, weights_only=False)
    assert made.exists()


def test_checkpoint_that_does_not_fit_leaves_the_old_one_and_no_half_of_it(disk: Disk) -> None:
    save_checkpoint(disk.path, state(1))
    disk.fill(leave=2000)
    with pytest.raises(DiskRefused, match=r"checkpoint\.pt cannot be written: the disk is full"):
        save_checkpoint(disk.path, state(2))
    assert sorted(path.name for path in disk.path.iterdir()) == ["ballast", CHECKPOINT]
    loaded = load_checkpoint(disk.path)
    assert loaded is not None
    assert loaded.epoch == 1


def test_kept_checkpoint_that_does_not_fit_is_said_once_and_kept_when_there_is_room(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.fill()
    trained = state(1)
    for epoch in (1, 2, 3):
        trained.epoch = epoch
        keep_checkpoint(disk.path, trained)
    assert len(caplog.records) == 1
    assert "training goes on without a checkpoint: " in caplog.text
    assert trained.unsaved_because is not None
    assert "the disk is full" in trained.unsaved_because
    disk.make_room()
    keep_checkpoint(disk.path, trained)
    assert trained.unsaved_because is None
    loaded = load_checkpoint(disk.path)
    assert loaded is not None
    assert (loaded.epoch, loaded.unsaved_because) == (3, None)


def test_kept_checkpoint_on_a_disk_that_lets_go_of_nothing_is_said_and_trained_on(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails without `writing` in `drop_unfinished`."""
    (disk.path / f"{CHECKPOINT}.1.tmp").write_text("a dead worker's")
    disk.remount("ro")
    trained = state()
    keep_checkpoint(disk.path, trained)
    assert trained.unsaved_because is not None
    assert "its file system is read-only" in trained.unsaved_because


def test_checkpoint_that_the_disk_does_not_let_go_of_stays_and_is_said(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """The trial's result is worth more; fails where `discard` raises, or warns of no file."""
    save_checkpoint(disk.path, state())
    disk.remount("ro")
    remove_checkpoint(disk.path)
    assert f"{disk.path / CHECKPOINT} cannot be removed: " in caplog.text
    disk.remount("rw")
    remove_checkpoint(disk.path)
    assert list(disk.path.iterdir()) == []
    disk.remount("ro")
    caplog.clear()
    remove_checkpoint(disk.path)
    assert caplog.text == ""


def test_weights_that_do_not_fit_leave_the_old_ones_and_no_half_of_them(disk: Disk) -> None:
    save_weights(disk.path, {"w": torch.zeros(10)})
    disk.fill(leave=8192)
    with pytest.raises(DiskRefused, match=r"weights\.safetensors cannot be written: the disk is"):
        save_weights(disk.path, {"w": torch.zeros(10_000)})
    assert sorted(path.name for path in disk.path.iterdir()) == ["ballast", WEIGHTS]


@pytest.mark.usefixtures("_always_saved")
def test_trial_on_a_full_disk_is_trained_to_its_end_and_says_what_is_not_kept(
    bench: Bench, spec: TrialSpec, lease: Lease, disk: Disk, tmp_path: Path
) -> None:
    whole, full = Recorder(), Recorder()
    expected = fine_tune(bench, spec, lease, whole)
    disk.fill()
    ending = fine_tune(bench, replace(spec, folder=str(disk.path)), lease, full)
    assert full.metrics == whole.metrics
    assert (ending.outcome, ending.value) == (Outcome.COMPLETE, expected.value)
    assert expected.has_weights
    assert {"checkpoints", "weights"}.isdisjoint(expected.notes)
    assert not ending.has_weights
    assert "checkpoint.pt cannot be written: the disk is full" in ending.notes["checkpoints"]
    assert ending.notes["weights"].startswith(
        "not kept; `promote` and `train --trial` make them again: "
    )
    assert [path.name for path in disk.path.iterdir()] == ["ballast"]


@pytest.mark.usefixtures("_always_saved")
def test_weights_take_the_room_of_the_checkpoint(
    bench: Bench, spec: TrialSpec, lease: Lease, disk: Disk
) -> None:
    on_disk = replace(spec, folder=str(disk.path))
    paused = fine_tune(bench, on_disk, lease, Recorder({1: Decision.PAUSE}))
    assert paused.outcome is Outcome.PAUSED
    disk.fill()
    ending = fine_tune(bench, on_disk, lease, Recorder())
    assert ending.has_weights
    assert sorted(path.name for path in disk.path.iterdir()) == ["ballast", WEIGHTS]


@pytest.mark.usefixtures("_always_saved")
def test_trial_whose_checkpoint_is_damaged_begins_again(
    bench: Bench,
    spec: TrialSpec,
    lease: Lease,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole, again = Recorder(), Recorder()
    expected = fine_tune(bench, replace(spec, folder=str(tmp_path)), lease, whole)
    fine_tune(bench, spec, lease, Recorder({1: Decision.PAUSE}))
    checkpoint = Path(spec.folder) / CHECKPOINT
    os.truncate(checkpoint, checkpoint.stat().st_size // 2)
    ending = fine_tune(bench, spec, lease, again)
    assert again.metrics == whole.metrics
    assert ending.value == expected.value
    assert "cannot be used and is removed" in caplog.text


def test_segment_whose_last_state_does_not_fit_fails(
    bench: Bench, spec: TrialSpec, lease: Lease, disk: Disk
) -> None:
    """No trial could go on from it: the population replaces it."""
    disk.fill()
    segment = replace(spec, folder=str(disk.path), segment=Segment(None, 0, 1))
    with pytest.raises(DiskRefused, match="the disk is full"):
        fine_tune(bench, segment, lease, Recorder())
    assert not (disk.path / INHERITED).exists()
