"""Which epochs are rungs, and whether a trial stops at one."""

from copy import copy
from typing import TYPE_CHECKING

from runner.study.record import StudyRecord

if TYPE_CHECKING:
    import optuna

# One of three goes on at each rung: the usual value (Li et al. 2020, "A System for Massively
# Parallel Hyperparameter Tuning").
REDUCTION = 3


def make_pruner(name: str, max_epochs: int | None) -> "optuna.pruners.BasePruner":
    """Optuna's pruner of that name, for trials of at most `max_epochs` epochs (None: unknown).

    Every resource is given: Optuna's "auto" would be guessed from the first finished trial and
    forgotten with the process.
    """
    from optuna import pruners

    if name == "asha":
        return pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
    if name == "hyperband" and max_epochs is not None:
        return pruners.HyperbandPruner(
            min_resource=1, max_resource=max_epochs, reduction_factor=REDUCTION
        )
    return pruners.NopPruner()


def is_pruned(record: StudyRecord, number: int, step: int) -> bool:
    """Whether a running trial stops at a rung.

    Decided once: an interrupted trial that comes to the rung again hears the same. The halving
    pruners would let it pass then, because it has been counted there.

    Side effects: the decision is written to the study.
    """
    trial = copy(record.frozen(number))
    if trial.user_attrs.get("pruned_at") == step:
        return True
    past = {at: value for at, value in trial.intermediate_values.items() if at <= step}
    trial.intermediate_values = past
    is_weak = bool(record.study.pruner.prune(record.study, trial))
    if is_weak:
        record.set_trial_attribute(number, "pruned_at", step)
    return is_weak


def is_rung(pruner: str, epoch: int, *, after: int | None = None) -> bool:
    """Whether a trial may stop after this epoch (counted from 1).

    The halving pruners look after 1, 3, 9, ... epochs, the median pruner after every one.

    Args:
        pruner: Its name.
        epoch: The epoch that was reported.
        after: The one reported before it. An objective of one's own may report every 100 steps:
            it is at a rung when it has passed one since. None: the epoch before this one.
    """
    if pruner == "none":
        return False
    if pruner == "median":
        return True
    rung = 1
    while rung <= (epoch - 1 if after is None else after):
        rung *= REDUCTION
    return rung <= epoch


def rungs(pruner: str, max_epochs: int | None) -> list[int]:
    """The epochs after which a trial of that length may stop: its rungs but for its end.

    Of unknown length: the first four.
    """
    if max_epochs is None:
        return [REDUCTION**power for power in range(4)] if pruner == "asha" else []
    return [epoch for epoch in range(1, max_epochs) if is_rung(pruner, epoch)]
