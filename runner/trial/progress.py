"""What an epoch leaves of a trial, however it is trained: its report, the best so far."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from runner.errors import LossNotFinite
from runner.experiment import Recipe
from runner.tasks import LossSettings
from runner.trial.checkpoint import TrainingState
from runner.trial.job import Report
from runner.trial.schedules import learning_rate_factor

# Looking at the loss waits for the device, so it is not done at every step.
STEPS_BETWEEN_NAN_CHECKS = 50


@dataclass(frozen=True)
class Goal:
    """What makes one epoch better than another: a validation metric and its direction."""

    metric: str
    is_higher_better: bool

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether a value beats the best so far; an equal one does not."""
        if best is None:
            return True
        return value > best if self.is_higher_better else value < best


def note_best(
    state: TrainingState, metrics: Mapping[str, float], *, epoch: int, goal: Goal
) -> bool:
    """Keep an epoch's value if it is the best so far, and say whether it is.

    Of epochs of equal value the one with the lower validation loss is the better: a metric that
    counts rights and wrongs does not see how sure a model is.

    Args:
        state: Changed in place: value, loss and number of the best epoch.
        metrics: Of the validation part.
        epoch: Counted from 1.
        goal: What is searched for.
    """
    value, loss = metrics[goal.metric], metrics.get("loss", math.nan)
    if not math.isfinite(value):
        return False
    if goal.is_better(value, state.best_value):
        state.gained_at = epoch
    elif value != state.best_value or not loss < (state.best_loss or -math.inf):
        return False
    state.best_value, state.best_epoch = value, epoch
    state.best_loss = loss if math.isfinite(loss) else None
    return True


def is_patience_over(state: TrainingState, patience: int | None) -> bool:
    """Whether so many epochs have passed without a better value; a lower loss does not count."""
    if patience is None or state.gained_at is None:
        return False
    return state.epoch - state.gained_at >= patience


def rate_factor(recipe: Recipe, step: int, *, total: int) -> float:
    """Factor on a trial's base learning rates at one of its `total` steps."""
    return learning_rate_factor(
        recipe.schedule, step, total=total, warmup=round(recipe.warmup * total)
    )


def epoch_report(
    epoch: int,
    metrics: Mapping[str, float],
    *,
    train_loss: float,
    learning_rate: float,
    examples_per_s: float,
) -> Report:
    """The report of an epoch that has just been validated.

    Args:
        epoch: Counted from 1.
        metrics: Of the validation part.
        train_loss: Mean over the epoch's examples.
        learning_rate: Of its last step.
        examples_per_s: Training examples a second, validation not counted.
    """
    return Report(
        step=epoch,
        metrics={
            "train/loss": train_loss,
            **{f"validation/{name}": value for name, value in metrics.items()},
            "learning_rate": learning_rate,
            "train/examples_per_s": examples_per_s,
        },
        time_ms=int(time.time() * 1000),
    )


def require_finite(loss: float, epoch: int, recipe: Recipe) -> None:
    """Check a training loss of an epoch, counted from 0.

    Raises:
        LossNotFinite: If it is not a number, or infinite.
    """
    if not math.isfinite(loss):
        raise LossNotFinite(
            f"the training loss became {loss} in epoch {epoch + 1} (learning_rate "
            f"{recipe.learning_rate:g}); try a lower learning rate, warm-up or grad_clip"
        )


def loss_settings(recipe: Recipe) -> LossSettings:
    """What a recipe asks of the training loss."""
    return LossSettings(
        loss=recipe.loss,
        label_smoothing=recipe.label_smoothing,
        focal_gamma=recipe.focal_gamma,
        huber_delta=recipe.huber_delta,
        class_weights=recipe.class_weights,
    )
