"""The network as timm builds it, its layer groups, and how much of a forward pass each one is."""

from collections.abc import Iterator

import timm
import torch
from timm.models import group_parameters, load_checkpoint
from torch import Tensor, nn

from benchmarks.peers.request import Photos


def build(photos: Photos) -> nn.Module:
    """The pretrained network with a fresh head, as in PyTorch's transfer-learning tutorial."""
    model = timm.create_model(photos.network, **photos.arguments)
    name = model.pretrained_cfg["classifier"]
    setattr(model, name, nn.Linear(model.head_hidden_size, photos.classes))
    load_checkpoint(model, photos.checkpoint, strict=False)
    return model


def layer_groups(model: nn.Module) -> list[list[str]]:
    """Parameter names by layer group, in order from the input, without the classifier's."""
    head = model.pretrained_cfg["classifier"]
    grouped = group_parameters(model, model.group_matcher(coarse=True))
    names = ([n for n in grouped[key] if not n.startswith(f"{head}.")] for key in sorted(grouped))
    return [group for group in names if group]


def freeze(model: nn.Module, depth: int) -> None:
    """The first groups do not train."""
    frozen = {name for group in layer_groups(model)[:depth] for name in group}
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name not in frozen


def frozen_to_eval(model: nn.Module) -> None:
    """Modules of which nothing trains, into evaluation mode; to be called after model.train()."""
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def frozen_shares(photos: Photos) -> list[float]:
    """Share of a forward pass's multiplications inside the first d groups, for each depth d.

    Returns:
        One number in [0, 1] for each freeze depth from 0 to the number of groups.
    Source: own definition; convolutions and linear layers are counted.
    """
    model = build(photos).eval()
    groups = layer_groups(model)
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    work = [0.0] * (len(groups) + 1)
    for name, products in _products(model, torch.zeros(1, 3, photos.size, photos.size)):
        work[group_of.get(f"{name}.weight", len(groups))] += products
    return [sum(work[:depth]) / sum(work) for depth in range(len(groups) + 1)]


def _products(model: nn.Module, image: Tensor) -> Iterator[tuple[str, float]]:
    """Multiplications of each convolution and linear layer, by name."""
    found: list[tuple[str, float]] = []

    def watch(name: str, module: nn.Conv2d | nn.Linear) -> None:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            each = module.weight[0].numel()
            found.append((name, float(output.numel() * each)))

        module.register_forward_hook(hook)

    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            watch(name, module)
    with torch.no_grad():
        model(image)
    return iter(found)
