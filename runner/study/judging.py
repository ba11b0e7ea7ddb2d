"""What the study makes of an ending that a worker reports."""

import math
from dataclasses import replace

from runner.study.rules import RunningTrial
from runner.trial import Decision, Ending, Outcome

# Whatever the study wanted meanwhile, these have a reason of their own.
_BY_ITSELF = frozenset({Outcome.FAILED, Outcome.USER_ERROR, Outcome.DIVERGED})


def judged(ending: Ending, *, why: str, metric: str) -> Ending:
    """An ending with the study's own reason, and never complete without a finite value.

    Args:
        ending: As the worker has it.
        why: Why the study wanted the trial to leave; empty if it did not.
        metric: Name of the search metric, for the reason.
    """
    if ending.outcome is Outcome.COMPLETE:
        if ending.value is not None and math.isfinite(ending.value):
            return ending
        reason = f"it ended as complete, with {ending.value} as its validation/{metric}"
        outcome = Outcome.FAILED if ending.value is None else Outcome.DIVERGED
        return replace(ending, outcome=outcome, value=None, reason=reason)
    if ending.outcome in _BY_ITSELF:
        return ending
    return replace(ending, reason="; ".join(filter(None, (why, ending.reason))))


def beside_others(ending: Ending, running: RunningTrial) -> Ending:
    """An ending on a device that others use too: memory that ran out there is nobody's own.

    The attempt is then lost, or what the study wanted of it anyway.
    """
    if running.lease.share is None:
        return ending
    notes = {**ending.notes, "packed_beside": running.beside}
    if not has_run_out(ending, running):
        return replace(ending, notes=notes)
    wanted = running.decision
    outcome = Outcome.LOST if wanted is Decision.CONTINUE else wanted.outcome
    return replace(ending, outcome=outcome, value=None, notes=notes)


def has_run_out(ending: Ending, running: RunningTrial) -> bool:
    """Whether memory ran out while others might use the device."""
    return running.is_packed and ending.outcome is Outcome.OUT_OF_MEMORY
