"""Whether layer groups really lie in order from the input, found by following one forward pass."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from runner.experiment import first_line
from runner.models.dry_run import CANNOT_RUN, evaluating, stand_ins


class NoLayerOrder(Exception):
    """A model's parameters cannot be put in an order from the input; carries the reason."""


@dataclass(frozen=True)
class _Origin:
    """What a tensor was computed from.

    Attributes:
        first: Smallest group among the parameters it comes from, and `name` one of them.
        last: Largest group among them; -1 for the image itself.
        is_activation: Whether it depends on the image.
    """

    first: float
    last: int
    is_activation: bool
    name: str


_IMAGE = _Origin(math.inf, -1, True, "the image")


class _Flow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows every tensor of a forward pass back to the groups it comes from.

    A group that is applied to what a later group computed is out of order: freezing it would not
    make a frozen prefix.
    """

    def __init__(self, origins: Mapping[int, _Origin]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._origins = dict(origins)
        self._alive: list[Tensor] = []  # an id is only good while its tensor lives

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        found = [self._origins.get(id(leaf)) for leaf in tree_leaves((args, kwargs))]
        inputs = [origin for origin in found if origin is not None]
        if inputs:
            origin = _combined(inputs)
            for leaf in tree_leaves(result):
                if isinstance(leaf, Tensor):
                    self._origins[id(leaf)] = origin
                    self._alive.append(leaf)
        return result


def _combined(inputs: Sequence[_Origin]) -> _Origin:
    activations = [origin for origin in inputs if origin.is_activation]
    earliest = min(inputs, key=lambda origin: origin.first)
    latest = max(inputs, key=lambda origin: origin.last)
    if activations:
        source = max(activations, key=lambda origin: origin.last)
        for origin in inputs:
            if not origin.is_activation and origin.first < source.last:
                raise NoLayerOrder(
                    f"{origin.name} (group {origin.first}) is applied after "
                    f"{source.name} (group {source.last})"
                )
    return _Origin(earliest.first, latest.last, bool(activations), latest.name)


def require_order(
    model: nn.Module, group_of: Mapping[str, int], *, image_shape: tuple[int, int, int]
) -> None:
    """Passes if no group is applied to what a later one computed; costs one pass without values.

    Args:
        model: On any device; its parameters are not touched.
        group_of: Group of each parameter, counted from the input.
        image_shape: Channels, height and width of an input, [3, S, S].
    Raises:
        NoLayerOrder: If one is, or the pass cannot be followed.
    """
    tensors = stand_ins(model)
    origins = {
        id(tensors[name]): _Origin(group, group, False, name) for name, group in group_of.items()
    }
    image = torch.empty(2, *image_shape, device="meta")
    try:
        with evaluating(model), _Flow({**origins, id(image): _IMAGE}):
            functional_call(model, tensors, (image,), tie_weights=False)
    except CANNOT_RUN as err:
        raise NoLayerOrder(f"its forward pass cannot be followed: {first_line(err)}") from err
