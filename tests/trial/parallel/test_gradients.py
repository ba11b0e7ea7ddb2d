"""Which parameters get a gradient where ranks add theirs up: a group of one stands for two."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from runner.errors import TrialFailed
from runner.trial.parallel.group import join_group, leave_group
from runner.trial.parallel.ranks import GradientSum, Ranks


@pytest.fixture
def gradients(tmp_path: Path) -> Iterator[GradientSum]:
    join_group(tmp_path / "meeting", rank=0, size=1, device="cpu")
    yield GradientSum(Ranks(0, 2))
    leave_group()


def parameters() -> tuple[nn.Parameter, nn.Parameter, nn.Parameter]:
    used, unused, frozen = (nn.Parameter(torch.ones(3)) for _ in range(3))
    frozen.requires_grad_(False)
    used.grad = torch.full((3,), 2.0)
    return used, unused, frozen


def test_parameter_that_no_rank_uses_stays_without_a_gradient(gradients: GradientSum) -> None:
    used, unused, frozen = parameters()
    loss = torch.tensor(5.0)
    for _ in range(2):
        gradients.add([used, unused, frozen], loss)
        assert torch.equal(used.grad, torch.full((3,), 2.0))
        assert unused.grad is frozen.grad is None
        assert float(loss) == 5.0


def test_rank_without_an_example_adds_zeros(gradients: GradientSum) -> None:
    used, unused, frozen = parameters()
    gradients.add([used, unused, frozen], torch.tensor(5.0))
    used.grad = None
    gradients.add([used, unused, frozen], torch.tensor(0.0))
    assert torch.equal(used.grad, torch.zeros(3))
    assert unused.grad is None


def test_parameter_that_is_used_later_fails_the_trial_unless_layers_thawed(
    gradients: GradientSum,
) -> None:
    used, later, frozen = parameters()
    gradients.add([used, later, frozen], torch.tensor(5.0))
    frozen.requires_grad_(True)
    frozen.grad = torch.ones(3)
    gradients.add([used, later, frozen], torch.tensor(5.0))
    later.grad = torch.ones(3)
    with pytest.raises(TrialFailed, match="same weights in every step"):
        gradients.add([used, later, frozen], torch.tensor(5.0))
