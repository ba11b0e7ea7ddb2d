"""What a classifier starts from, known without building the model around it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from runner.models.groups import head_of
from runner.models.weights import Weights

# Of a fresh head's weights; timm's vision transformers use 0.02, DeiT's and MAE's recipes 0.01 or
# less for fine-tuning.
HEAD_STD = 0.01


def start_small(parameters: Mapping[str, Tensor], *, seed: int) -> None:
    """Give the fresh head of a pretrained model small weights and no bias, in place.

    Some of timm's own initialisations scale with the number of classes: EfficientNet's head for
    two classes starts with logits of about +-10, which a few epochs cannot take back
    (docs/benchmarks.md). They are meant for training from scratch with a thousand classes.

    The values are a function of seed, names' order and shapes alone: `HeadStart` draws them
    without the model.
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters.values():
        if parameter.ndim > 1:
            nn.init.trunc_normal_(parameter, std=HEAD_STD, generator=generator)
        else:
            nn.init.zeros_(parameter)


@dataclass(frozen=True)
class HeadStart:
    """What one linear layer as a head starts from.

    Attributes:
        weight: Name of its weight in the model.
        bias: Name of its bias.
        shape: Outputs and inputs.
        given: Values from the file of weights, the same whatever the seed.
    """

    weight: str
    bias: str
    shape: tuple[int, int]
    given: Mapping[str, Tensor]

    def values(self, *, seed: int) -> dict[str, Tensor]:
        """Weight [C, D] and bias [C] by name, float32, as a model built with this seed has them.

        Args:
            seed: As `build_model` gets it.
        """
        fresh = {self.weight: torch.empty(self.shape), self.bias: torch.empty(self.shape[0])}
        start_small(fresh, seed=seed)
        return {**fresh, **{name: tensor.clone() for name, tensor in self.given.items()}}


def head_start(model: nn.Module, *, weights: Weights | None, seed: int) -> HeadStart | None:
    """What the head of a model starts from, for any seed.

    Args:
        model: As it was built, untrained.
        weights: That it was built with.
        seed: That it was built with.
    Returns:
        None for random weights, and for a head that is not one linear layer with a bias.
    """
    names = head_of(model)
    layer = model.get_submodule(names[0].rpartition(".")[0]) if len(names) == 2 else None
    # Not a subclass: those compute something else, such as cosines.
    if weights is None or type(layer) is not nn.Linear or layer.bias is None:
        return None
    shape = layer.out_features, layer.in_features
    fresh = HeadStart(names[0], names[1], shape, given={})
    drawn = fresh.values(seed=seed)
    own = {name: model.get_parameter(name).detach().cpu() for name in names}
    # What the seed does not explain came from the file.
    given = {n: own[n].clone() for n in names if not torch.equal(own[n], drawn[n])}
    return replace(fresh, given=given)
