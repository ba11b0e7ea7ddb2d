"""Studies in folders: the journal of each is a file, its lock the kernel's."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.experiment import is_name
from runner.study import inbox
from runner.study.place import Place, Standing, require_name
from runner.study.storage import (
    ARCHIVED,
    JOURNAL,
    is_left_behind,
    is_locked,
    repair_tail,
    study_lock,
    study_numbers,
)

if TYPE_CHECKING:
    from runner.study.journal import JournalFile


@dataclass(frozen=True)
class StudyFolder:
    """A study in a folder of its own, `<name>/<number>`. See `Place`."""

    folder: Path

    @property
    def name(self) -> str:
        """See `Place`."""
        return self.folder.parent.name

    @property
    def number(self) -> int:
        """See `Place`."""
        return int(self.folder.name)

    @property
    def is_shared(self) -> bool:
        """See `Place`: who has the journal has the rest of the folder."""
        return False

    def lock(self) -> AbstractContextManager[None]:
        """See `Place`."""
        return study_lock(self.folder)

    def standing(self) -> Standing:
        """See `Place`."""
        return Standing(
            is_locked=is_locked(self.folder),
            is_left_behind=is_left_behind(self.folder),
            is_archived=(self.folder / ARCHIVED).exists(),
        )

    def lines(self) -> "JournalFile":
        """See `Place`.

        Side effects: a last line that a killed driver left unfinished is cut off.
        """
        from runner.study.journal import JournalFile

        path = self.folder / JOURNAL
        if path.exists():
            repair_tail(path)
        return JournalFile(path)

    def content(self) -> bytes:
        """See `Place`."""
        return (self.folder / JOURNAL).read_bytes()

    def archive(self) -> None:
        """See `Place`."""
        (self.folder / ARCHIVED).touch()

    def forget(self) -> None:
        """See `Place`."""
        (self.folder / JOURNAL).unlink(missing_ok=True)

    def post(self, kind: str, content: Mapping[str, Any]) -> str:
        """See `Place`."""
        return inbox.post(self.folder, kind, content)

    def pending(self) -> Sequence[inbox.Wish]:
        """See `Place`."""
        return inbox.pending(self.folder)

    def settled(self, wish: inbox.Wish) -> None:
        """See `Place`."""
        inbox.settled(self.folder, wish)


@dataclass(frozen=True)
class Folders:
    """The studies under a folder. See `Shelf`."""

    studies: Path

    @property
    def where(self) -> str:
        """See `Shelf`."""
        return f"under {self.studies}"

    def begun(self, name: str | None = None) -> list[tuple[str, int]]:
        """See `Shelf`."""
        names = [name] if name else sorted(entry.name for entry in self.studies.glob("*"))
        return [
            (each, number)
            for each in names
            if is_name(each)
            for number in study_numbers(self.studies, each)
        ]

    def place(self, name: str, number: int) -> StudyFolder:
        """See `Shelf`."""
        require_name(name, self.where)
        return StudyFolder(self.studies / name / str(number))


def place_of(where: Place | Path) -> Place:
    """A study's place; a path means the study in that folder."""
    return StudyFolder(where) if isinstance(where, Path) else where
