"""How a study is run, and what is known of its running trials."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.study.waves import WaveRules
from runner.trial import Attempt, Decision, Lease, Report


@dataclass
class RunningTrial:
    """A trial that is being run.

    Attributes:
        key: Which attempt at which trial.
        lease: Where it runs.
        params: Its searched hyperparameters.
        epochs: How many epochs it would train to its end; None if only its code knows.
        started_s: When this attempt began, on the monotonic clock.
        company: How many trials its job was given out with, itself included.
        is_packed: Whether other jobs may run beside it on its device.
        beside: How many other jobs ran there at once, at most.
        reports: Its reports by epoch.
        decision: What the study wants of it.
        why: The reason of that decision.
    """

    key: Attempt
    lease: Lease
    params: Mapping[str, Any]
    epochs: int | None
    started_s: float
    company: int = 1
    is_packed: bool = False
    beside: int = 0
    reports: dict[int, Report] = field(default_factory=dict)
    decision: Decision = Decision.CONTINUE
    why: str = ""

    def limit_s(self, trial_time_s: float) -> float:
        """How long the attempt may take where a trial by itself may take so long.

        A job has the sum of its trials' time; jobs that share a device are as much slower.
        """
        return trial_time_s * self.company * (1 + self.beside)


@dataclass(frozen=True)
class Rules:
    """How a study is run, as plain values.

    Attributes:
        metric: Name of the validation metric that is searched on.
        seed: The study's.
        first: Known-good settings that are tried first.
        trial_time_s: Hard limit of one attempt, or None; see `RunningTrial.limit_s`.
        max_failures: Failures in a row that stop the search.
        epochs_of: Epochs of a trial with given parameters, or None.
        waves: How trials are asked for and put together.
        retries: How often a trial that crashed is run again; see `FailurePolicy`.
    """

    metric: str
    seed: int
    first: Sequence[Mapping[str, Any]]
    trial_time_s: float | None
    max_failures: int
    epochs_of: Callable[[Mapping[str, Any]], int | None]
    waves: WaveRules = field(default_factory=WaveRules)
    retries: int = 1
