"""Tiny image and text models with adapters, and a little training for them."""

from typing import Any

import torch
from torch import Tensor, nn

from runner.models import LayerGroups, Weights, apply_lora, build_model, layer_groups, text_logits

IMAGE_MODELS: dict[str, dict[str, Any]] = {
    "test_vit": {"img_size": 32},
    "deit_tiny_distilled_patch16_224": {"img_size": 32, "depth": 2},
    "swin_tiny_patch4_window7_224": {"img_size": 56, "embed_dim": 24, "depths": (1, 1, 1, 1)},
}
"""Vision transformers that carry adapters, and the arguments that make them tiny."""


def pretrained_image_model(name: str, *, seed: int = 0) -> nn.Module:
    """A tiny image model of three classes; whatever the seed, its weights are the same."""
    return image_model(name, weights=Weights(image_model(name).state_dict(), "", ""), seed=seed)


def image_model(name: str, *, weights: Weights | None = None, seed: int = 0) -> nn.Module:
    """An image model of three classes."""
    return build_model(
        name,
        num_classes=3,
        weights=weights,
        arguments=IMAGE_MODELS.get(name, {}),
        dropout=0.1,
        drop_path=0.0,
        seed=seed,
    )


def adapted(model: nn.Module, *, depth: int = 0, **changes: Any) -> tuple[nn.Module, LayerGroups]:
    """The model with adapters, and its layer groups then."""
    settings = {"rank": 4, "alpha": 8.0, "dropout": 0.1, "targets": "attention", "seed": 5}
    return apply_lora(model, layer_groups(model), depth=depth, **{**settings, **changes})


def outputs(model: nn.Module) -> Tensor:
    """What it says of four examples, always the same ones, shape [4, 3]."""
    generator = torch.Generator().manual_seed(1)
    if hasattr(model, "base_model_prefix"):
        tokens = torch.randint(5, 150, (4, 6), generator=generator)
        return text_logits(model, {"input_ids": tokens})
    side = 56 if "Swin" in type(model).__name__ else 32
    scores: Tensor = model(torch.randn(4, 3, side, side, generator=generator))
    return scores


def train(model: nn.Module, *, steps: int = 2) -> None:
    """A few steps of what may train."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(outputs(model), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
