"""What an experiment names by its path, on machines that do not have it there.

The driver's machine lists what is there. A machine that has the same at the same path uses it: a
shared disk, or a copy made before. The others get theirs once each, in pieces, into their cache,
keyed by content. So a folder is a few messages, however many files it has.
"""

import hashlib
import json
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from runner import data
from runner.errors import DataError, RunnerError
from runner.heartbeat import pulse
from runner.trial import Facts, Files

logger = logging.getLogger(__name__)

# Of a message; whole files share one, and large ones are cut.
PIECE_BYTES = 32 * 2**20

Listing = dict[str, tuple[int, int]]
"""Size in bytes and time of change in ns of each file, by its name in the folder; a file alone
has the name ""."""

Part = tuple[str, int, bytes, bool]
"""Name of a file, where in it this belongs, the bytes, and whether it can be run."""


@dataclass(frozen=True)
class Item:
    """What is on the driver's machine at one path.

    Attributes:
        files: Which.
        times: Digest of names, sizes and times: equal where nothing was copied or changed.
        sizes: Digest of names and sizes.
        nbytes: All of it.
    """

    files: Files
    times: str
    sizes: str
    nbytes: int


def items_of(needs: Iterable[Files]) -> tuple[Item, ...]:
    """What there is on this machine of what trials read."""
    found = ((files, listing_of(files)) for files in needs)
    return tuple(_item(files, listing) for files, listing in found if listing is not None)


def _item(files: Files, listing: Listing) -> Item:
    nbytes = sum(size for size, _ in listing.values())
    return Item(files, _digest(sorted(listing.items())), _sizes_digest(listing), nbytes)


def _sizes_digest(listing: Listing) -> str:
    return _digest(sorted((name, size) for name, (size, _) in listing.items()))


def _digest(rows: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def listing_of(files: Files) -> Listing | None:
    """What there is of some files on this machine; None where there is nothing.

    Raises:
        DataError: If a folder cannot be read.
    """
    root = Path(files.path)
    try:
        if root.is_file():
            return {"": _stamp(root)}
        if not root.is_dir():
            return None
        names = data.files_below(root) if files.names is None else files.names
        found = ((name, root / name) for name in names)
        return {name: _stamp(path) for name, path in found if path.is_file()}
    except OSError as error:
        raise DataError(f"{files.key}: {root} cannot be read: {error}") from error


def _stamp(path: Path) -> tuple[int, int]:
    seen = path.stat()
    return seen.st_size, seen.st_mtime_ns


def content_of(files: Files, listing: Listing) -> str:
    """sha256 over names and contents, as 64 hex digits; reads everything."""
    root = Path(files.path)
    return _content_digest({name: _file_digest(root / name) for name in listing})


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_digest(digests: Mapping[str, str]) -> str:
    return _digest(sorted(digests.items()))


class Supply(Protocol):
    """Where items come from."""

    def content(self, number: int) -> str:
        """The digest of an item's content."""
        ...

    def pieces(self, number: int, machine: str) -> Iterator[list[Part]]:
        """All pieces of an item, in order, for a machine."""
        ...


class Warehouse:
    """Reads pieces of the items, on the driver's machine.

    Args:
        items: What there is.
        log: File that takes a line for each item that is sent to a machine.
    """

    def __init__(self, items: Sequence[Item], log: Path) -> None:
        self._items, self._log = items, log
        self._locks = [threading.Lock() for _ in items]
        self._contents: dict[int, str] = {}
        self._pieces: dict[int, list[list[tuple[str, int, int]]]] = {}

    def content(self, number: int) -> str:
        """The digest of an item's content, computed once."""
        with self._locks[number]:
            if number not in self._contents:
                files = self._items[number].files
                self._contents[number] = content_of(files, listing_of(files) or {})
            return self._contents[number]

    def begin(self, number: int, machine: str) -> int:
        """In how many pieces an item comes.

        Side effects: A line in the log.
        """
        item, count = self._items[number], len(self._cut(number))
        with self._locks[number]:
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            size = data.size_words(item.nbytes)
            with self._log.open("a") as file:
                file.write(f"{now} {item.files.key}: {item.files.path} ({size}) to {machine}\n")
        return count

    def pieces(self, number: int, machine: str) -> Iterator[list[Part]]:
        """See `Supply.pieces`."""
        return (self.piece(number, index) for index in range(self.begin(number, machine)))

    def piece(self, number: int, index: int) -> list[Part]:
        """One piece of an item: parts of files, in order."""
        root = Path(self._items[number].files.path)
        return [
            _part(root / name, name, offset, size)
            for name, offset, size in self._cut(number)[index]
        ]

    def _cut(self, number: int) -> list[list[tuple[str, int, int]]]:
        """Name, offset and bytes of the parts of each piece of an item."""
        with self._locks[number]:
            if number not in self._pieces:
                self._pieces[number] = list(_pieces(listing_of(self._items[number].files) or {}))
            return self._pieces[number]


def _pieces(listing: Listing) -> Iterator[list[tuple[str, int, int]]]:
    """Name, offset and bytes of the parts of each piece."""
    parts: list[tuple[str, int, int]] = []
    room = PIECE_BYTES
    for name, (size, _) in sorted(listing.items()):
        if size == 0:
            parts.append((name, 0, 0))
        offset = 0
        while offset < size:
            taken = min(size - offset, room)
            parts.append((name, offset, taken))
            offset, room = offset + taken, room - taken
            if room == 0:
                yield parts
                parts, room = [], PIECE_BYTES
    if parts:
        yield parts


def _part(path: Path, name: str, offset: int, size: int) -> Part:
    with path.open("rb") as file:
        can_run = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
        file.seek(offset)
        return name, offset, file.read(size), can_run


def places_here(items: Sequence[Item], supply: Supply, cache: Path) -> dict[str, str]:
    """Where on this machine the items lie that are not at their paths, by those paths.

    What is missing is fetched, by one process of the machine while the others wait.

    Args:
        items: What the driver's machine has.
        supply: Gives it.
        cache: This machine's folder of caches.
    Raises:
        RunnerError: If there is no room for it here, or it changes while it is sent.
    """
    places = {}
    for number, item in enumerate(items):
        if not _is_here(number, item, supply):
            places[item.files.path] = str(_fetched(number, item, supply, cache))
    return places


def _is_here(number: int, item: Item, supply: Supply) -> bool:
    listing = listing_of(item.files)
    if listing is None or _sizes_digest(listing) != item.sizes:
        return False
    is_untouched = _item(item.files, listing).times == item.times
    return is_untouched or content_of(item.files, listing) == supply.content(number)


def _fetched(number: int, item: Item, supply: Supply, cache: Path) -> Path:
    name = Path(item.files.path).name or "root"
    machine = socket.gethostname()
    content = supply.content(number)

    def fill(folder: Path) -> None:
        logger.info("fetching %s from the driver's machine", item.files.path)
        if _receive(supply.pieces(number, machine), folder / name) != content:
            raise DataError(
                f"{item.files.key}: {item.files.path} changed while it was sent to {machine}; "
                "leave it as it is while a search runs"
            )

    try:
        key = _digest([name, content])[:32]
        return data.kept_copy(cache, key, nbytes=item.nbytes, fill=fill) / name
    except (data.NoRoom, data.DiskRefused) as error:
        what = f"{item.files.key}: {item.files.path}"
        raise RunnerError(data.why_no_copy(error, what, cache)) from error


def _receive(pieces: Iterator[list[Part]], target: Path) -> str:
    """Write an item; gives the digest of what came."""
    hashes: dict[str, Any] = {}
    for parts in pieces:
        pulse.beat()
        for part in parts:
            _write(part, target, hashes)
    if not hashes:
        target.mkdir()
    return _content_digest({name: hash_.hexdigest() for name, hash_ in hashes.items()})


def _write(part: Part, target: Path, hashes: dict[str, Any]) -> None:
    name, offset, content, can_run = part
    # Of a file alone the name is "", and the target is the file.
    path = data.place_inside(target, name) if name else target
    if offset == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        hashes[name] = hashlib.sha256()
    with path.open("wb" if offset == 0 else "ab") as file:
        file.write(content)
        if can_run:
            os.fchmod(file.fileno(), 0o755)
    hashes[name].update(content)


def named(facts: Facts, places: Mapping[str, str]) -> Facts:
    """Facts in which what lies elsewhere on one machine is called as the experiment has it."""
    if not places:
        return facts
    findings = tuple(
        replace(found, rule=_renamed(found.rule, places), seen=_renamed(found.seen, places))
        for found in facts.findings
    )
    return replace(facts, findings=findings, details=_renamed(facts.details, places))


def _renamed(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for there, here in places.items():
            value = value.replace(here, there)
        return value
    if isinstance(value, Mapping):
        return {key: _renamed(item, places) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_renamed(item, places) for item in value)
    return value
