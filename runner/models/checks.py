"""The second pass over an experiment's model: what only timm can tell, before the first trial."""

import inspect
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from runner.errors import TrialFailed, WeightsUnavailable
from runner.experiment import first_line
from runner.models.arguments import why_reserved
from runner.models.build import expected_model, has_regulariser, unknown_argument
from runner.models.catalogue import has_published_weights, is_on_hub_only, name_problem
from runner.models.input_spec import arguments_for_size, image_shape
from runner.models.weight_files import SUFFIXES
from runner.models.weights import HUB, NONE, weights_file

_SIZE_KEY = "data.image_size"
# What timm and torch raise for values a constructor or a forward pass cannot work with.
_BAD_VALUES = (TypeError, ValueError, RuntimeError, AssertionError, AttributeError, KeyError)


class ModelProblem(NamedTuple):
    """One thing wrong with the model section; the driver adds file and line.

    Attributes:
        key: Dotted key in the experiment file.
        rule: What is wrong, and what is allowed.
        seen: The value seen, or None.
        allowed: Spellings to look for the nearest in.
    """

    key: str
    rule: str
    seen: object = None
    allowed: tuple[str, ...] = ()


def check_model(
    name: str,
    weights: str,
    arguments: Mapping[str, Any],
    *,
    base: Path,
    image_size: int | None = None,
    regularisers: Collection[str] = (),
) -> list[ModelProblem]:
    """Every problem with a model setting; touches no network and reads no weights.

    Args:
        name: Model name.
        weights: The `model.weights` setting.
        arguments: Extra constructor arguments.
        base: Folder that relative weights paths start from.
        image_size: Side in pixels the experiment asks for; None is the model's own.
        regularisers: Which of `dropout` and `drop_path` some trial may use.
    """
    problem = name_problem(name)
    if problem is not None:
        return [ModelProblem("model.name", *problem)]
    found = _weights_problems(name, weights, base)
    if is_on_hub_only(name):
        # What else its constructor takes only its description on the hub tells.
        return found + _reserved_problems(arguments)
    refused = _argument_problems(name, arguments, image_size)
    missing = [
        ModelProblem(f"train.{each}", f"{name} has no {each}; only 0 is allowed")
        for each in regularisers
        if not refused and not has_regulariser(name, each)
    ]
    return found + refused + missing


def _weights_problems(name: str, weights: str, base: Path) -> list[ModelProblem]:
    key = "model.weights"
    if weights == NONE:
        return []
    if weights == HUB:
        if has_published_weights(name):
            return []
        rule = f"no weights of {name} are published; give a file, package:<name> or none"
        return [ModelProblem(key, rule, weights)]
    try:
        path = weights_file(weights, base=base)
    except WeightsUnavailable as err:
        return [ModelProblem(key, str(err), weights)]
    if path.suffix not in SUFFIXES:
        choices = "hub, none, bundled:<name>, package:<name> or a .safetensors, .pth or .pt file"
        rule = f"not one of the choices: {choices}"
        return [ModelProblem(key, rule, weights, (HUB, NONE))]
    if not path.is_file():
        near = tuple(p.name for p in path.parent.glob("*") if p.suffix in SUFFIXES)
        return [ModelProblem(key, f"no such file: {path}", path.name, near)]
    return []


def _reserved_problems(arguments: Mapping[str, Any]) -> list[ModelProblem]:
    """Arguments that the runner sets itself; an experiment that does too would contradict it."""
    reasons = {each: why_reserved(each) for each in arguments}
    return [
        ModelProblem(f"model.arguments.{each}", f"not to be set here: {reason}", arguments[each])
        for each, reason in reasons.items()
        if reason is not None
    ]


def _argument_problems(
    name: str, arguments: Mapping[str, Any], image_size: int | None
) -> list[ModelProblem]:
    """Problems of constructor arguments, found by building the model without values."""
    key = "model.arguments"
    found = _reserved_problems(arguments)
    known = {each: value for each, value in arguments.items() if why_reserved(each) is None}
    unknown = _without_unknown(name, known)
    try:
        model = expected_model(
            name, num_classes=2, arguments=arguments_for_size(name, known, image_size=image_size)
        )
    except (TrialFailed, *_BAD_VALUES) as err:
        rule = f"{name} cannot be built with these values: {first_line(err)}"
        at_fault = _SIZE_KEY if image_size is not None and not known else key
        return [
            *found,
            ModelProblem(at_fault, rule, image_size if at_fault == _SIZE_KEY else known),
        ]
    if not hasattr(model, "get_classifier"):
        return [*found, ModelProblem("model.name", "an encoder: it has no classifier", name)]
    allowed = tuple(inspect.signature(type(model).__init__).parameters)
    rule = f"{name} takes no such constructor argument"
    found += [ModelProblem(f"{key}.{each}", rule, each, allowed) for each in unknown]
    return [*found, *_size_problems(name, model, known, image_size)]


def _without_unknown(name: str, arguments: dict[str, Any]) -> list[str]:
    """Takes the arguments that the constructor does not know out of a mapping, and lists them."""
    unknown: list[str] = []
    while True:
        try:
            expected_model(name, num_classes=2, arguments=arguments)
        except TrialFailed as err:
            refused = unknown_argument(err.__cause__ or err)
            if refused is None or refused not in arguments:
                return unknown
            del arguments[refused]
            unknown.append(refused)
        except _BAD_VALUES:
            return unknown
        else:
            return unknown


def _size_problems(
    name: str, model: nn.Module, arguments: Mapping[str, Any], image_size: int | None
) -> list[ModelProblem]:
    height, width = image_shape(name, arguments)
    side = image_size or height
    if image_size is None and height != width:
        rule = f"{name} takes {height} x {width} images; only square ones are supported here"
        key = "model.arguments.img_size" if "img_size" in arguments else "model.name"
        return [ModelProblem(key, rule, arguments.get("img_size", name))]
    try:
        with torch.no_grad():
            logits = model.train()(torch.empty(2, 3, side, side, device="meta"))
    except _BAD_VALUES as err:
        rule = f"{name} cannot take images of {side} x {side} pixels: {first_line(err)}"
        key = _SIZE_KEY if image_size is not None else "model.arguments"
        return [ModelProblem(key, rule, side)]
    if not isinstance(logits, torch.Tensor):
        rule = "in training it gives more than class scores (auxiliary logits, say): not supported"
        return [ModelProblem("model.name", rule, name)]
    return []
