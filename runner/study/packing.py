"""Which jobs may run beside one another on a device, by what earlier trials were measured to need.

A job is packed, with others beside it or to come, or it has its device to itself from its start
to its end: where nothing is known of its need, or where it does not fit beside what runs. The
trials of a study keep their order: while the next one waits for a device, none goes before it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from runner.experiment import Experiment
from runner.study.trial_record import TrialRecord
from runner.study.waves import HintOf, Waiting
from runner.trial import Demand, Lease, Outcome, Share

# Trials that share a GPU at most, unless the experiment says. A choice, not measured.
PACK = 4
# What a worker takes of a GPU beside its tensors: the context and the kernels of the libraries.
# People report 0.3 to 0.7 GiB (pytorch #107667, #28113, #81257), more where many kernels are
# loaded. An assumption: not measured here.
PROCESS_GIB = 1.0
# Of the room that a device was thought to have, what is counted on after a job ran out of it.
AFTER_RUNNING_OUT = 0.9


@dataclass(frozen=True)
class Placement:
    """How a job runs on its lease.

    Attributes:
        is_packed: Whether others may run beside it.
        needs_gib: Device memory that it is expected to need at most; 0 where nobody counts.
    """

    is_packed: bool
    needs_gib: float = 0.0


ALONE = Placement(is_packed=False)


class Peaks:
    """The memory that trials were measured to need at most, by what it depends on."""

    def __init__(self) -> None:
        self._measured: dict[Demand, float] = {}

    def add(self, demand: Demand, peak_gib: float) -> None:
        """A trial's measured peak; of equal demands the largest counts."""
        self._measured[demand] = max(peak_gib, self._measured.get(demand, 0.0))

    def of(self, demand: Demand) -> float | None:
        """What a job needs at most, GiB; None where none that covers it has been measured.

        Whatever covers it needs no less, so the smallest of those is the closest bound.
        """
        bounds = [peak for known, peak in self._measured.items() if known.covers(demand)]
        return min(bounds, default=None)

    @property
    def least(self) -> float:
        """The smallest of all; infinite before the first."""
        return min(self._measured.values(), default=math.inf)


@dataclass
class _Device:
    """A device that several leases share.

    Attributes:
        room_gib: Memory that jobs and their processes have together; None: nobody counts.
        jobs: What runs there, by slot.
        processes: Slots that have had a job, and so a process that holds some of the memory.
        short: Slots whose job has run out of memory.
    """

    room_gib: float | None
    jobs: dict[int, Placement] = field(default_factory=dict)
    processes: set[int] = field(default_factory=set)
    short: set[int] = field(default_factory=set)

    @property
    def is_taken(self) -> bool:
        """Whether a job has it to itself."""
        return any(not job.is_packed for job in self.jobs.values())

    def has_room(self, slot: int, needs_gib: float) -> bool:
        """Whether a job that needs so much fits beside what runs."""
        if self.room_gib is None:
            return True
        jobs_gib = needs_gib + sum(job.needs_gib for job in self.jobs.values())
        return jobs_gib + PROCESS_GIB * len(self.processes | {slot}) <= self.room_gib


class Packing:
    """What runs on devices that leases share, and what else fits there.

    A lease that is its device's only one takes any job; nothing is kept of it here.

    Args:
        hint_of: What a trial with given parameters will be like.
    """

    def __init__(self, hint_of: HintOf) -> None:
        self._hint_of = hint_of
        self._peaks = Peaks()
        self._devices: dict[str, _Device] = {}

    def learn(self, trial: TrialRecord) -> None:
        """Take over what an ended attempt was measured to need.

        One that ran out of memory by itself, or had to take smaller batches, needs a device.
        """
        peak_gib = trial.notes.get("peak_memory_gib")
        is_short = trial.notes.get("micro_batches", 1) > 1
        if trial.outcome is Outcome.OUT_OF_MEMORY or is_short:
            peak_gib = math.inf
        if peak_gib is None:
            return
        demand = self._hint_of(trial.params).memory
        if demand is not None:
            company = trial.notes.get("trained_together", 1)
            self._peaks.add(_together(demand, company), peak_gib)

    def is_open(self, lease: Lease) -> bool:
        """Whether any job that something is known of could begin on a lease that has none.

        Until then nothing is to be asked of a sampler, which may know more by then.
        """
        if lease.share is None:
            return True
        device = self._freed(lease, lease.share)
        least_gib = 0.0 if lease.share.memory_gib is None else self._peaks.least
        return not device.jobs or (not device.is_taken and device.has_room(lease.slot, least_gib))

    def place(self, lease: Lease, job: Sequence[Waiting]) -> Placement | None:
        """How a job runs on a lease that has none; None while it must not begin there."""
        if lease.share is None:
            return ALONE
        device = self._freed(lease, lease.share)
        if device.is_taken:
            return None
        needs_gib = self._needs(lease.share, job)
        if needs_gib is not None and device.has_room(lease.slot, needs_gib):
            return Placement(is_packed=True, needs_gib=needs_gib)
        return None if device.jobs else ALONE

    def begin(self, lease: Lease, placement: Placement) -> None:
        """A job begins where it was placed."""
        if lease.share is None:
            return
        device = self._freed(lease, lease.share)
        device.jobs[lease.slot] = placement
        # For a job that has a device to itself the backend ends the other processes there.
        kept = device.processes if placement.is_packed else set()
        device.processes = kept | {lease.slot}

    def ran_out(self, lease: Lease) -> None:
        """A packed job ran out of memory: its device has less room than was thought.

        A neighbour needed more than expected, or somebody else uses the device.
        """
        if lease.share is None:
            return
        device = self._devices[lease.share.device]
        # Once a job, of however many trials it is.
        if device.room_gib is not None and lease.slot not in device.short:
            device.room_gib *= AFTER_RUNNING_OUT
        device.short.add(lease.slot)

    def _freed(self, lease: Lease, share: Share) -> _Device:
        """The device of a lease that asks for a job: what it held until then is given back."""
        device = self._devices.setdefault(share.device, _Device(share.memory_gib))
        device.jobs.pop(lease.slot, None)
        device.short.discard(lease.slot)
        return device

    def _needs(self, share: Share, job: Sequence[Waiting]) -> float | None:
        """What a job needs at most, GiB; None where it must have a device to itself."""
        if any(trial.is_exclusive for trial in job):
            return None
        if share.memory_gib is None:
            return 0.0
        demands = [trial.memory for trial in job if trial.memory is not None]
        if len(demands) < len(job) or len({demand.kind for demand in demands}) > 1:
            return None
        largest = tuple(map(max, zip(*(demand.size for demand in demands), strict=True)))
        return self._peaks.of(_together(Demand(demands[0].kind, largest), len(job)))


def most_packed(experiment: Experiment) -> int:
    """How many trials of an experiment may share a GPU, each where it is known to fit."""
    asked = experiment.search.pack
    if experiment.is_custom or experiment.search.gpus_per_trial > 1:
        return 1
    return PACK if asked == "auto" else asked


def _together(demand: Demand, company: int) -> Demand:
    """The demand of a job of several trials, of which this one covers the largest of each number.

    What a company was measured to need says nothing of one trial alone, which is trained
    otherwise. Of a company that has ended, each trial stands for what is known of all: as many,
    none of whose numbers are known to be larger than its own; what it then covers, they cover.
    """
    if company == 1:
        return demand
    return Demand(f"{demand.kind}, trained together", (float(company), *demand.size))
