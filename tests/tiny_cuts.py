"""Models computed both ways, in one pass and cut in two, and what must be the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from runner.models import LayerGroups, freeze, run_prefix, run_suffix

Batch = Mapping[str, Tensor]


def livened(model: nn.Module) -> nn.Module:
    """The same model with no parameter at a special value: a layer left out then shows.

    Fresh models have norms that do nothing and branches that are scaled by zero.
    """
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model


@dataclass(frozen=True)
class Step:
    """One training step's outputs, gradients by name, and buffers by name afterwards."""

    outputs: Tensor
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]


def training_step(
    model: nn.Module, forward: Callable[[], Tensor], *, depth: int, groups: LayerGroups
) -> Step:
    """Forward and backward from the same random numbers, with so many groups frozen.

    The model has its buffers back afterwards, and no gradients.
    """
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train()
    freeze(model, groups, depth=depth)
    torch.manual_seed(11)
    outputs = forward()
    (outputs * torch.linspace(-1, 1, outputs.numel()).view_as(outputs)).sum().backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    after = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(before[name])
    return Step(outputs.detach(), grads, after)


@dataclass(frozen=True)
class Ways:
    """Both ways of computing a model's outputs.

    Attributes:
        model: Any.
        groups: Its layer groups.
        plain: Its outputs for the batch.
        batch: What the prefix gets.
        rest: What the suffix gets besides features.
    """

    model: nn.Module
    groups: LayerGroups
    plain: Callable[[], Tensor]
    batch: Batch
    rest: Batch


def assert_trains_alike(ways: Ways, *, cut: int) -> None:
    """A training step from the features at a cut is that of the whole model, frozen so far."""
    model, groups = ways.model, ways.groups
    expected = training_step(model, ways.plain, depth=cut, groups=groups)
    features = run_prefix(model, ways.batch, [cut])[cut]
    again = training_step(
        model, lambda: run_suffix(model, features, ways.rest, cut=cut), depth=cut, groups=groups
    )
    close = torch.testing.assert_close
    close(again.outputs, expected.outputs, rtol=1e-5, atol=1e-6)
    close(again.gradients, expected.gradients, rtol=1e-4, atol=1e-6)
    close(again.buffers, expected.buffers, rtol=1e-5, atol=1e-6)
    assert not set(again.gradients) & set(groups.frozen_parameters(cut))
    assert set(groups.head) <= set(again.gradients)
