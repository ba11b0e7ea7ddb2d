"""A timm image classifier, built reproducibly, pretrained or not."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import timm
import torch
from torch import nn

from runner.errors import TrialFailed
from runner.models.arguments import is_loading, why_reserved
from runner.models.catalogue import canonical_name
from runner.models.groups import head_parameters
from runner.models.heads import start_small
from runner.models.matching import load_onto
from runner.models.weights import Weights

_UNKNOWN_ARGUMENT = re.compile(r"unexpected keyword argument(?:\(s\):)? \[?'(\w+)'")
# What the recipe calls its regularisers -> what timm's constructors call them.
REGULARISERS = {"dropout": "drop_rate", "drop_path": "drop_path_rate"}


def build_model(
    name: str,
    *,
    num_classes: int,
    weights: Weights | None,
    arguments: Mapping[str, Any],
    dropout: float,
    drop_path: float,
    seed: int,
) -> nn.Module:
    """A classifier on the CPU, in training mode, with a head of its own.

    The same arguments give the same parameters bit for bit; the caller's random state stays as
    it was.

    Args:
        name: Model name, with or without a tag.
        num_classes: Outputs of the head.
        weights: What everything but a head of another class count starts from.
        arguments: Extra constructor arguments.
        dropout: Probability before the classifier, in [0, 1).
        drop_path: Largest stochastic-depth probability, in [0, 1).
        seed: Of the fresh parameters.
    Raises:
        WeightsUnavailable: If the weights do not fit.
        TrialFailed: If the model has no such regulariser.
    """
    regularisers = _regularisers(name, dropout=dropout, drop_path=drop_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = create(name, num_classes=num_classes, arguments={**arguments, **regularisers})
    if weights is not None:
        head = head_parameters(model)
        start_small({name: model.get_parameter(name) for name in head}, seed=seed)
        load_onto(model, weights.state, head=head)
    return model.train()


def expected_model(name: str, *, num_classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    """The same classifier on the meta device: names and shapes in milliseconds, no values."""
    with torch.device("meta"):
        return create(name, num_classes=num_classes, arguments=arguments)


def create(name: str, *, num_classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    """The bare classifier, with timm's own random initialisation.

    Raises:
        TrialFailed: If the constructor does not know an argument, or it would load weights;
            `check_model` finds it earlier.
    """
    if loading := [argument for argument in arguments if is_loading(argument)]:
        raise TrialFailed(
            f"model.arguments.{loading[0]}: not to be set here: {why_reserved(loading[0])}"
        )
    try:
        model = timm.create_model(canonical_name(name), num_classes=num_classes, **arguments)
    except TypeError as err:
        unknown = unknown_argument(err)
        if unknown is None:
            raise
        raise TrialFailed(
            f"model.arguments.{unknown}: {name} takes no such constructor argument"
        ) from err
    built: nn.Module = model
    return built


def unknown_argument(err: BaseException) -> str | None:
    """The constructor argument a TypeError complains about; None if it is about another thing."""
    found = _UNKNOWN_ARGUMENT.search(str(err))
    return None if found is None else found.group(1)


def _regularisers(name: str, *, dropout: float, drop_path: float) -> dict[str, float]:
    """What timm calls them. None is said where a model has it: some have more by default."""
    asked = {"dropout": dropout, "drop_path": drop_path}
    used = {key: value for key, value in asked.items() if has_regulariser(name, key)}
    for key, value in asked.items():
        if value > 0 and key not in used:
            raise TrialFailed(f"{key} = {value}: {name} has no {key}; set train.{key} to 0")
    return {REGULARISERS[key]: value for key, value in used.items()}


@lru_cache(maxsize=64)
def has_regulariser(name: str, regulariser: str) -> bool:
    """Whether a model has a recipe's `dropout` or `drop_path`."""
    try:
        expected_model(name, num_classes=2, arguments={REGULARISERS[regulariser]: 0.1})
    except TrialFailed:
        return False
    return True
