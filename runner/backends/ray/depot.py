"""The driver's end of what is carried between machines: an actor on its machine.

It takes in what workers send of their trials, and gives out what the experiment names and they
do not have (`freight.py`).
"""

import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from runner.backends.contract import Feed, NoJob
from runner.backends.ray.commits import PARTIAL, drop_uncommitted, take_places
from runner.backends.ray.freight import Item, Part, Warehouse
from runner.trial import Attempt, Decision, Ending, Job, Lease, Report

# A message of Ray's between nodes: large files go in pieces.
CHUNK_BYTES = 64 * 2**20


class DeadAttempt(Exception):
    """An attempt that has ended, or whose trial has a newer one, may not write any more."""


class NotBegun(Exception):
    """The driver's word that an attempt begins has not come yet."""


class Depot:
    """Reads and writes for attempts that have not ended, each in the folder of its trial alone.

    Where it is killed Ray starts another, and asks it again what the dead one had not answered:
    what is done twice is as if done once.

    Args:
        root: The study's folder of trials, which has those folders.
        items: What the experiment names.
        log: File that takes a line for each item that is sent to a machine.
        told: File that keeps what the driver says of attempts for the next depot; None: none does.
    """

    def __init__(
        self,
        root: str,
        items: Sequence[Item] = (),
        log: str = os.devnull,
        told: str | None = None,
    ) -> None:
        self._root = Path(root).resolve()
        self._newest: dict[int, int] = {}
        self._folders: dict[int, Path] = {}
        self._warehouse = Warehouse(items, Path(log))
        self._beats = 0
        self._told = None
        if told is not None:
            self._remember(Path(told))
            self._told = Path(told).open("ab", buffering=0)  # noqa: SIM115 - as long as it lives

    def live(self) -> None:
        """The second pass shows a sign of life."""
        self._beats += 1

    def beats(self) -> int:
        """How many it has shown so far; 0 before it begins."""
        return self._beats

    def begin(self, folders: Mapping[Attempt, str]) -> None:
        """These attempts may write; earlier ones at their trials no more.

        Args:
            folders: The folder of each one's trial, as the driver has it.
        """
        for key, folder in folders.items():
            self._keep(key, folder)
            self._let_begin(key, folder)

    def end(self, key: Attempt) -> None:
        """An attempt may write no more; what it did not commit goes."""
        self._keep(key, None)
        folder = self._let_end(key)
        if folder is not None and self._is_below(folder):
            drop_uncommitted(folder)

    def files(self, key: Attempt) -> dict[str, int]:
        """Sizes in bytes of what a trial's folder holds, by relative name, as an attempt begins.

        A link that leads out of the folder is not among them.

        Raises:
            DeadAttempt: If it is over already.
            NotBegun: If the driver has not said yet that it begins.
        Side effects: What an earlier attempt did not commit is removed.
        """
        folder = self._folder(key)
        drop_uncommitted(folder)
        found = (path for path in folder.rglob("*") if path.is_file())
        return {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in found
            if path.resolve().is_relative_to(folder)
        }

    def read(self, key: Attempt, path: str, offset: int) -> bytes:
        """A piece of a file of the attempt's trial, at most CHUNK_BYTES."""
        with self._inside(key, path).open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK_BYTES)

    def write(self, key: Attempt, path: str, content: bytes, *, offset: int) -> None:
        """A piece of a file, in order; the file takes its place when it is committed.

        Raises:
            DeadAttempt: If the attempt is over.
        """
        partial = self._inside(key, path + PARTIAL)
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("r+b" if offset else "wb") as file:
            file.truncate(offset)
            file.seek(offset)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def commit(self, key: Attempt, written: list[str], gone: list[str]) -> None:
        """Let what was written take its place, and remove what is gone.

        Whoever dies before or meanwhile, worker or driver: a checkpoint of several files is of
        one moment.

        Raises:
            DeadAttempt: If the attempt is over.
        """
        moves = [(self._inside(key, path + PARTIAL), self._inside(key, path)) for path in written]
        removed = [self._inside(key, path) for path in gone]
        take_places(self._folder(key), moves, removed)

    @ray.method(concurrency_group="freight")  # type: ignore[untyped-decorator]
    def content(self, number: int) -> str:
        """See `Warehouse.content`."""
        return self._warehouse.content(number)

    @ray.method(concurrency_group="freight")  # type: ignore[untyped-decorator]
    def begin_sending(self, number: int, machine: str) -> int:
        """See `Warehouse.begin`."""
        return self._warehouse.begin(number, machine)

    @ray.method(concurrency_group="freight")  # type: ignore[untyped-decorator]
    def piece(self, number: int, index: int) -> list[Part]:
        """See `Warehouse.piece`."""
        return self._warehouse.piece(number, index)

    def _remember(self, told: Path) -> None:
        """What the driver has said to an earlier depot."""
        for line in told.read_bytes().splitlines() if told.exists() else ():
            # What a kill cut off is said again.
            with suppress(ValueError):
                trial, attempt, folder = json.loads(line)
                key = Attempt(trial, attempt)
                if folder is None:
                    self._let_end(key)
                else:
                    self._let_begin(key, folder)

    def _keep(self, key: Attempt, folder: str | None) -> None:
        """For the next depot, if the disk takes it: an attempt begins in a folder, or ends."""
        if self._told is not None:
            with suppress(OSError):
                # A line that was cut off ends before it.
                self._told.write(b"\n" + json.dumps([key.trial, key.attempt, folder]).encode())

    def _let_begin(self, key: Attempt, folder: str) -> None:
        newest = self._newest.get(key.trial, 0)
        if key.attempt >= newest:
            self._newest[key.trial] = key.attempt
            self._folders[key.trial] = Path(folder).resolve()

    def _let_end(self, key: Attempt) -> Path | None:
        """The folder of the attempt, unless a newer one has it."""
        if key.attempt < self._newest.get(key.trial, 0):
            return None
        self._newest[key.trial] = key.attempt + 1
        return self._folders.pop(key.trial, None)

    def _folder(self, key: Attempt) -> Path:
        """The folder of an attempt's trial.

        Raises:
            DeadAttempt: If the attempt is over.
            NotBegun: If the driver has not said yet that it begins.
            PermissionError: If it is none of the study's.
        """
        newest = self._newest.get(key.trial, -1)
        if key.attempt < newest:
            raise DeadAttempt(f"attempt {key.attempt} at trial {key.trial} is over")
        folder = self._folders.get(key.trial)
        if key.attempt > newest or folder is None:
            raise NotBegun(f"attempt {key.attempt} at trial {key.trial} has not begun")
        if not self._is_below(folder):
            raise PermissionError(f"{folder} is not in the study's folder")
        return folder

    def _is_below(self, folder: Path) -> bool:
        return folder != self._root and folder.is_relative_to(self._root)

    def _inside(self, key: Attempt, path: str) -> Path:
        """A path of an attempt's trial, given relative to the study's folder; links are followed.

        Raises:
            PermissionError: If it leads out of the trial's folder.
        """
        folder = self._folder(key)
        place = (self._root / path).resolve()
        if place == folder or not place.is_relative_to(folder):
            raise PermissionError(f"{path} is not in the folder of trial {key.trial}")
        return place


@dataclass(frozen=True)
class Address:
    """How workers find the driver's files.

    Attributes:
        root: The study's folder of trials on the driver's machine.
        mark: A file in it; who sees it, sees the folder.
        depot: The actor.
        items: What the experiment names on the driver's machine.
    """

    root: str
    mark: str
    depot: Any
    items: tuple[Item, ...] = ()

    @property
    def is_seen(self) -> bool:
        """Whether this machine sees the study's folder itself."""
        return (Path(self.root) / self.mark).exists()


@dataclass(frozen=True)
class Delivery:
    """Items from the depot, on another machine; see `Supply`."""

    depot: Any

    def content(self, number: int) -> str:
        """See `Supply.content`."""
        digest: str = ray.get(self.depot.content.remote(number))
        return digest

    def pieces(self, number: int, machine: str) -> Iterator[list[Part]]:
        """See `Supply.pieces`; the next one is on its way while one is used."""
        count: int = ray.get(self.depot.begin_sending.remote(number, machine))
        coming = self.depot.piece.remote(number, 0) if count else None
        for index in range(1, count + 1):
            here, coming = coming, None
            if index < count:
                coming = self.depot.piece.remote(number, index)
            parts: list[Part] = ray.get(here)
            yield parts


def open_depot(root: Path, items: tuple[Item, ...], *, log: Path) -> Address:
    """The driver's end, on this machine, for workers that do not see its files."""
    here = ray.get_runtime_context().get_node_id()
    near = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
    # Trials that save a checkpoint do not wait for data that are sent.
    actor = ray.remote(concurrency_groups={"freight": 2})(Depot)
    options = actor.options(
        num_cpus=0, scheduling_strategy=near, max_restarts=-1, max_task_retries=-1
    )
    mark = f".seen-{secrets.token_hex(8)}"
    (root / mark).touch()
    depot = options.remote(str(root), items, str(log), str(root / mark))
    return Address(str(root), mark, depot, items)


def close_depot(address: Address) -> None:
    """End the actor, and remove the mark."""
    ray.kill(address.depot)
    (Path(address.root) / address.mark).unlink(missing_ok=True)


class ToldFeed:
    """A feed that tells the depot which attempts run: what others still write is refused."""

    def __init__(self, feed: Feed, address: Address) -> None:
        self._feed = feed
        self._depot = address.depot

    def next(self, lease: Lease) -> Job | NoJob:
        """See `Feed.next`."""
        job = self._feed.next(lease)
        if isinstance(job, Job):
            self._depot.begin.remote({spec.key: spec.folder for spec in job.trials})
        return job

    def report(self, key: Attempt, report: Report) -> Decision:
        """See `Feed.report`."""
        return self._feed.report(key, report)

    def end(self, key: Attempt, ending: Ending) -> None:
        """See `Feed.end`."""
        self._depot.end.remote(key)
        self._feed.end(key, ending)

    def cancellations(self) -> Mapping[Attempt, Decision]:
        """See `Feed.cancellations`."""
        return self._feed.cancellations()
