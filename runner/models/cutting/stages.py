"""timm's models as chains of stages, family by family, in the order of their forward passes.

A chain is only used where following both passes shows it to be the model's own (`images.py`), so
a new version of timm that computes otherwise costs the cuts, not the results.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from timm.models.byobnet import ByobNet
from timm.models.convnext import ConvNeXt
from timm.models.deit import VisionTransformerDistilled
from timm.models.efficientnet import EfficientNet
from timm.models.mobilenetv3 import MobileNetV3
from timm.models.regnet import RegNet
from timm.models.resnet import ResNet
from timm.models.resnetv2 import ResNetV2
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

_FORWARDS = ("forward", "forward_features", "forward_head")


@dataclass(frozen=True)
class Stage:
    """One step of a forward pass.

    Attributes:
        run: Computes it with a model of the family.
        is_narrowing: Whether it only leaves out what no later stage reads; the model's own
            forward pass has no such step.
    """

    run: Callable[[nn.Module, Tensor], Tensor]
    is_narrowing: bool = False


def stages_of(model: nn.Module) -> tuple[Stage, ...] | None:
    """The stages of a model, the last one from the classifier's input (before its dropout) on.

    Returns:
        None for a model of no known family, or one that changes its family's forward pass.
    """
    for family, stages in _FAMILIES.items():
        own, known = cast(Any, type(model)), cast(Any, family)
        if all(getattr(own, each, None) is getattr(known, each) for each in _FORWARDS):
            return tuple(stages(model))
    return None


def _modules(*names: str) -> Stage:
    """Modules of the model, one after another."""

    def run(model: nn.Module, x: Tensor) -> Tensor:
        for name in names:
            x = model.get_submodule(name)(x)
        return x

    return Stage(run)


def _each(model: nn.Module, name: str) -> Iterator[Stage]:
    """Every child of one of the model's modules."""
    for child, _ in model.get_submodule(name).named_children():
        yield _modules(f"{name}.{child}")


def _dropout_and(classifier: str) -> Stage:
    """The classifier, and the dropout that is the model's own."""

    def run(model: nn.Module, x: Tensor) -> Tensor:
        rate = float(cast(Any, model).drop_rate)
        if rate > 0:
            x = functional.dropout(x, rate, training=model.training)
        result: Tensor = model.get_submodule(classifier)(x)
        return result

    return Stage(run)


def _head(model: nn.Module) -> Iterator[Stage]:
    """timm's own head modules: pooling, perhaps a norm and a layer, dropout, classifier."""
    names = [f"head.{name}" for name, _ in model.get_submodule("head").named_children()]
    dropout = names.index("head.drop")
    # Pooling makes the features small, so it is a stage of its own.
    yield _modules(*names[: min(1, dropout)])
    yield _modules(*names[1:dropout])
    yield _modules(*names[dropout:])


def _resnet(model: nn.Module) -> Iterator[Stage]:
    yield _modules("conv1", "bn1", "act1", "maxpool")
    yield from (_modules(f"layer{number}") for number in range(1, 5))
    yield _modules("global_pool")
    yield _dropout_and("fc")


def _efficientnet(model: nn.Module) -> Iterator[Stage]:
    yield _modules("conv_stem", "bn1")
    yield from _each(model, "blocks")
    yield _modules("conv_head", "bn2")
    yield _modules("global_pool")
    yield _dropout_and("classifier")


def _mobilenetv3(model: nn.Module) -> Iterator[Stage]:
    yield _modules("conv_stem", "bn1")
    yield from _each(model, "blocks")
    yield _modules("global_pool")
    yield _modules("conv_head", "norm_head", "act2", "flatten")
    yield _dropout_and("classifier")


def _vit_body(model: nn.Module) -> Iterator[Stage]:
    def embed(model: nn.Module, x: Tensor) -> Tensor:
        vit = cast(Any, model)
        result: Tensor = vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(x))))
        return result

    yield Stage(embed)
    yield from _each(model, "blocks")
    yield _modules("norm")


def _vit(model: nn.Module) -> Iterator[Stage]:
    def pool(model: nn.Module, x: Tensor) -> Tensor:
        result: Tensor = cast(Any, model).pool(x)
        return result

    yield from _vit_body(model)
    yield Stage(pool)
    yield _modules("fc_norm")
    yield _modules("head_drop", "head")


def _distilled(model: nn.Module) -> Iterator[Stage]:
    """Two classifiers, one for each of the first two tokens."""

    def heads(model: nn.Module, x: Tensor) -> Tensor:
        result: Tensor = cast(Any, model).forward_head(x)
        return result

    yield from _vit_body(model)
    yield Stage(lambda model, x: x[:, :2], is_narrowing=True)
    yield Stage(heads)


def _convnext(model: nn.Module) -> Iterator[Stage]:
    yield _modules("stem")
    yield from _each(model, "stages")
    yield _modules("norm_pre")
    yield from _head(model)


def _swin(model: nn.Module) -> Iterator[Stage]:
    yield _modules("patch_embed")
    yield from _each(model, "layers")
    yield _modules("norm")
    yield from _head(model)


def _regnet(model: nn.Module) -> Iterator[Stage]:
    yield _modules("stem")
    yield from (_modules(f"s{number}") for number in range(1, 5))
    yield _modules("final_conv")
    yield from _head(model)


def _byobnet(model: nn.Module) -> Iterator[Stage]:
    yield _modules("stem")
    yield from _each(model, "stages")
    yield _modules("final_conv")
    yield from _head(model)


def _resnetv2(model: nn.Module) -> Iterator[Stage]:
    yield _modules("stem")
    yield from _each(model, "stages")
    yield _modules("norm")
    yield from _head(model)


_FAMILIES: Mapping[type[nn.Module], Callable[[nn.Module], Iterator[Stage]]] = {
    ResNet: _resnet,
    EfficientNet: _efficientnet,
    MobileNetV3: _mobilenetv3,
    VisionTransformer: _vit,
    VisionTransformerDistilled: _distilled,
    ConvNeXt: _convnext,
    SwinTransformer: _swin,
    SwinTransformerV2: _swin,
    RegNet: _regnet,
    ByobNet: _byobnet,
    ResNetV2: _resnetv2,
}
