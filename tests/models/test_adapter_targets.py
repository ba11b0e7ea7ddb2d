"""Which models can carry adapters, and what is said of those that cannot."""

from collections.abc import Callable

import pytest
from torch import nn

from runner.errors import TrialFailed
from runner.models import (
    ModelProblem,
    adapter_problems,
    expected_model,
)
from tests.tiny_adapted import IMAGE_MODELS, adapted
from tests.tiny_text_models import FAMILIES

_Build = Callable[..., nn.Module]
_MODELS = (*FAMILIES, *IMAGE_MODELS)


@pytest.mark.parametrize(
    ("name", "asked", "problems"),
    [
        ("test_vit", ["attention", "linear"], []),
        (
            "resnet18",
            ["attention", "linear"],
            [
                ("attention", "resnet18 has no linear layers but its head; set train.adapter to"),
                (
                    "linear",
                    "resnet18 has no linear layers but its head; set train.adapter to none",
                ),
            ],
        ),
        (
            "caformer_s18",
            ["attention", "linear"],
            [
                (
                    "attention",
                    "caformer_s18 has no attention; set train.lora_targets to linear, or adapter",
                )
            ],
        ),
        (
            "swinv2_tiny_window8_256",
            ["attention"],
            [
                (
                    "attention",
                    "swinv2_tiny_window8_256 computes with the weights of "
                    "layers.0.blocks.0.attn.qkv itself, without calling the layer: adapters there "
                    "(12 layers) would do nothing; set train.adapter to none",
                )
            ],
        ),
    ],
)
def test_adapter_problems_say_which_models_can_carry_them(
    name: str, asked: list[str], problems: list[tuple[str, str]]
) -> None:
    model = expected_model(name, num_classes=3, arguments={})
    found = adapter_problems(model, asked, name=name)
    assert [(problem.key, problem.seen) for problem in found] == [
        ("train.lora_targets", targets) for targets, _ in problems
    ]
    for problem, (_, rule) in zip(found, problems, strict=True):
        assert problem.rule.startswith(rule)
        assert isinstance(problem, ModelProblem)


def test_apply_lora_to_a_model_without_such_layers_is_refused() -> None:
    model = expected_model("test_resnet", num_classes=3, arguments={})
    with pytest.raises(TrialFailed, match="^lora_targets = attention: ResNet has no linear layer"):
        adapted(model)
