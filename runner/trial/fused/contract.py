"""What goes into a fused training of heads, and what comes out of it for each trial."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from runner.errors import TrialFailed
from runner.experiment import Recipe
from runner.tasks import Task
from runner.trial.checkpoint import TrainingState
from runner.trial.job import Decision, TrialSpec
from runner.trial.precision import Numerics
from runner.trial.progress import Goal


@dataclass(frozen=True)
class HeadFeatures:
    """What a classifier is fed in place of examples: outputs of all that is frozen.

    The tensors may lie on the device that trains or, if they do not fit there, on the CPU.

    Attributes:
        train: Shape [V, N, D]; epoch e of any trial uses view e % V.
        train_targets: As the task encodes them, the first dimension counting N examples.
        validation: Shape [M, D].
        validation_targets: Likewise, M examples, on the CPU.
        validation_ids: The M examples' ids.
        lengths: What each training example costs, as the plain loop's batches go by; None where
            all cost the same.
    """

    train: Tensor
    train_targets: Tensor
    validation: Tensor
    validation_targets: Tensor
    validation_ids: tuple[str, ...]
    lengths: np.ndarray | None = None


@dataclass(frozen=True)
class HeadSetting:
    """What all heads have in common beside their features.

    Attributes:
        task: What they learn.
        goal: Which of their epochs is the best.
        numerics: Where and how they compute.
    """

    task: Task
    goal: Goal
    numerics: Numerics


@dataclass(frozen=True)
class HeadTrial:
    """One trial that trains nothing but a linear head.

    Attributes:
        spec: The trial.
        recipe: Its recipe.
        start: Its fresh weight [C, D] and bias [C] under the model's names (`models.HeadStart`).
    """

    spec: TrialSpec
    recipe: Recipe
    start: Mapping[str, Tensor]


@dataclass(frozen=True)
class HeadEnding:
    """How a head's training ended.

    Attributes:
        trial: Which.
        state: Epochs, reports, the best epoch with its weights under the names of `start` and its
            evaluation, seconds: this trial's share of what all took. The parts for going on later
            are empty.
        decision: What made it leave; CONTINUE where it ran to its end.
        error: Why it failed; None where it did not.
    """

    trial: HeadTrial
    state: TrainingState
    decision: Decision = Decision.CONTINUE
    error: TrialFailed | None = None
