"""What lies in the folder of a trial of one's own: scratch, checkpoint, model, artifacts.

    scratch/                   the user's; survives a restart of the trial
    checkpoint/files/          the last whole checkpoint
    checkpoint/history.json    the reports up to it
    checkpoint.next/           where a command writes what it will announce as its checkpoint
    model/<name>               what the trial saved to be promoted, one file or folder
    artifacts/                 what goes to the trial's MLflow run when it has ended

A folder takes another's place by two renames. A kill between the two leaves the older one under
the name *.old, where `settle_folder` finds it.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from runner.errors import TrialFailed
from runner.trial.job import Outcome

logger = logging.getLogger(__name__)

SCRATCH = "scratch"
ARTIFACTS = "artifacts"
MODEL = "model"
_CHECKPOINT = "checkpoint"
# Those of which all files are of one moment.
WHOLE_FOLDERS = (_CHECKPOINT, MODEL)
_HISTORY = "history.json"
_FILES = "files"


@dataclass(frozen=True)
class TrialFolders:
    """The folders of one trial."""

    root: Path

    @property
    def scratch(self) -> Path:
        """The user's own."""
        return self.root / SCRATCH

    @property
    def artifacts(self) -> Path:
        """For files that go to MLflow."""
        return self.root / ARTIFACTS

    @property
    def announced(self) -> Path:
        """Where a command writes its checkpoints; it is there as long as the command runs."""
        return self.root / "checkpoint.next"

    @property
    def _new_checkpoint(self) -> Path:
        # A name of its own for each process: a worker whose driver was killed may still write.
        return self.root / f"checkpoint.{os.getpid()}.new"

    @property
    def _checkpoint(self) -> Path:
        return self.root / _CHECKPOINT

    def begin(self) -> None:
        """Make the folders ready for an attempt.

        Without a checkpoint the trial starts again: what a dead attempt has left for promotion
        and for MLflow is removed.
        """
        self.scratch.mkdir(parents=True, exist_ok=True)
        settle_folder(self._checkpoint)
        settle_folder(self.root / MODEL)
        self._drop_damaged()
        self.drop_next()
        if self.checkpoint() is None:
            for left in (self.artifacts, self.root / MODEL):
                remove(left)

    def end(self, outcome: Outcome) -> None:
        """Remove what nobody needs any more: only a paused trial goes on, only a complete one is
        promoted."""
        self.drop_next()
        self.drop_announced()
        if outcome is not Outcome.PAUSED:
            remove(self._checkpoint)
        if outcome not in (Outcome.PAUSED, Outcome.COMPLETE):
            remove(self.root / MODEL)

    def checkpoint(self) -> Path | None:
        """Files of the last whole checkpoint; None before the first."""
        files = self._checkpoint / _FILES
        return files if files.is_dir() else None

    def history(self) -> Mapping[str, Any]:
        """What the last checkpoint holds of the trial's history."""
        content: Mapping[str, Any] = json.loads((self._checkpoint / _HISTORY).read_text("utf-8"))
        return content

    def _drop_damaged(self) -> None:
        """A checkpoint whose history a power cut has left half written is none."""
        if self.checkpoint() is None:
            return
        try:
            self.history()
        except (OSError, ValueError) as error:
            logger.warning("the checkpoint %s is damaged and removed: %s", self._checkpoint, error)
            remove(self._checkpoint)

    def open_next(self) -> Path:
        """A fresh, empty folder for the next checkpoint."""
        self.drop_next()
        files = self._new_checkpoint / _FILES
        files.mkdir(parents=True)
        return files

    def open_announced(self) -> Path:
        """A fresh folder for a command's checkpoints, with a copy of the last one's files."""
        self.drop_announced()
        self.announced.mkdir()
        if (last := self.checkpoint()) is not None:
            shutil.copytree(last, self.announced, dirs_exist_ok=True)
        return self.announced

    def take_announced(self, name: str | None, history: Mapping[str, Any]) -> None:
        """Files that a command has announced become the checkpoint, moved out of its reach.

        Args:
            name: Of one file or folder among them; None: all that is there.
            history: Of the trial.
        Raises:
            TrialFailed: If there is nothing of that name, or nothing at all.
        """
        there = sorted(each.name for each in self.announced.iterdir())
        chosen = there if name is None else [name]
        if not there or not {*chosen} <= {*there}:
            raise TrialFailed(
                f"there is no {name or 'file'} in the folder of checkpoints, {self.announced}"
            )
        files = self.open_next()
        for each in chosen:
            (self.announced / each).rename(files / each)
        self.commit_next(history)

    def drop_announced(self) -> None:
        """Remove the folder of a command's checkpoints."""
        shutil.rmtree(self.announced, ignore_errors=True)

    def commit_next(self, history: Mapping[str, Any]) -> None:
        """What has been written for the next checkpoint becomes the checkpoint."""
        (self._new_checkpoint / _HISTORY).write_text(json.dumps(history), "utf-8")
        replace_folder(self._new_checkpoint, self._checkpoint)

    def drop_next(self) -> None:
        """Forget what has been written for the next checkpoint, by a dead attempt too."""
        for unfinished in self.root.glob("checkpoint.*new"):
            shutil.rmtree(unfinished, ignore_errors=True)

    def add_artifact(self, source: Path) -> Path:
        """Copy a file or folder to the artifacts, under its own name; gives the copy."""
        target = self.artifacts / source.name
        if source.resolve() != target.resolve():
            self.artifacts.mkdir(exist_ok=True)
            copy(source, target)
        return target

    def write_artifact(self, name: str, content: str | bytes) -> Path:
        """Write a file among the artifacts; gives it.

        Raises:
            TrialFailed: If the name leads out of the folder.
        """
        path = PurePosixPath(name)
        if not path.name or path.is_absolute() or ".." in path.parts:
            raise TrialFailed(f"an artifact's name must be a relative path without '..': {name!r}")
        target = self.artifacts / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def keep_model(self, source: Path) -> Path:
        """Copy what is to be promoted, in place of what was kept before; gives the copy."""
        new = self.root / f"{MODEL}.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        copy(source, new / source.name)
        replace_folder(new, self.root / MODEL)
        return self.root / MODEL / source.name

    def find(self, path: str | Path, *, working: Path) -> Path:
        """A file or folder of the user's, by a path from the working or the scratch folder.

        Raises:
            TrialFailed: If it is in neither.
        """
        places = [working, self.scratch]
        for place in places:
            if (found := place / path).exists():
                return found.resolve() if found.name in ("", "..") else found.absolute()
        looked = "" if Path(path).is_absolute() else f"; looked in {places[0]} and {places[1]}"
        raise TrialFailed(f"no such file or folder: {str(path)!r}{looked}")


def saved_model(folder: Path) -> Path | None:
    """What a trial saved to be promoted, a file or a folder; None if nothing.

    Args:
        folder: The trial's.
    """
    settle_folder(folder / MODEL)
    kept = folder / MODEL
    return next(iter(sorted(kept.iterdir())), None) if kept.is_dir() else None


def copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder with all it has, in place of what was there.

    Raises:
        TrialFailed: If the copy would lie inside what is copied.
    """
    if source in target.parents:
        raise TrialFailed(f"{source} cannot be kept: it holds the trial's own folder")
    if target.is_dir():
        shutil.rmtree(target)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def replace_folder(new: Path, target: Path) -> None:
    """Put a folder in another's place; a kill at any time leaves one of the two whole."""
    shutil.rmtree(_old(target), ignore_errors=True)
    if target.exists():
        target.rename(_old(target))
    new.rename(target)
    shutil.rmtree(_old(target), ignore_errors=True)


def remove(target: Path) -> None:
    """Remove a folder, and what a `replace_folder` of it has left."""
    for folder in (target, _old(target)):
        shutil.rmtree(folder, ignore_errors=True)


def settle_folder(target: Path) -> None:
    """Finish what a kill in the middle of `replace_folder` left: the older folder comes back."""
    if not target.exists() and _old(target).exists():
        _old(target).rename(target)
    shutil.rmtree(_old(target), ignore_errors=True)


def _old(target: Path) -> Path:
    return target.with_name(f"{target.name}.old")


def size_text(path: Path) -> str:
    """The size of a file or folder for people."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in files)
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
