"""Which work of a trial could be another trial's too; decided from settings alone, without torch.

The outputs of frozen layers are a function of the example, the weights and the transform. Trials
that agree in these may compute them once.
"""

from collections.abc import Mapping
from typing import Any

from runner.experiment import Experiment, LabelKind, Modality, Recipe
from runner.trial.job import Facts, Hint

# Work of a trial that trains nothing but its head, beside one that trains everything.
_HEAD_SHARE = 0.01
# What makes the features of two head-only trials different.
_FEATURE_KEYS = ("augmentation", "views", "max_length", "precision", "channels_last")


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
    if not is_head_only or experiment.reuse.fuse == 1:
        return Hint(cost=cost)
    features = {name: getattr(recipe, name) for name in _FEATURE_KEYS}
    return Hint(kin=f"head of {features}", cost=cost)
