"""Rungs, and pruners that are the same whenever they are made."""

import optuna
import pytest

from runner.study import rungs
from runner.study.pruning import is_rung, make_pruner


@pytest.mark.parametrize(
    ("pruner", "epochs", "expected"),
    [
        ("asha", 1, []),
        ("asha", 2, [1]),
        ("asha", 9, [1, 3]),
        ("asha", 10, [1, 3, 9]),
        ("hyperband", 30, [1, 3, 9, 27]),
        ("median", 4, [1, 2, 3]),
        ("none", 30, []),
    ],
)
def test_rungs_are_the_epochs_at_which_a_trial_may_stop(
    pruner: str, epochs: int, expected: list[int]
) -> None:
    assert rungs(pruner, epochs) == expected


@pytest.mark.parametrize("pruner", ["asha", "median", "hyperband", "none"])
@pytest.mark.parametrize("max_epochs", [1, 2, 9])
def test_pruner_stops_the_weak_and_decides_the_same_when_it_is_made_again(
    pruner: str, max_epochs: int
) -> None:
    """Optuna's pruners may keep what they guessed in memory; ours must not."""

    def decisions(*, made_anew: bool) -> list[bool]:
        study = optuna.create_study(study_name="cats", direction="maximize")
        study.pruner = make_pruner(pruner, max_epochs)
        found = []
        for number in range(30):
            trial = study.ask()
            for epoch in range(1, max_epochs + 1):
                if made_anew:
                    study.pruner = make_pruner(pruner, max_epochs)
                if not is_rung(pruner, epoch):
                    continue
                trial.report((number * 7919 % 30) / 30 + epoch / 100, epoch)
                found.append(trial.should_prune())
                if found[-1]:
                    break
            study.tell(trial, None, state=optuna.trial.TrialState.PRUNED)
        return found

    once = decisions(made_anew=False)
    assert decisions(made_anew=True) == once
    if pruner == "asha" and max_epochs == 9:
        assert 0 < sum(once) < len(once)
    if pruner == "none":
        assert once == []
