"""What the study makes of an ending that a worker reports."""

import math
from dataclasses import replace

from runner.trial import Ending, Outcome


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
        return replace(ending, outcome=Outcome.FAILED, value=None, reason=reason)
    if ending.outcome is Outcome.FAILED:
        return ending
    return replace(ending, reason="; ".join(filter(None, (why, ending.reason))))
