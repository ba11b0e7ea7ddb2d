"""An objective that does what a trial's parameters say; imports nothing heavy.

It lives in a module of its own because workers are fresh processes that import it.
"""

import ctypes
import itertools
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import TrialOutOfMemory
from runner.experiment import Store
from runner.trial import (
    Channel,
    Decision,
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
# The folder that PYTHONPATH must have for a worker to import this module.
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Plan:
    """What a trial does.

    Attributes:
        epochs: How many it would train.
        epoch_s: How long an epoch takes; the channel is asked for its decision on the way.
        value: The metric of the first epoch; each later one is better by 0.01.
        act: What happens at the start of epoch `at`, "" for nothing.
        attempts: On how many attempts it happens, for an act that a later one survives.
    """

    epochs: int = 1
    epoch_s: float = 0.0
    value: float = 0.5
    act: str = ""
    at: int = 1
    attempts: int = 1_000_000

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Plan":
        return cls(**{name: params[name] for name in cls.__dataclass_fields__ if name in params})

    def value_at(self, epoch: int) -> float:
        return round(self.value + 0.01 * (epoch - 1), 6)

    def report_at(self, epoch: int) -> Report:
        metrics = {METRIC: self.value_at(epoch), "train/loss": 1 / epoch}
        return Report(epoch, metrics, 1_700_000_000_000 + epoch)


class Scripted:
    """Runs plans in real time."""

    def hint(self, params: Mapping[str, Any], facts: Facts) -> Hint:
        return Hint()

    def needs(self) -> tuple[Files, ...]:
        return ()

    def moved(self, store: Store, places: Mapping[str, str]) -> Objective:
        return self

    def inspect(self, lease: Lease) -> Facts:
        return Facts(
            details={
                "pid": os.getpid(),
                "devices": lease.devices,
                "threads": os.environ.get("OMP_NUM_THREADS"),
                "spin": os.environ.get("GOMP_SPINCOUNT"),
                "cuda": os.environ.get("CUDA_VISIBLE_DEVICES"),
                "heavy": sorted({"torch", "timm", "mlflow", "optuna"} & sys.modules.keys()),
            }
        )

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        for spec in job.trials:
            channel.end(spec.key, _perform(spec, channel))


class SpoilsItsGpu(Scripted):
    """Its first job in a process ends with an error after which every call to the GPU fails.

    Stands in for CUDA's own errors that stay, where there is no GPU.
    """

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        if job.trials[0].params.get("act") == "spoil":
            import torch

            def refuse(name: str) -> None:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")

            torch.cuda.is_initialized = lambda: True
            torch.cuda.synchronize = refuse
            refuse("cuda:0")
        for spec in job.trials:
            channel.end(spec.key, Ending(Outcome.COMPLETE, 0.5, notes={"pid": os.getpid()}))


class Together(Scripted):
    """Trains the trials of a job in step, as one computation would: epoch by epoch, all of them.

    What one of them does to the process, it does to all.
    """

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        alive = {spec.key: spec for spec in job.trials}
        for epoch in itertools.count(1):
            for spec in list(alive.values()):
                plan = Plan.of(spec.params)
                if epoch == plan.at and spec.key.attempt < plan.attempts:
                    _do(plan, spec)
                decision = _compute(plan.epoch_s, spec, channel)
                if decision is Decision.CONTINUE:
                    decision = channel.report(spec.key, plan.report_at(epoch))
                if decision is not Decision.CONTINUE or epoch == plan.epochs:
                    channel.end(spec.key, _ending(decision.outcome, plan, epoch))
                    del alive[spec.key]
            if not alive:
                return


class SaysAfterTheEnd(Scripted):
    """A flawed objective: it reports once more for a trial that it has ended."""

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        super().run(job, lease, channel)
        for spec in job.trials:
            channel.report(spec.key, Plan().report_at(9))


class CannotBeInspected(Scripted):
    """Its second pass raises what it is given."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def hint(self, params: Mapping[str, Any], facts: Facts) -> Hint:
        return Hint()

    def inspect(self, lease: Lease) -> Facts:
        raise self._error


class HangsBefore(Scripted):
    """Hangs before any trial: while a worker unpickles it ("start"), or in its second pass."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._what == "start":
            time.sleep(600)

    def inspect(self, lease: Lease) -> Facts:
        time.sleep(600)
        return Facts()


class StartsSlowly(Scripted):
    """Takes a worker some time to load."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        time.sleep(self._seconds)


class KilledWhileInspecting(Scripted):
    """Kills its worker in its second pass, the first few times."""

    def __init__(self, folder: Path, times: int) -> None:
        self._folder = folder
        self._times = times

    def inspect(self, lease: Lease) -> Facts:
        self._folder.mkdir(exist_ok=True)
        seen = len(list(self._folder.iterdir()))
        if seen < self._times:
            (self._folder / str(seen)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Facts(details={"deaths": seen})


class CannotBeLoaded:
    """Pickles, and cannot be unpickled again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_refuse, ())


def _refuse() -> None:
    raise ImportError("this objective cannot be loaded here")


class ScriptedTimes:
    """The same plans on the simulated clock."""

    def reports(self, spec: TrialSpec) -> Iterable[tuple[float, Report]]:
        plan = Plan.of(spec.params)
        last = plan.at - 1 if plan.act else plan.epochs
        for epoch in range(1, last + 1):
            yield plan.epoch_s, plan.report_at(epoch)

    def ending(self, spec: TrialSpec, reports: list[Report]) -> Ending:
        plan = Plan.of(spec.params)
        if plan.act and len(reports) == plan.at - 1:
            try:
                _do(plan, spec)
            except Exception as error:
                outcome = _outcome_of(error)
                return Ending(outcome, reason=str(error), traceback=traceback.format_exc())
        return _ending(Outcome.COMPLETE, plan, len(reports))


def _outcome_of(error: Exception) -> Outcome:
    is_memory = isinstance(error, TrialOutOfMemory)
    return Outcome.OUT_OF_MEMORY if is_memory else Outcome.FAILED


def _perform(spec: TrialSpec, channel: Channel) -> Ending:
    plan = Plan.of(spec.params)
    for epoch in range(1, plan.epochs + 1):
        if epoch == plan.at and spec.key.attempt < plan.attempts:
            _do(plan, spec)
        decision = _compute(plan.epoch_s, spec, channel)
        if decision is Decision.CONTINUE:
            decision = channel.report(spec.key, plan.report_at(epoch))
        if decision is not Decision.CONTINUE:
            return _ending(decision.outcome, plan, epoch)
    return _ending(Outcome.COMPLETE, plan, plan.epochs)


def _compute(seconds: float, spec: TrialSpec, channel: Channel) -> Decision:
    until = time.monotonic() + seconds
    while (decision := channel.decision(spec.key)) is Decision.CONTINUE:
        if time.monotonic() >= until:
            break
        time.sleep(0.01)
    return decision


def _ending(outcome: Outcome, plan: Plan, epoch: int) -> Ending:
    value = plan.value_at(epoch) if epoch else None
    return Ending(outcome, value, epoch or None, notes={"pid": os.getpid()})


def _do(plan: Plan, spec: TrialSpec) -> None:
    if plan.act == "raise":
        raise ValueError("the learning rate is\nmuch too high")
    if plan.act == "out of memory":
        raise TrialOutOfMemory("not even one example fits")
    if plan.act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if plan.act == "kill while speaking":
        # A message of 1,000 bytes is announced, and only some of it is sent.
        os.write(int(sys.argv[1]), (1000).to_bytes(4, "big") + b"half a message")
        os.kill(os.getpid(), signal.SIGKILL)
    if plan.act == "kill with a child left":
        _leave_a_child(spec)
        os.kill(os.getpid(), signal.SIGKILL)
    if plan.act == "hang with a child":
        _leave_a_child(spec)
        time.sleep(600)
    if plan.act == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if plan.act == "loop":
        # Computes and asks nothing; on the second attempt, or after some time, it goes on.
        until = time.monotonic() + plan.epoch_s
        while time.monotonic() < until:
            pass
    if plan.act == "close the socket":
        os.close(int(sys.argv[1]))
        time.sleep(600)
    if plan.act == "hang":
        time.sleep(600)
    if plan.act == "print":
        _print_in_all_ways(spec.key.trial)


def _leave_a_child(spec: TrialSpec) -> None:
    """Fork a process that inherits the socket, as a loader of data would, and outlives this."""
    if (child := os.fork()) == 0:
        time.sleep(600)
        os._exit(0)
    (Path(spec.folder) / "child").write_text(str(child))


def _print_in_all_ways(number: int) -> None:
    print(f"printed by trial {number}")
    print(f"complained by trial {number}", file=sys.stderr)
    os.write(1, f"written by trial {number}\n".encode())
    ctypes.CDLL(None).printf(f"buffered in C by trial {number}\n".encode())
