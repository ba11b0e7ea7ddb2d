"""What a head starts from without its model: the very bits that a build gives it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from runner.experiment import LabelKind
from runner.models import TextFiles, Weights, build_model, build_text_model, load_text_weights
from runner.models.heads import head_start


def _image_model(name: str, weights: Weights | None, **changes: Any) -> nn.Module:
    settings: dict[str, Any] = {"arguments": {}, "dropout": 0.0, "drop_path": 0.0, "seed": 3}
    return build_model(name, **{"num_classes": 2, "weights": weights, **settings, **changes})


def _scratch(name: str) -> Weights:
    return Weights(_image_model(name, None, num_classes=5).state_dict(), "", "")


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "resnet10t", "test_vit", "convnext_atto", "mobilenetv2_035"]
)
def test_head_start_equals_a_build_with_any_seed(name: str) -> None:
    weights = _scratch(name)
    start = head_start(_image_model(name, weights), weights=weights, seed=3)
    assert start is not None
    for seed in (3, 4):
        built = dict(_image_model(name, weights, seed=seed).named_parameters())
        values = start.values(seed=seed)
        assert all(torch.equal(built[name], values[name]) for name in values)
    assert not torch.equal(start.values(seed=3)[start.weight], start.values(seed=4)[start.weight])


def test_head_start_of_a_head_that_the_file_has_is_the_files() -> None:
    weights = _scratch("resnet10t")
    model = _image_model("resnet10t", weights, num_classes=5)
    start = head_start(model, weights=weights, seed=3)
    assert start is not None
    values = start.values(seed=9)
    assert torch.equal(values["fc.weight"], weights.state["fc.weight"])
    assert torch.equal(values["fc.bias"], weights.state["fc.bias"])
    values["fc.weight"].zero_()
    assert torch.equal(start.values(seed=9)["fc.weight"], weights.state["fc.weight"])


def test_head_start_needs_pretrained_weights_and_one_linear_layer() -> None:
    assert head_start(_image_model("resnet10t", None), weights=None, seed=3) is None
    weights = _scratch("vgg11_bn")
    head = _image_model("vgg11_bn", weights)
    assert head_start(head, weights=weights, seed=3) is not None
    head.get_submodule("head").fc = nn.Linear(head.get_submodule("head").fc.in_features, 2, False)
    assert head_start(head, weights=weights, seed=3) is None


@pytest.mark.parametrize(("family", "is_linear"), [("bert", True), ("roberta", False)])
def test_head_start_of_a_text_model(
    tiny_files: Callable[[str], TextFiles], family: str, is_linear: bool
) -> None:
    files = tiny_files(family)
    weights = load_text_weights(files)

    def build(seed: int) -> nn.Module:
        return build_text_model(
            files,
            kind=LabelKind.CLASS,
            outputs=3,
            weights=weights,
            arguments={},
            dropout=0.0,
            seed=seed,
        )

    start = head_start(build(3), weights=weights, seed=3)
    assert (start is not None) == is_linear
    if start is not None:
        built = dict(build(4).named_parameters())
        assert all(torch.equal(built[name], v) for name, v in start.values(seed=4).items())
