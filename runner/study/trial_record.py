"""One trial as the study knows it, and how it is written down in Optuna's terms."""

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.study.sampling import Proposal
from runner.trial import Ending, Outcome, Segment

if TYPE_CHECKING:
    import optuna

# Outcomes after which the same trial number is run again, where nothing else was decided.
RESUMABLE = frozenset({Outcome.PAUSED, Outcome.INTERRUPTED, Outcome.LOST})


@dataclass(frozen=True)
class Asked:
    """A trial to be written to the study.

    Attributes:
        proposal: Its parameters.
        origin: "sampler", "first:<n>" or "enqueued:<id>".
        seed: Its own.
        wave: The number of the first trial it was asked together with, and how many they are.
    """

    proposal: Proposal
    origin: str
    seed: int
    wave: tuple[int, int]


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the study knows it.

    Attributes:
        number: Counted from 0.
        outcome: How it ended, or its last attempt where it waits for the next; None while it
            runs, and before it was begun.
        is_waiting: Whether it waits to be run (again).
        value: The search metric of its best epoch; a pruned trial's last rung.
        best_epoch: The epoch of that value, counted from 1.
        params: Its searched hyperparameters.
        rungs: Values by epoch, those at rungs only.
        failed_at: The rung at which it was to stop; None if at none.
        origin: "sampler", "first:<n>" or "enqueued:<id>".
        seed: Of initialisation, order and augmentation.
        wave: The number of the first trial it was asked together with, and how many they were
            to be.
        attempt: How many times it was begun before, counted from 0; -1 if never.
        reason: Why it failed or left early; empty otherwise.
        traceback: Of a failure; empty otherwise.
        notes: Facts about the run (seconds, device, micro-batch, ...).
        started, ended: Local time.
        is_exclusive: Whether it must have a device to itself: it was lost beside others.
        segment: The part of a longer training that it is; None: a whole one.
        crashes: How many of its attempts have crashed: raised, or lost their worker.
        log: Where its log lies on this machine, in what listeners hear; empty otherwise.
    """

    number: int
    outcome: Outcome | None
    is_waiting: bool
    value: float | None
    best_epoch: int | None
    params: Mapping[str, Any]
    rungs: Mapping[int, float]
    failed_at: int | None
    origin: str
    seed: int
    wave: tuple[int, int]
    attempt: int
    reason: str
    traceback: str
    notes: Mapping[str, Any]
    started: datetime | None
    ended: datetime | None
    is_exclusive: bool = False
    segment: Segment | None = None
    crashes: int = 0
    log: str = ""

    @property
    def loss(self) -> float:
        """The validation loss of its best epoch; infinite where nobody has measured it."""
        loss = self.notes.get("validation_loss")
        return math.inf if loss is None else float(loss)

    @property
    def state(self) -> str:
        """The outcome's name, or "waiting" or "running"."""
        if self.is_waiting:
            return f"waiting ({self.outcome})" if self.outcome else "waiting"
        return str(self.outcome) if self.outcome else "running"


def waiting_trial(asked: Asked) -> "optuna.trial.FrozenTrial":
    """A new trial as Optuna is to have it."""
    import optuna

    attrs = {"origin": asked.origin, "seed": asked.seed, "attempt": -1}
    wave = {} if asked.wave[1] == 1 else {"wave": list(asked.wave)}
    segment = asked.proposal.segment
    part = {} if segment is None else {"segment": list(astuple(segment))}
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.WAITING,
        params=dict(asked.proposal.params),
        distributions=dict(asked.proposal.distributions),
        system_attrs=dict(asked.proposal.system_attrs),
        user_attrs={**attrs, **wave, **part},
    )


def ending_values(ending: Ending, attempt: int, *, is_again: bool) -> dict[str, Any]:
    """An ending as plain JSON values, with the attempt that it is of.

    Args:
        ending: The ending.
        attempt: Of which attempt.
        is_again: Whether the trial is run again.
    """
    # Written where the outcome does not say so by itself.
    again = {} if is_again == (ending.outcome in RESUMABLE) else {"again": is_again}
    return {
        **again,
        "attempt": attempt,
        "outcome": ending.outcome.value,
        "value": ending.value,
        "best_step": ending.best_step,
        "reason": ending.reason,
        "traceback": ending.traceback,
        "notes": dict(ending.notes),
        "has_weights": ending.has_weights,
    }


def is_run_again(ending: Mapping[str, Any]) -> bool:
    """Whether the trial of a written ending is run again."""
    return bool(ending.get("again", Outcome(ending["outcome"]) in RESUMABLE))


def ending_of(trial: "optuna.trial.FrozenTrial") -> dict[str, Any] | None:
    """The last ending that was written of a trial; None before the first."""
    return trial.user_attrs.get("ending")


def record_of(trial: "optuna.trial.FrozenTrial") -> TrialRecord:
    """A trial in the study's words."""
    from optuna.trial import TrialState

    is_open = trial.state is TrialState.RUNNING
    ending = {} if is_open else (ending_of(trial) or {})
    return TrialRecord(
        number=trial.number,
        outcome=Outcome(ending["outcome"]) if ending else None,
        is_waiting=trial.state is TrialState.WAITING,
        value=trial.value if trial.state.is_finished() else None,
        best_epoch=ending.get("best_step"),
        params=dict(trial.params),
        rungs=dict(trial.intermediate_values),
        failed_at=trial.user_attrs.get("failed_at", trial.user_attrs.get("pruned_at")),
        origin=str(trial.user_attrs.get("origin", "sampler")),
        seed=int(trial.user_attrs.get("seed", 0)),
        wave=tuple(trial.user_attrs.get("wave", (trial.number, 1))),
        attempt=int(trial.user_attrs.get("attempt", -1)),
        reason=str(ending.get("reason", "")),
        traceback=str(ending.get("traceback", "")),
        notes=ending.get("notes", {}),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        is_exclusive=bool(trial.user_attrs.get("exclusive", False)),
        segment=segment_of(trial.user_attrs),
        crashes=int(trial.user_attrs.get("crashes", 0)),
    )


def segment_of(attributes: Mapping[str, Any]) -> Segment | None:
    """What part of a longer training a trial is, by its attributes."""
    written = attributes.get("segment")
    return None if written is None else Segment(*written)
