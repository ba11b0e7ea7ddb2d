"""Following a forward pass: orders that hold, and those that do not."""

import pytest
import torch
from torch import Tensor, nn

from runner.models.order import NoLayerOrder, require_order


class _Two(nn.Module):
    """Two layers with a shift between, applied in either order."""

    def __init__(self, *, is_reversed: bool, size: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.shift = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.second = nn.Conv2d(3, 3, 1)
        self.is_reversed = is_reversed

    def forward(self, image: Tensor) -> Tensor:
        layers = (self.second, self.first) if self.is_reversed else (self.first, self.second)
        return layers[1](layers[0](image) + self.shift * 2)


_GROUPS = {"first.weight": 0, "first.bias": 0, "shift": 1, "second.weight": 1, "second.bias": 1}


def test_require_order_in_order_passes() -> None:
    require_order(_Two(is_reversed=False), _GROUPS, image_shape=(3, 8, 8))


def test_require_order_applied_backwards_names_both() -> None:
    with pytest.raises(NoLayerOrder) as caught:
        require_order(_Two(is_reversed=True), _GROUPS, image_shape=(3, 8, 8))
    reason = str(caught.value)
    assert reason.startswith("first.")
    assert " (group 0) is applied after " in reason
    assert reason.endswith(" (group 1)")


def test_require_order_bare_parameter_used_too_early_is_found() -> None:
    late = {**_GROUPS, "shift": 2}
    with pytest.raises(
        NoLayerOrder, match=r"second.* \(group 1\) is applied after shift \(group 2\)"
    ):
        require_order(_Two(is_reversed=False), late, image_shape=(3, 8, 8))


class _Branches(nn.Module):
    """Two branches from the image that meet: neither sees the other's output."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        late = self.right(image)
        return self.left(image) + late


def test_require_order_branches_are_followed_by_data_not_by_time() -> None:
    model = _Branches()
    groups = {name: int(name.startswith("right")) for name, _ in model.named_parameters()}
    require_order(model, groups, image_shape=(3, 8, 8))


class _Shared(nn.Module):
    """One module used under two names, and one weight tied between two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.again = self.first
        self.second = nn.Conv2d(3, 3, 1)
        self.second.weight = self.first.weight

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.second(self.again(image))
        return result


def test_require_order_of_shared_parts_follows_them_and_leaves_their_values() -> None:
    model = _Shared()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    groups = {"first.weight": 0, "first.bias": 0, "second.bias": 0}
    require_order(model, groups, image_shape=(3, 8, 8))
    with pytest.raises(
        NoLayerOrder, match=r"first\.weight \(group 0\) is applied after first\.bias"
    ):
        require_order(model, {**groups, "first.bias": 1}, image_shape=(3, 8, 8))
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_require_order_of_a_pass_that_fails_is_refused_with_its_reason() -> None:
    with pytest.raises(NoLayerOrder, match="its forward pass cannot be followed: "):
        require_order(_Two(is_reversed=False), _GROUPS, image_shape=(4, 8, 8))
