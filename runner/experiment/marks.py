"""Where each key of an experiment was written: its file and line, or the option that set it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from runner.errors import Problem
from runner.experiment.scalars import printable

KeyPath = tuple[str | int, ...]
MISSING = object()
"""Stands for 'no value seen' where None would mean null."""


@dataclass(frozen=True)
class Mark:
    """Where one key was written.

    Attributes:
        file: The file as the user named it, or the command-line option.
        line: Line in that file, counted from 1; None for an option.
        dropped: How many leading keys the file does not spell out (a space by name: two).
    """

    file: str
    line: int | None
    dropped: int = 0


@dataclass(frozen=True)
class Flaw:
    """Something wrong at a key, before it is known where that key was written."""

    path: KeyPath
    rule: str
    seen: object = MISSING
    nearest: str | None = None

    def below(self, *prefix: str | int) -> "Flaw":
        """The same flaw, its path continued from a parent."""
        return Flaw((*prefix, *self.path), self.rule, self.seen, self.nearest)


@dataclass(frozen=True)
class Marks:
    """Finds the place of any key; picklable, so that it travels with its experiment.

    Attributes:
        file: The file to name where nothing better is known.
        places: Place of every key and list item that was written.
    """

    file: str
    places: Mapping[KeyPath, Mark] = field(default_factory=dict)

    def find(self, path: KeyPath) -> Mark:
        """The place of a key, or else of its nearest parent that was written."""
        for length in range(len(path), -1, -1):
            if mark := self.places.get(path[:length]):
                return mark
        return Mark(self.file, None)

    def problem(self, flaw: Flaw) -> Problem:
        """The flaw as a problem that names file, line and key."""
        mark = self.find(flaw.path)
        return Problem(
            file=mark.file,
            line=mark.line,
            key=dotted(flaw.path[mark.dropped :]),
            rule=flaw.rule,
            seen=None if flaw.seen is MISSING else printable(flaw.seen),
            nearest=flaw.nearest,
        )

    def with_subtree(self, path: KeyPath, marks: "Marks") -> "Marks":
        """These marks with everything at and below a key replaced by another file's."""
        kept = {key: mark for key, mark in self.places.items() if key[: len(path)] != path}
        grafted = {
            (*path, *key): Mark(mark.file, mark.line, len(path) + mark.dropped)
            for key, mark in marks.places.items()
        }
        return Marks(self.file, kept | grafted)

    def with_option(self, path: KeyPath, option: str) -> "Marks":
        """These marks with everything at and below a key set by a command-line option."""
        kept = {key: mark for key, mark in self.places.items() if key[: len(path)] != path}
        return Marks(self.file, {**kept, path: Mark(option, None)})


def dotted(path: KeyPath) -> str:
    """A key path as the user writes it: `search.first.0.epochs`."""
    return ".".join(str(part) for part in path)


def key_path(key: str) -> KeyPath:
    """The path of a dotted key; parts that are numbers count list items."""
    return tuple(_parts(key)) if key else ()


def _parts(key: str) -> Iterator[str | int]:
    for part in key.split("."):
        yield int(part) if part.isdecimal() and part.isascii() and len(part) < 6 else part
