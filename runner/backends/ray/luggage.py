"""The folders of trials on a machine that does not see the study's: fetched, and sent back.

A checkpoint, a log, weights and artifacts belong beside the study, on the driver's machine. Where
a worker sees that folder, because the machine is the same or the disk is shared, nothing is sent.
The scratch folder of an objective of one's own stays where it is.
"""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath

import ray

from runner import data
from runner.backends.ray.depot import CHUNK_BYTES, Address, DeadAttempt, NotBegun
from runner.heartbeat import pulse
from runner.trial import SCRATCH, Attempt, Channel, Decision, Ending, Job, Report

logger = logging.getLogger(__name__)

# A message on its way takes milliseconds; a driver that is being stopped may hold it back.
_BEGIN_WITHIN_S = 30.0
_PREFIX, _LOCK = "runner-job-", ".lock"


@dataclass
class Luggage:
    """The folders of one job's trials on this machine.

    Attributes:
        address: Where they belong.
        job: The job with folders of this machine.
    """

    address: Address
    job: Job
    _far: dict[Attempt, PurePosixPath] = field(default_factory=dict)
    _sent: dict[Path, tuple[int, int]] = field(default_factory=dict)
    _held: ExitStack = field(init=False)
    _home: Path = field(init=False)

    def __post_init__(self) -> None:
        _sweep()
        with ExitStack() as stack:
            self._home = stack.enter_context(_locked_folder())
            self._pack()
            self._held = stack.pop_all()

    def _pack(self) -> None:
        specs = []
        for spec in self.job.trials:
            self._far[spec.key] = PurePosixPath(spec.folder).relative_to(self.address.root)
            folder = self._home / str(spec.key.trial)
            folder.mkdir()
            self._fetch(spec.key, folder)
            specs.append(replace(spec, folder=str(folder)))
        self.job = Job(tuple(specs))

    def send(self, key: Attempt) -> None:
        """Send what has changed in a trial's folder since it was last sent.

        Raises:
            DeadAttempt: If the study has given the attempt up.
        """
        folder = self._home / str(key.trial)
        here = _state(folder)
        changed = [path for path, state in here.items() if self._sent.get(path) != state]
        gone = [path for path in self._sent if folder in path.parents and path not in here]
        far = {path: self._far_path(key, folder, path) for path in (*changed, *gone)}
        for path in changed:
            self._send_file(key, path, far[path])
        if far:
            written, removed = [far[path] for path in changed], [far[path] for path in gone]
            ray.get(self.address.depot.commit.remote(key, written, removed))
        for path in gone:
            del self._sent[path]
        self._sent.update(here)

    def _far_path(self, key: Attempt, folder: Path, path: Path) -> str:
        return str(self._far[key] / path.relative_to(folder).as_posix())

    def close(self) -> None:
        """Remove the folders of this machine."""
        self._held.close()

    def _fetch(self, key: Attempt, folder: Path) -> None:
        depot, far = self.address.depot, self._far[key]
        for name, size in self._sizes(key).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                while file.tell() < size:
                    pulse.beat()
                    piece = ray.get(depot.read.remote(key, str(far / name), file.tell()))
                    if not piece:
                        break
                    file.write(piece)
        self._sent.update(_state(folder))

    def _sizes(self, key: Attempt) -> Mapping[str, int]:
        """What the trial's folder holds there."""
        until_s = time.monotonic() + _BEGIN_WITHIN_S
        while True:
            try:
                sizes: Mapping[str, int] = ray.get(self.address.depot.files.remote(key))
            except NotBegun:
                # What the driver says of the attempt and the attempt itself take different ways.
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.05)
            else:
                return sizes

    def _send_file(self, key: Attempt, path: Path, far: str) -> None:
        with path.open("rb") as file:
            pieces = iter(lambda: file.read(CHUNK_BYTES), b"")
            offset = 0
            for piece in chain([next(pieces, b"")], pieces):
                pulse.beat()
                ray.get(self.address.depot.write.remote(key, far, piece, offset=offset))
                offset += len(piece)


class Sending:
    """A channel before whose every word the trial's files are sent: they are there when it is.

    A worker that was cut off, and whose trial runs elsewhere meanwhile, learns of it here.
    """

    def __init__(self, channel: Channel, luggage: Luggage) -> None:
        self._channel = channel
        self._luggage = luggage

    def report(self, key: Attempt, report: Report) -> Decision:
        """See `Channel.report`."""
        if not self._sent(key):
            return Decision.STOP
        return self._channel.report(key, report)

    def decision(self, key: Attempt) -> Decision:
        """See `Channel.decision`."""
        return self._channel.decision(key)

    def end(self, key: Attempt, ending: Ending) -> None:
        """See `Channel.end`."""
        self._sent(key)
        self._channel.end(key, ending)

    def _sent(self, key: Attempt) -> bool:
        try:
            self._luggage.send(key)
        except DeadAttempt as error:
            logger.warning("%s: it leaves", error)
            return False
        return True


@contextmanager
def _locked_folder() -> Iterator[Path]:
    """A temporary folder, removed in the end; by a later job, where this process is killed."""
    made = Path(tempfile.mkdtemp(prefix=f"new-{_PREFIX}"))
    with data.lock_file(made / _LOCK) as lock:
        data.does_lock(lock)
        # Locked before anybody finds it.
        folder = made.rename(made.with_name(made.name.removeprefix("new-")))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of jobs of this user whose processes were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.lstat().st_uid != os.getuid():
                continue
            with data.lock_file(folder / _LOCK) as lock:
                if data.does_lock(lock):
                    shutil.rmtree(folder, ignore_errors=True)


def _state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file of a folder but of scratch."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and SCRATCH not in path.relative_to(folder).parts:
            seen = path.stat()
            found[path] = (seen.st_size, seen.st_mtime_ns)
    return found
