"""Which work of a trial could be another trial's too; decided from settings alone, without torch.

The outputs of frozen layers are a function of the example, the weights and the transform. Trials
that agree in these may compute them once.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from runner.experiment import Experiment, LabelKind, Modality, Recipe
from runner.trial.job import Demand, Facts, Hint

# Work of a trial that trains nothing but its head, beside one that trains everything.
_HEAD_SHARE = 0.01
# What makes the features of two head-only trials different.
_FEATURE_KEYS = ("augmentation", "views", "max_length", "precision", "channels_last")
# What changes the memory of a trial and has no order.
_MEMORY_KINDS = ("precision", "channels_last", "adapter", "compile")
# Each does what the one before does, and more.
_AUGMENTATIONS = ("none", "light", "medium", "strong")


def obstacle(experiment: Experiment, recipe: Recipe, *, groups: int) -> str | None:
    """Why a trial has no frozen layers whose outputs could be shared; None if it has.

    Args:
        experiment: What was asked.
        recipe: The trial's.
        groups: Number of the model's layer groups.
    """
    if experiment.reuse.features == "off":
        return "reuse.features is off"
    if frozen_depth(recipe, groups) == 0:
        return "no layer is frozen"
    if experiment.model.weights == "none":
        return "the frozen layers are random, and each trial's own"
    if recipe.unfreeze_every:
        return "frozen layers thaw during the trial"
    if recipe.adapter != "none":
        return "adapters train beside the frozen layers"
    if experiment.form.modality is not Modality.IMAGE:
        return None
    if recipe.mixup > 0:
        return "mixup mixes images before the frozen layers"
    if recipe.augmentation != "none" and recipe.views is None:
        return "every epoch has new random views; set train.views to share them"
    return None


def frozen_depth(recipe: Recipe, groups: int) -> int:
    """How many layer groups are frozen, `max` being all of them."""
    return groups if recipe.freeze_depth == "max" else recipe.freeze_depth


def hint_of(experiment: Experiment, params: Mapping[str, Any], facts: Facts) -> Hint:
    """What a fine-tuning trial will be like; see `Objective.hint`."""
    recipe = experiment.recipe(dict(params))
    groups = facts.max_freeze_depth or 0
    depth = frozen_depth(recipe, groups)
    trained = max(_HEAD_SHARE, 1 - depth / max(groups, 1))
    is_head_only = (
        groups > 0
        and depth == groups
        and experiment.form.labels is not LabelKind.TAGS
        and obstacle(experiment, recipe, groups=groups) is None
    )
    cost = recipe.epochs * trained
    memory = _demand(experiment, recipe, groups)
    if not is_head_only or experiment.reuse.fuse == 1:
        return Hint(cost=cost, memory=memory)
    return Hint(kin=f"head of {_values(recipe, _FEATURE_KEYS)}", cost=cost, memory=memory)


def _demand(experiment: Experiment, recipe: Recipe, groups: int) -> Demand | None:
    """What a trial's need of device memory depends on.

    Only what adds to it and never takes from it is a number. Trials on features are alike where
    the features are the same and of the same depth: earlier layers may have larger outputs or
    smaller ones, and whether features stay on the device depends on their size.
    """
    depth = frozen_depth(recipe, groups)
    if recipe.unfreeze_every and depth > 0:
        # It grows as layers thaw, and a trial that was stopped early has not shown how far.
        return None
    kind = _values(recipe, _MEMORY_KINDS)
    if obstacle(experiment, recipe, groups=groups) is None:
        kind |= _values(recipe, _FEATURE_KEYS) | {"freeze_depth": depth}
    states = {"sgd": int(recipe.momentum > 0)}.get(recipe.optimizer, 2)
    size = [
        recipe.batch_size,
        groups - depth,
        states,
        recipe.ema is not None,
        recipe.mixup > 0,
        recipe.dropout > 0,
        recipe.drop_path > 0,
        _AUGMENTATIONS.index(recipe.augmentation),
        math.inf if recipe.max_length is None else recipe.max_length,
    ]
    if recipe.adapter == "lora":
        size += [recipe.lora_rank, recipe.lora_targets == "linear", recipe.lora_dropout > 0]
    return Demand(str(kind), tuple(map(float, size)))


def _values(recipe: Recipe, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in names}
