"""Where studies are kept: what a folder of them and a database of them have in common."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runner.errors import NotFound, StudyError
from runner.experiment import is_name
from runner.study.inbox import Wish

if TYPE_CHECKING:
    from runner.study.journal import Lines


@dataclass(frozen=True)
class Standing:
    """Who has a study just now.

    Attributes:
        is_locked: Whether a living driver holds it.
        is_left_behind: Whether its last driver died, or ended with an error, and nobody came
            after.
        is_archived: Whether it was put away.
    """

    is_locked: bool
    is_left_behind: bool
    is_archived: bool


class Place(Protocol):
    """Where one study is kept: its journal, its lock and the wishes for its driver."""

    @property
    def name(self) -> str:
        """The experiment's name."""
        ...

    @property
    def number(self) -> int:
        """Which of the experiment's studies it is, from 1."""
        ...

    @property
    def folder(self) -> Path:
        """The folder, on this machine, with what its trials leave; need not exist."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other machines may hold it, and have what the trials that they ran left."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Hold the study; only its holder may write to it.

        Raises:
            StudyLocked: If another process holds it; the message says which.
        """
        ...

    def standing(self) -> Standing:
        """Who has it just now."""
        ...

    def lines(self) -> "Lines":
        """The journal's lines, for the holder of the lock."""
        ...

    def content(self) -> bytes:
        """The journal, also while a driver writes to it: its last line may be half."""
        ...

    def archive(self) -> None:
        """Put the study away; the caller holds it."""
        ...

    def forget(self) -> None:
        """Remove the journal, so that there is no such study; the caller holds it."""
        ...

    def post(self, kind: str, content: Mapping[str, Any]) -> str:
        """Leave a wish for the study's driver; gives its id. See `inbox.post`."""
        ...

    def pending(self) -> Sequence[Wish]:
        """The wishes for its driver, oldest first. They stay there until `settled`."""
        ...

    def settled(self, wish: Wish) -> None:
        """Remove a wish that has been fulfilled or can no longer be."""
        ...


class Shelf(Protocol):
    """The studies of a store."""

    @property
    def where(self) -> str:
        """Where they are, for messages: `under <folder>`; no secrets."""
        ...

    def begun(self, name: str | None = None) -> list[tuple[str, int]]:
        """Name and number of every study that has a journal, of one name or of all, sorted.

        What lies there under a name that no experiment has is none.
        """
        ...

    def place(self, name: str, number: int) -> Place:
        """Where a study is kept, or will be.

        Raises:
            StudyError: If no experiment can have that name.
        """
        ...


def require_name(name: str, where: str) -> None:
    """See that a name can be a folder's.

    Args:
        name: What is to be a study's.
        where: Where it was found, for the message.
    Raises:
        StudyError: If no experiment can have it.
    """
    if not is_name(name):
        raise StudyError(f"{name!r} {where} is no name of an experiment: it would name a folder")


def next_place(shelf: Shelf, name: str, *, new: bool = False) -> Place:
    """The newest study of an experiment, or the next one.

    An experiment's studies are numbered from 1; `--new` and archiving begin the next.
    """
    begun = shelf.begun(name)
    if not begun:
        return shelf.place(name, 1)
    latest = shelf.place(*begun[-1])
    if new or latest.standing().is_archived:
        return shelf.place(name, latest.number + 1)
    return latest


def existing_place(shelf: Shelf, reference: str) -> Place:
    """A study that is there, by `name` (the newest) or `name:number`.

    Raises:
        NotFound: If there is none; the message lists those there are.
    """
    name, _, text = reference.partition(":")
    # What is no name leads nowhere: a study's folder is made of it, and removed with it.
    numbers = [number for _, number in shelf.begun(name)] if is_name(name) else []
    wanted = int(text) if text.isdecimal() else None
    if not numbers or (text and wanted not in numbers):
        there = sorted(f"{found}:{number}" for found, number in shelf.begun())
        known = f"there are {', '.join(there)}" if there else "none has been begun here"
        raise NotFound(f"no study {reference!r} {shelf.where}; {known}")
    return shelf.place(name, numbers[-1] if wanted is None else wanted)
