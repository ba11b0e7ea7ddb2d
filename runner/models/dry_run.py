"""Forward passes without values: what a model does, in milliseconds and without memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

# What models raise whose forward pass needs values, or other inputs than it was given.
CANNOT_RUN = (
    RuntimeError,
    ValueError,
    TypeError,
    NotImplementedError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
)


def stand_ins(model: nn.Module) -> dict[str, Tensor]:
    """A stand-in without values for every parameter and buffer, one a place, shared where tied.

    functional_call's own tying is not used: it visits a module that is used twice under both of
    its names and leaves the stand-ins behind in it.
    """
    shared: dict[int, Tensor] = {}
    found: dict[str, Tensor] = {}
    for prefix, module in model.named_modules():
        own = chain(module.named_parameters(prefix, False), module.named_buffers(prefix, False))
        for name, tensor in own:
            if id(tensor) not in shared:
                shared[id(tensor)] = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
            found[name] = shared[id(tensor)]
    return found


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients for a while; every module gets its own mode back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, was_training in modes.items():
            module.training = was_training
