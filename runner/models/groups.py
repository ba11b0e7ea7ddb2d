"""The layer groups of a model, in order from the input, and its head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from timm.models import group_parameters
from torch import nn

from runner.models.order import NoLayerOrder, require_order
from runner.models.text.head import is_text_model, text_head_parameters

FreezeDepth = int | Literal["max"]


@dataclass(frozen=True)
class LayerGroups:
    """Which parameters and modules make up each layer group; names only, so any copy fits.

    Attributes:
        names: Parameter names of each group, in order from the input; without the head.
        head: Parameter names of the classifier alone.
        group_of_module: Group of each module that can be frozen, by name.
        unordered: Why the model's layers have no order; None where they have. Without an order
            everything but the head is one group.
        fixed: Parameter names that never train, whatever the freeze depth: the weights beside
            which adapters train.
    """

    names: tuple[tuple[str, ...], ...]
    head: tuple[str, ...]
    group_of_module: tuple[tuple[str, int], ...]
    unordered: str | None = None
    fixed: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of groups without the head: the largest freeze depth."""
        return len(self.names)

    def frozen_parameters(self, depth: int) -> tuple[str, ...]:
        """Names of the parameters that a freeze depth keeps from training."""
        return tuple(name for group in self.names[:depth] for name in group)

    def frozen_modules(self, depth: int) -> tuple[str, ...]:
        """Names of the modules that a freeze depth keeps in evaluation mode."""
        return tuple(name for name, group in self.group_of_module if group < depth)

    def group_index_by_parameter(self) -> dict[str, int]:
        """Group of every parameter, counted from the input; the head's is `count`."""
        groups = (*self.names, self.head)
        return {name: index for index, group in enumerate(groups) for name in group}

    def depth(self, asked: FreezeDepth) -> int:
        """The freeze depth as a number, `max` being all but the head.

        Raises:
            ValueError: If there are fewer groups; `depth_problem` says it without raising.
        """
        depth = self.count if asked == "max" else asked
        if not 0 <= depth <= self.count:
            raise ValueError(f"freeze depth {asked}: allowed are 0 to {self.count}, or max")
        return depth

    def depth_problem(self, asked: FreezeDepth) -> str | None:
        """Why a freeze depth cannot be had, and the choices left; None if it can."""
        if asked in (0, "max"):
            return None
        if self.unordered is not None:
            return f"the model's layers have no order ({self.unordered}); allowed: 0 or max"
        if not 0 <= int(asked) <= self.count:
            return f"the model has {self.count} layer groups; allowed: 0 to {self.count}, or max"
        return None


def layer_groups(model: nn.Module) -> LayerGroups:
    """The layer groups of an image or text model; on the meta device too, in milliseconds.

    A model whose library does not order its layers from the input gets one group, all but the
    head, with the reason in `unordered`. For a model with adapters take what `apply_lora` gave.
    """
    if is_text_model(model):
        from runner.models.text.layers import text_layer_groups

        return text_layer_groups(model)
    return _timm_layer_groups(model)


def _timm_layer_groups(model: nn.Module) -> LayerGroups:
    head = head_parameters(model)
    try:
        names = _matched(model, head)
        index = {name: number for number, group in enumerate((*names, head)) for name in group}
        require_order(model, index, image_shape=image_shape_of(model))
        reason = None
    except NoLayerOrder as err:
        names, reason = (_all_but(model, head),), str(err)
    return LayerGroups(names, head, module_groups(model, names, head), reason)


def head_of(model: nn.Module) -> tuple[str, ...]:
    """Names of the parameters of an image or text model's head; adapters are no part of it."""
    return text_head_parameters(model) if is_text_model(model) else head_parameters(model)


def head_parameters(model: nn.Module) -> tuple[str, ...]:
    """Names of the parameters of the model's classifier, or classifiers, alone."""
    classifier: Any = model.get_classifier()  # type: ignore[operator]
    parts = classifier if isinstance(classifier, (tuple, list)) else (classifier,)
    own = {id(parameter) for part in parts for parameter in part.parameters()}
    return tuple(name for name, parameter in model.named_parameters() if id(parameter) in own)


def _matched(model: nn.Module, head: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """timm's coarse groups without the head; what no pattern matches is one last group."""
    if not head:
        raise NoLayerOrder("it has no classifier of its own")
    matcher = getattr(model, "group_matcher", None)
    if matcher is None:
        raise NoLayerOrder(f"timm's {type(model).__name__} has no group matcher")
    try:
        grouped: Mapping[int, Sequence[str]] = group_parameters(model, matcher(coarse=True))
    except (AssertionError, NotImplementedError, TypeError, ValueError, AttributeError) as err:
        raise NoLayerOrder(f"its group matcher raised {type(err).__name__}: {err}") from err
    bare = (tuple(n for n in grouped[key] if n not in head) for key in sorted(grouped))
    return tuple(group for group in bare if group)


def _all_but(model: nn.Module, head: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name, _ in model.named_parameters() if name not in head)


def image_shape_of(model: nn.Module) -> tuple[int, int, int]:
    """Channels, height and width of the images that a timm model takes."""
    config: Mapping[str, Any] = getattr(model, "pretrained_cfg", {})
    channels, height, width = config.get("input_size", (3, 224, 224))
    asked = getattr(model, "_model_args", {}).get("img_size")
    if asked is not None:
        height, width = (asked, asked) if isinstance(asked, int) else asked
    return int(channels), int(height), int(width)


def module_groups(
    model: nn.Module, names: tuple[tuple[str, ...], ...], head: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    """Group of each module that is no part of the head.

    A module with parameters goes with the last of them. One without (dropout, stochastic depth)
    goes with the block that contains it; between blocks, with the one before it, unless the head
    comes next: then it is the head's.
    """
    group_of = {name: number for number, group in enumerate((*names, head)) for name in group}
    spans = _spans(model, group_of)
    owners = [_span_of_own(name, part, group_of) for name, part in model.named_modules()]
    found: dict[str, int] = {}
    for position, name in enumerate(spans):
        span = spans[name] or _enclosing(name, spans)
        if span and (spans[name] or min(span) == max(span)):
            found[name] = max(span)
        else:
            found[name] = _between(owners, position, head_group=len(names))
    return tuple((name, group) for name, group in found.items() if group < len(names) and name)


def _spans(model: nn.Module, group_of: Mapping[str, int]) -> dict[str, set[int]]:
    """Groups of all parameters inside each module, in order of registration."""
    spans: dict[str, set[int]] = {name: set() for name, _ in model.named_modules()}
    for parameter, group in group_of.items():
        name = parameter
        while name:
            name = name.rpartition(".")[0]
            spans[name].add(group)
    return spans


def _span_of_own(name: str, module: nn.Module, group_of: Mapping[str, int]) -> set[int]:
    """Groups of the parameters a module owns itself; the root's own say nothing about position."""
    if not name:
        return set()
    own = (f"{name}.{key}" for key, _ in module.named_parameters(recurse=False))
    return {group_of[key] for key in own if key in group_of}


def _enclosing(name: str, spans: Mapping[str, set[int]]) -> set[int]:
    """Groups inside the nearest module around one that has any parameters."""
    while name:
        name = name.rpartition(".")[0]
        if spans[name]:
            return spans[name]
    return set()


def _between(owners: Sequence[set[int]], position: int, *, head_group: int) -> int:
    before = next((max(each) for each in reversed(owners[:position]) if each), 0)
    after = next((min(each) for each in owners[position:] if each), head_group)
    return head_group if after == head_group else before
