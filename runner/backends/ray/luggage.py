"""The folders of trials on a machine that does not see the study's: fetched, and sent back.

A checkpoint, a log, weights and artifacts belong beside the study, on the driver's machine. Where
a worker sees that folder, because the machine is the same or the disk is shared, nothing is sent.
The scratch folder of an objective of one's own stays where it is.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import ray

from runner.trial import SCRATCH, Attempt, Channel, Decision, Ending, Job, Report

# A message of Ray's between nodes: large files go in pieces.
CHUNK_BYTES = 64 * 2**20
_PARTIAL = ".partial"


class Depot:
    """The driver's end, an actor on its machine: reads and writes below one folder alone.

    Args:
        root: The study's folder.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root).resolve()

    def files(self, folder: str) -> dict[str, int]:
        """Sizes in bytes of what a folder holds, by relative name; empty where there is none."""
        base = self._inside(folder)
        found = (path for path in base.rglob("*") if path.is_file())
        return {
            path.relative_to(base).as_posix(): path.stat().st_size
            for path in found
            if path.suffix != _PARTIAL
        }

    def read(self, path: str, offset: int) -> bytes:
        """A piece of a file, at most CHUNK_BYTES."""
        with self._inside(path).open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK_BYTES)

    def write(self, path: str, content: bytes, *, is_first: bool) -> None:
        """A piece of a file, in order; the file takes its place when it is committed."""
        partial = self._partial(path)
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb" if is_first else "ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def commit(self, written: list[str], gone: list[str]) -> None:
        """Let what was written take its place, all at once, and remove what is gone.

        A worker that dies before leaves what was there: a checkpoint of several files is of one
        moment.
        """
        for path in written:
            self._partial(path).replace(self._inside(path))
        for path in gone:
            self._inside(path).unlink(missing_ok=True)

    def _partial(self, path: str) -> Path:
        target = self._inside(path)
        return target.with_name(target.name + _PARTIAL)

    def _inside(self, path: str) -> Path:
        """A path below the root.

        Raises:
            PermissionError: If it leads out of it.
        """
        place = (self._root / path).resolve()
        if not place.is_relative_to(self._root):
            raise PermissionError(f"{path} is not in the study's folder")
        return place


@dataclass(frozen=True)
class Address:
    """How workers find the driver's files.

    Attributes:
        root: The study's folder on the driver's machine.
        mark: A file in it; who sees it, sees the folder.
        depot: The actor.
    """

    root: str
    mark: str
    depot: Any

    @property
    def is_seen(self) -> bool:
        """Whether this machine sees the study's folder itself."""
        return (Path(self.root) / self.mark).exists()


@dataclass
class Luggage:
    """The folders of one job's trials on this machine.

    Attributes:
        address: Where they belong.
        job: The job with folders of this machine.
    """

    address: Address
    job: Job
    _home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="runner-job-")))
    _far: dict[Attempt, PurePosixPath] = field(default_factory=dict)
    _sent: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        specs = []
        for spec in self.job.trials:
            self._far[spec.key] = PurePosixPath(spec.folder).relative_to(self.address.root)
            folder = self._home / str(spec.key.trial)
            folder.mkdir()
            self._fetch(self._far[spec.key], folder)
            specs.append(replace(spec, folder=str(folder)))
        self.job = Job(tuple(specs))

    def send(self, key: Attempt) -> None:
        """Send what has changed in a trial's folder since it was last sent."""
        folder = self._home / str(key.trial)
        here = _state(folder)
        changed = [path for path, state in here.items() if self._sent.get(path) != state]
        gone = [path for path in self._sent if folder in path.parents and path not in here]
        far = {path: self._far_path(key, folder, path) for path in (*changed, *gone)}
        for path in changed:
            self._send_file(path, far[path])
        if far:
            written, removed = [far[path] for path in changed], [far[path] for path in gone]
            ray.get(self.address.depot.commit.remote(written, removed))
        for path in gone:
            del self._sent[path]
        self._sent.update(here)

    def _far_path(self, key: Attempt, folder: Path, path: Path) -> str:
        return str(self._far[key] / path.relative_to(folder).as_posix())

    def close(self) -> None:
        """Remove the folders of this machine."""
        shutil.rmtree(self._home, ignore_errors=True)

    def _fetch(self, far: PurePosixPath, folder: Path) -> None:
        depot = self.address.depot
        sizes: Mapping[str, int] = ray.get(depot.files.remote(str(far)))
        for name, size in sizes.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                while file.tell() < size:
                    piece = ray.get(depot.read.remote(str(far / name), file.tell()))
                    if not piece:
                        break
                    file.write(piece)
        self._sent.update(_state(folder))

    def _send_file(self, path: Path, far: str) -> None:
        with path.open("rb") as file:
            pieces = iter(lambda: file.read(CHUNK_BYTES), b"")
            for number, piece in enumerate(chain([next(pieces, b"")], pieces)):
                ray.get(self.address.depot.write.remote(far, piece, is_first=number == 0))


class Sending:
    """A channel before whose every word the trial's files are sent: they are there when it is."""

    def __init__(self, channel: Channel, luggage: Luggage) -> None:
        self._channel = channel
        self._luggage = luggage

    def report(self, key: Attempt, report: Report) -> Decision:
        """See `Channel.report`."""
        self._luggage.send(key)
        return self._channel.report(key, report)

    def decision(self, key: Attempt) -> Decision:
        """See `Channel.decision`."""
        return self._channel.decision(key)

    def end(self, key: Attempt, ending: Ending) -> None:
        """See `Channel.end`."""
        self._luggage.send(key)
        self._channel.end(key, ending)


def open_depot(root: Path) -> Address:
    """The driver's end, on this machine, for workers that do not see the folder."""
    here = ray.get_runtime_context().get_node_id()
    near = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
    depot = ray.remote(Depot).options(num_cpus=0, scheduling_strategy=near).remote(str(root))
    mark = f".seen-{secrets.token_hex(8)}"
    (root / mark).touch()
    return Address(str(root), mark, depot)


def close_depot(address: Address) -> None:
    """End the actor, and remove the mark."""
    ray.kill(address.depot)
    (Path(address.root) / address.mark).unlink(missing_ok=True)


def _state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file of a folder but of scratch."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and SCRATCH not in path.relative_to(folder).parts:
            seen = path.stat()
            found[path] = (seen.st_size, seen.st_mtime_ns)
    return found
