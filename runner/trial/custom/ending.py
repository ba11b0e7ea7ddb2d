"""How a trial of one's own ended, from what it reported and what the study wanted."""

from collections.abc import Mapping
from typing import Any

from runner.trial.custom.history import History
from runner.trial.job import Decision, Ending, Fault, Lease, Outcome, Reach


def ending_of(
    history: History,
    decision: Decision,
    *,
    notes: Mapping[str, Any],
    reason: str = "",
) -> Ending:
    """The ending of an attempt that returned, or left because it was told to.

    Args:
        history: What it reported.
        decision: What the study wanted at the last.
        notes: Facts about the run.
        reason: More to say of a trial that left.
    """
    best = history.best
    if decision is Decision.CONTINUE and best is None:
        return _without_value(history, notes)
    value, step = best if best is not None else (None, None)
    return Ending(decision.outcome, value=value, best_step=step, reason=reason, notes=notes)


def _without_value(history: History, notes: Mapping[str, Any]) -> Ending:
    reason = history.missing()
    if history.has_metric:
        return Ending(Outcome.DIVERGED, reason=reason, notes=notes)
    # No setting of a trial changes which names its code reports.
    fault = Fault(reason, "", Reach.STUDY)
    return Ending(Outcome.USER_ERROR, reason=reason, notes=notes, fault=fault)


def notes_of(lease: Lease, history: History, *, seconds: float) -> dict[str, Any]:
    """Facts about an attempt that every trial of one's own has."""
    return {
        "device": lease.devices[0],
        "threads": lease.threads,
        "train_s": round(seconds, 3),
        "epochs": history.step,
    }
