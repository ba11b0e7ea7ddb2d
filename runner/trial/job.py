"""What passes between a study, a backend and a trial: jobs, leases, reports, endings.

Plain values only, cheap to import and to pickle: the driver holds these without torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from runner.experiment import Store


# In a trial's folder: its own state, the one that it goes on from (see `Segment`), and the best
# epoch's weights.
CHECKPOINT = "checkpoint.pt"
INHERITED = "inherited.pt"
WEIGHTS = "weights.safetensors"


class Outcome(StrEnum):
    """How an attempt at a trial ended.

    PAUSED left on request and INTERRUPTED died with its driver; both go on under the same
    trial number when the study is searched again. LOST is a worker that died alone, or hung.
    DIVERGED is a loss, or a metric, that is no longer a finite number; USER_ERROR what the user's
    own objective raised; FAILED whatever else went wrong.
    """

    COMPLETE = "complete"
    PRUNED = "pruned"
    PAUSED = "paused"
    FAILED = "failed"
    USER_ERROR = "user_error"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class Decision(StrEnum):
    """What the study wants of a running trial."""

    CONTINUE = "continue"
    STOP = "stop"
    PAUSE = "pause"
    TIME_OUT = "time_out"

    @property
    def outcome(self) -> Outcome:
        """The outcome of a trial that left because of this decision."""
        return _OUTCOME_OF[self]


_OUTCOME_OF = {
    Decision.CONTINUE: Outcome.COMPLETE,
    Decision.STOP: Outcome.PRUNED,
    Decision.PAUSE: Outcome.PAUSED,
    Decision.TIME_OUT: Outcome.TIMED_OUT,
}


@dataclass(frozen=True, order=True)
class Attempt:
    """One try at one trial; what an earlier, dead attempt still says is refused.

    Attributes:
        trial: The trial's number in its study, counted from 0.
        attempt: Counted from 0.
    """

    trial: int
    attempt: int


@dataclass(frozen=True)
class Segment:
    """The part of a longer training that one trial is.

    Attributes:
        parent: The trial from whose last state it goes on; None: it begins with the weights.
        begin: Epochs that were trained before it.
        end: The epoch after which it ends.
    """

    parent: int | None
    begin: int
    end: int


@dataclass(frozen=True)
class TrialSpec:
    """Everything a worker needs to run one trial.

    Attributes:
        key: Which attempt at which trial.
        params: The searched hyperparameters' values, by recipe key.
        seed: Seeds initialisation, order and augmentation of this trial.
        folder: The trial's own folder, for its log, checkpoint and weights.
        is_packed: Whether other jobs may run beside it on its device. Out of memory, it then ends
            at once and as it is: whose doing that was only a run by itself can show.
        segment: What part of a longer training it is; its parent's state lies in the folder, and
            its own is left there. None: it is a whole one.
    """

    key: Attempt
    params: Mapping[str, Any]
    seed: int
    folder: str
    is_packed: bool = False
    segment: Segment | None = None


@dataclass(frozen=True)
class Job:
    """What a backend runs on one lease: one trial, or several trained as one computation."""

    trials: tuple[TrialSpec, ...]

    @property
    def is_packed(self) -> bool:
        """Whether other jobs may run beside it on its device."""
        return any(spec.is_packed for spec in self.trials)


@dataclass(frozen=True)
class Share:
    """One of several leases of a search on one device.

    Attributes:
        device: The device's identity, the same for all who share it.
        count: How many leases share it.
        memory_gib: Its memory that is theirs together, GiB; None where the user has said that
            whatever runs on them fits.
    """

    device: str
    count: int
    memory_gib: float | None = None


@dataclass(frozen=True)
class Lease:
    """The devices, or the share of one, that a job holds.

    Attributes:
        slot: Number of the slot, counted from 0.
        devices: Device names as the worker sees them ("cpu", "cuda:0", "mps"). Several: a trial
            is trained on all of them.
        threads: CPU threads for computation, of all its devices together.
        environment: Environment variables that make the devices so (CUDA_VISIBLE_DEVICES).
        share: What it shares with other leases; None: its devices are its own.
    """

    slot: int
    devices: tuple[str, ...] = ("cpu",)
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    share: Share | None = None

    @property
    def place(self) -> str:
        """Where it is; leases of equal place share a device."""
        return f"slot {self.slot}" if self.share is None else self.share.device

    @property
    def neighbours(self) -> int:
        """How many leases are where it is, itself included."""
        return 1 if self.share is None else self.share.count

    @property
    def shown(self) -> str:
        """Its devices, for people: cuda:0, or 2 GPUs."""
        count = len(self.devices)
        return self.devices[0] if count == 1 else f"{count} GPUs"

    def of_rank(self, rank: int) -> "Lease":
        """What one of the processes holds that train a trial together: a device, some threads."""
        threads = max(1, self.threads // len(self.devices))
        return replace(self, devices=(self.devices[rank],), threads=threads)


@dataclass(frozen=True)
class Report:
    """The metrics of one epoch of a trial.

    Attributes:
        step: The epoch, counted from 1.
        metrics: Values by name, for example `validation/accuracy`; fractions, not per cent.
        time_ms: When they were measured, milliseconds since 1970 UTC.
    """

    step: int
    metrics: Mapping[str, float]
    time_ms: int


class Reach(StrEnum):
    """What an error is about, and so which trials would meet it.

    TRIAL: this one may be the only one. STUDY: the data, the weights or the devices, which all
    trials share; another try changes nothing. MACHINE: a disk that is full or cannot be written.
    """

    TRIAL = "trial"
    STUDY = "study"
    MACHINE = "machine"


@dataclass(frozen=True)
class Fault:
    """What was raised in a trial, to be compared with what was raised in others.

    Attributes:
        kind: The class of the error; of the runner's own errors all that they say.
        place: File and line of the last call in the user's or the project's own code.
        reach: What it is about.
    """

    kind: str
    place: str
    reach: Reach = Reach.TRIAL


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, and what it leaves.

    Attributes:
        outcome: How.
        value: The search metric of the best epoch; None unless it was measured.
        best_step: The epoch of that value.
        reason: One sentence for a person: why it failed, was pruned, or left early.
        traceback: The Python traceback of a failure.
        evaluation: The best epoch's evaluation (confusion matrix, per-class results) as plain
            JSON values.
        notes: Facts about the run: seconds, device, micro-batch size, peak memory (GiB), ...
        has_weights: Whether the best epoch's weights lie in the trial's folder.
        fault: What was raised; None where nothing was.
    """

    outcome: Outcome
    value: float | None = None
    best_step: int | None = None
    reason: str = ""
    traceback: str = ""
    evaluation: Mapping[str, Any] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    has_weights: bool = False
    fault: Fault | None = None


class Channel(Protocol):
    """A trial's line to its study."""

    def report(self, key: Attempt, report: Report) -> Decision:
        """Send one epoch's metrics; answers what to do next."""
        ...

    def decision(self, key: Attempt) -> Decision:
        """What the study wants now; cheap enough to ask before every batch."""
        ...

    def end(self, key: Attempt, ending: Ending) -> None:
        """Close the attempt; nothing may be sent for it afterwards."""
        ...


@dataclass(frozen=True)
class Finding:
    """A problem that only the libraries or the data could show (the second pass).

    Attributes:
        key: Dotted key of the experiment file.
        rule: What is wrong and what is allowed.
        seen: The value seen.
        allowed: Allowed spellings, for a suggestion.
    """

    key: str
    rule: str
    seen: str | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What the second pass over an experiment found out.

    Attributes:
        findings: Problems; the search does not start while there are any.
        max_freeze_depth: Number of the model's layer groups.
        fingerprints: Content fingerprints of data, split and weights, by name.
        manifest: Content digest of every example, by example id.
        train_examples: How many examples one epoch trains on; None if only the user's code knows.
        details: Further facts for people: classes, split sizes, unreadable files, ...
    """

    findings: tuple[Finding, ...] = ()
    max_freeze_depth: int | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    manifest: Mapping[str, str] = field(default_factory=dict)
    train_examples: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Files:
    """Files of the driver's machine that trials read.

    Attributes:
        key: Dotted key of the experiment that names them.
        path: The file, or the folder; absolute.
        names: Of a folder, which of its files, relative to it; None: all but hidden ones.
    """

    key: str
    path: str
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Demand:
    """What a trial's need of device memory depends on, as far as trials of a study differ in it.

    Attributes:
        kind: What has no order; of trials of another kind nothing follows.
        size: Numbers of which each only ever adds to the need as it grows.
    """

    kind: str
    size: tuple[float, ...]

    def covers(self, other: "Demand") -> bool:
        """Whether a trial like this needs at least as much memory as one like the other."""
        return self.kind == other.kind and all(
            mine >= theirs for mine, theirs in zip(self.size, other.size, strict=True)
        )


@dataclass(frozen=True)
class Hint:
    """What can be said of a trial before it runs.

    Attributes:
        kin: Trials of equal kin may be trained as one job; None: it is trained by itself.
        cost: Expected work, in any unit that is the same for all trials of a study.
        memory: What its need of device memory depends on; None: nobody can tell from others.
    """

    kin: str | None = None
    cost: float = 1.0
    memory: Demand | None = None


class Objective(Protocol):
    """What is searched over: runs jobs in a worker. Must pickle."""

    def hint(self, params: Mapping[str, Any], facts: Facts) -> Hint:
        """What a trial with these parameters will be like; cheap, in the driver."""
        ...

    def needs(self) -> tuple[Files, ...]:
        """What it reads that is not installed, and may not be there on another machine."""
        ...

    def moved(self, store: "Store", places: Mapping[str, str]) -> "Objective":
        """The same for another machine; it has loaded nothing yet.

        Args:
            store: Has the caches there.
            places: Where what it needs lies there, by the paths of `needs`; what is not listed
                is at its path.
        """
        ...

    def inspect(self, lease: Lease) -> Facts:
        """Second pass: check what needs the libraries and the data, and warm them up."""
        ...

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        """Run a job to its end; every trial in it is ended on the channel, or it raises."""
        ...
