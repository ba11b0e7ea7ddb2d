"""An objective whose trials hold memory of one device together, and run out of it together.

The device is a file: who is there, how much each holds, and what has happened. A process that has
had a trial stays on it as long as it lives, as one with a CUDA context does.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import TrialOutOfMemory
from runner.experiment import Store
from runner.study.packing import PROCESS_GIB
from runner.trial import (
    Channel,
    Decision,
    Demand,
    Ending,
    Facts,
    Files,
    Hint,
    Job,
    Lease,
    Objective,
    Outcome,
    Report,
    TrialSpec,
)

METRIC = "validation/accuracy"


@dataclass(frozen=True)
class Began:
    """What was on the device when an attempt began.

    Attributes:
        trial, attempt: Which.
        is_packed: Whether others might run beside it.
        others: Processes that were there.
        used_gib: What all held together with it, processes included.
    """

    trial: int
    attempt: int
    is_packed: bool
    others: int
    used_gib: float


class Ledger:
    """The device's memory, in a file that its processes lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            path.write_text(json.dumps({"held": {}, "began": []}))

    @property
    def began(self) -> list[Began]:
        """Every attempt that began, in order."""
        return [Began(*row) for row in json.loads(self._path.read_text())["began"]]

    def hold(self, spec: TrialSpec, gib: float) -> float:
        """Take memory for a trial; gives what is used then."""
        with self._changed() as state:
            state["held"][str(os.getpid())] = gib
            others = len(state["held"]) - 1
            used_gib: float = sum(state["held"].values()) + PROCESS_GIB * (1 + others)
            row = [spec.key.trial, spec.key.attempt, spec.is_packed, others, used_gib]
            state["began"].append(row)
        return used_gib

    def release(self) -> None:
        """Give a trial's memory back; the process stays."""
        with self._changed() as state:
            state["held"][str(os.getpid())] = 0.0

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Any]]:
        with self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            state = json.load(file)
            state["held"] = {pid: gib for pid, gib in state["held"].items() if _is_alive(pid)}
            yield state
            file.seek(0)
            file.truncate()
            json.dump(state, file)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


@dataclass(frozen=True)
class Crowded:
    """Trials of a `size`, on which their memory is thought to depend, and of so many `gib`.

    Attributes:
        ledger: The file that stands for the device.
        gib: Its memory.
    """

    ledger: str
    gib: float

    def hint(self, params: Mapping[str, Any], facts: Facts) -> Hint:
        return hint_of(params)

    def needs(self) -> tuple[Files, ...]:
        return ()

    def moved(self, store: Store, places: Mapping[str, str]) -> Objective:
        return self

    def inspect(self, lease: Lease) -> Facts:
        return Facts()

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        for spec in job.trials:
            channel.end(spec.key, self._run(spec, channel))

    def _run(self, spec: TrialSpec, channel: Channel) -> Ending:
        ledger, gib, value = Ledger(Path(self.ledger)), spec.params["gib"], spec.params["value"]
        try:
            if ledger.hold(spec, gib) > self.gib:
                raise TrialOutOfMemory("out of memory on a device that it shares")
            time.sleep(spec.params["seconds"])
            if channel.report(spec.key, Report(1, {METRIC: value}, 1)) is not Decision.CONTINUE:
                raise AssertionError("nothing stops these trials")
        finally:
            ledger.release()
        return Ending(Outcome.COMPLETE, value, 1, notes={"peak_memory_gib": gib})


def hint_of(params: Mapping[str, Any]) -> Hint:
    """What the study is told of a trial."""
    return Hint(memory=Demand("scripted", (float(params["size"]),)))
