"""Decisions at rungs: Optuna's own, and the same after a restart."""

import random
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from runner.study import StudyRecord
from runner.study.pruning import Judge, make_judge
from runner.study.rungs import Rungs
from runner.study.sampling import Proposal
from runner.trial import Ending, Outcome

EPOCHS = 18


def optunas(pruner: str, first: int) -> optuna.pruners.BasePruner:
    if pruner == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=3)
    if pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=first, max_resource=EPOCHS, reduction_factor=3
        )
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=first)


def curve(number: int, epoch: int) -> float:
    """Learning curves that cross, now and then a value that is no number."""
    rng = random.Random(number)
    level, slope = rng.random(), rng.random()
    if number % 23 == 11 and epoch > 3:
        return float("nan")
    return round(level + slope * (1 - 1 / epoch), 2)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("pruner", ["asha", "hyperband", "median"])
def test_decisions_are_those_of_optunas_pruner(pruner: str, first: int, direction: str) -> None:
    rungs = Rungs(pruner, first)
    is_maximized = direction == "maximize"
    judge = make_judge(rungs, name="cats", max_epochs=EPOCHS, is_maximized=is_maximized)
    study = optuna.create_study(
        study_name="cats", direction=direction, pruner=optunas(pruner, first)
    )
    stops = 0
    for number in range(150):
        trial, values = study.ask(), {}
        for epoch in range(1, EPOCHS):
            if not rungs.passed(epoch):
                continue
            values[epoch] = curve(number, epoch)
            trial.report(values[epoch], epoch)
            expected = trial.should_prune()
            failed_at = judge.failed(number, values, epoch=epoch, after=epoch - 1)
            assert (failed_at is not None) == expected, (number, epoch)
            if expected:
                stops += 1
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, 0.0)
            judge._pruning.complete({e: v if is_maximized else -v for e, v in values.items()})
    assert 5 < stops < 150


@pytest.mark.parametrize("every", [1, 5], ids=["each epoch", "every fifth"])
@pytest.mark.parametrize("pruner", ["asha", "hyperband", "median", "none"])
def test_decisions_are_the_same_however_often_the_driver_restarts(
    memory_record: Callable[[], StudyRecord], pruner: str, every: int
) -> None:
    """Also where one report passes several rungs."""

    def decisions(*, is_restarted: bool) -> list[Any]:
        record, made = memory_record(), _judge_of(pruner)
        found = []
        for number in range(40):
            record.begin(record.add(Proposal({}, {}), origin="sampler", seed=0))
            before = 0
            for epoch in range(every, EPOCHS, every):
                if is_restarted:
                    made = _judge_of(pruner)
                    for trial in record.trials():
                        made.learn(trial)
                if made.is_rung(epoch, after=before):
                    values = {**record.trial(number).rungs, epoch: curve(number, epoch)}
                    failed = made.failed(number, values, epoch=epoch, after=before)
                    record.add_rung(number, epoch, values[epoch], failed_at=failed)
                    found.append((number, epoch, failed))
                    if failed is not None:
                        break
                before = epoch
            stopped = record.trial(number).failed_at is not None
            outcome = Outcome.PRUNED if stopped else Outcome.COMPLETE
            record.close(number, Ending(outcome, 0.5))
            made.tell(record.trial(number))
        return found

    once = decisions(is_restarted=False)
    assert decisions(is_restarted=True) == once
    assert (pruner == "none") == (once == [])


def _judge_of(pruner: str) -> Judge:
    return make_judge(Rungs(pruner), name="cats", max_epochs=EPOCHS, is_maximized=False)


def test_value_that_is_no_number_stops_its_trial_and_does_not_count() -> None:
    judge = _judge_of("asha")
    assert judge.failed(0, {1: float("nan")}, epoch=1, after=0) == 1
    assert judge.failed(1, {1: 0.5}, epoch=1, after=0) is None
    assert judge.failed(2, {1: 0.4}, epoch=1, after=0) is None
    assert judge.failed(3, {1: 0.5}, epoch=1, after=0) == 1
