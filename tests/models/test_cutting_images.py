"""Cuts of timm's models: suffix(prefix(x)) is the model, wherever one is claimed."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import pytest
import timm
import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional

from runner.models import (
    LayerGroups,
    cut_points,
    expected_model,
    layer_groups,
    run_prefix,
    run_suffix,
)
from tests.tiny_cuts import Ways, assert_trains_alike, livened

_TINY_VIT = {"img_size": 32, "depth": 2, "embed_dim": 32, "num_heads": 2}
_TINY_SWIN = {"img_size": 56, "embed_dim": 24, "depths": (1, 1, 1, 1)}
_DROPS = {"drop_rate": 0.3, "drop_path_rate": 0.2}
# Side in pixels, constructor arguments.
_ALL_BOUNDARIES: dict[str, tuple[int, dict[str, Any]]] = {
    "test_resnet": (64, _DROPS),
    "resnet10t": (64, _DROPS),
    "test_efficientnet": (64, _DROPS),
    "tf_efficientnet_lite0": (64, _DROPS),
    "mobilenetv2_035": (64, _DROPS),
    "mobilenetv3_small_050": (64, _DROPS),
    "vit_tiny_patch16_224": (
        32,
        {**_TINY_VIT, **_DROPS, "pos_drop_rate": 0.1, "patch_drop_rate": 0.25},
    ),
    "vit_base_patch16_siglip_224": (32, {**_TINY_VIT, **_DROPS}),
    "vit_base_patch32_clip_224": (32, {**_TINY_VIT, **_DROPS}),
    "deit_tiny_patch16_224": (32, {**_TINY_VIT, **_DROPS}),
    "deit_tiny_distilled_patch16_224": (32, {**_TINY_VIT, **_DROPS}),
    "test_convnext": (64, _DROPS),
    "test_convnext2": (64, _DROPS),
    "swin_tiny_patch4_window7_224": (56, {**_TINY_SWIN, **_DROPS}),
    "regnetx_002": (64, _DROPS),
    "test_byobnet": (64, _DROPS),
    "resnetv2_18": (64, _DROPS),
}
_HEAD_ALONE: dict[str, tuple[int, dict[str, Any]]] = {
    "test_nfnet": (64, _DROPS),
    "ghostnet_050": (64, {"drop_rate": 0.3}),
    "densenet121": (64, {"drop_rate": 0.0, "growth_rate": 8, "block_config": (1, 1, 1, 1)}),
    "vit_relpos_small_patch16_224": (32, {**_TINY_VIT, **_DROPS}),
}
_CUT = {**_ALL_BOUNDARIES, **_HEAD_ALONE}
# Of kinds that quicker ones have too.
_SLOW = (
    "tf_efficientnet_lite0",
    "resnet10t",
    "mobilenetv2_035",
    "regnetx_002",
    "resnetv2_18",
    "densenet121",
)


def _marked(names: Iterable[str]) -> list[Any]:
    return [pytest.param(n, marks=pytest.mark.slow) if n in _SLOW else n for n in names]


@lru_cache(maxsize=len(_CUT))
def _built(name: str) -> tuple[nn.Module, LayerGroups]:
    """A model that tests may train if they give it its tensors back."""
    model = _model(name)
    return model, layer_groups(model)


def _model(name: str) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, num_classes=3, **_CUT[name][1])
    return livened(model)


def _images(name: str) -> Tensor:
    side = _CUT[name][0]
    return torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", _marked(_ALL_BOUNDARIES))
def test_common_families_are_cut_at_every_boundary(name: str) -> None:
    model, groups = _built(name)
    assert groups.count > 2
    assert cut_points(model, groups) == tuple(range(1, groups.count + 1))


@pytest.mark.parametrize("name", _marked(_HEAD_ALONE))
def test_other_models_are_cut_at_the_head(name: str) -> None:
    model, groups = _built(name)
    assert cut_points(model, groups) == (groups.count,)


@pytest.mark.parametrize("name", _marked(_CUT))
def test_suffix_of_the_prefix_is_the_model_at_every_cut(name: str) -> None:
    (model, groups), images = _built(name), _images(name)
    model.eval()
    with torch.no_grad():
        expected = model(images)
    assert expected.std(dim=0).min() > 1e-5  # the images matter
    cuts = cut_points(model, groups)
    for cut, features in run_prefix(model, {"pixels": images}, cuts).items():
        with torch.no_grad():
            outputs = run_suffix(model, features, {}, cut=cut)
        torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", _marked(_CUT))
def test_suffix_trains_as_the_model_does_with_a_frozen_prefix(name: str) -> None:
    (model, groups), images = _built(name), _images(name)
    ways = Ways(model, groups, lambda: model(images), {"pixels": images}, {})
    cuts = cut_points(model, groups)
    for cut in sorted({cuts[0], cuts[len(cuts) // 2], cuts[-1]}):
        assert_trains_alike(ways, cut=cut)


@pytest.mark.parametrize("name", ["test_resnet", "vit_tiny_patch16_224", "test_nfnet"])
def test_head_dropout_acts_on_features(name: str) -> None:
    model, groups = _built(name)
    features = run_prefix(model, {"pixels": _images(name)}, [groups.count])[groups.count]
    assert features.ndim == 2
    model.train()
    with torch.no_grad():
        first, second = (run_suffix(model, features, {}, cut=groups.count) for _ in range(2))
        assert not torch.equal(first, second)
        model.eval()
        first, second = (run_suffix(model, features, {}, cut=groups.count) for _ in range(2))
        assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "test_convnext"])
def test_features_before_a_neck_are_pooled(name: str) -> None:
    model, groups = _built(name)
    neck = groups.count - 1
    features = run_prefix(model, {"pixels": _images(name)}, [neck])[neck]
    assert features.shape[2:] == (1, 1)


@pytest.mark.parametrize("name", ["test_resnet", "vit_tiny_patch16_224", "test_nfnet"])
def test_cut_points_on_the_meta_device_are_those_of_the_real_model(name: str) -> None:
    model = expected_model(name, num_classes=3, arguments=_CUT[name][1])
    assert cut_points(model, layer_groups(model)) == cut_points(*_built(name))


def test_a_model_with_several_classifiers_is_not_cut() -> None:
    model = expected_model("efficientformer_l1", num_classes=3, arguments={})
    assert cut_points(model, layer_groups(model)) == ()
    with pytest.raises(ValueError, match="cut 1: the model has no such cut; those it has: none"):
        run_suffix(model, torch.zeros(1), {}, cut=1)


class _OtherResNet(ResNet):
    """A ResNet whose forward pass is its own."""

    def forward_features(self, x: Tensor) -> Tensor:
        features: Tensor = super().forward_features(x)
        return features * 2


def test_a_family_member_with_a_forward_pass_of_its_own_is_cut_at_the_head() -> None:
    model, images = _model("test_resnet").eval(), _images("test_resnet")
    plain = model(images)
    model.__class__ = _OtherResNet
    assert cut_points(model, layer_groups(model)) == (5,)
    features = run_prefix(model, {"pixels": images}, [5])[5]
    outputs = run_suffix(model, features, {}, cut=5)
    torch.testing.assert_close(outputs, model(images))
    assert not torch.allclose(outputs, plain)


def test_a_family_whose_library_computes_otherwise_is_cut_at_the_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = ResNet.forward_features
    monkeypatch.setattr(ResNet, "forward_features", lambda self, x: known(self, x) * 2)
    model = _model("test_resnet")
    model.version = "another structure than any model seen before"
    assert cut_points(model, layer_groups(model)) == (5,)


class _Restless(nn.Module):
    """Drops pixels at random before its only layers, whatever is frozen."""

    def __init__(self, *, is_after_head: bool = False) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(12, 4), nn.Linear(4, 3)
        self.pretrained_cfg = {"input_size": (3, 2, 2)}
        self.is_after_head = is_after_head

    def get_classifier(self) -> nn.Module:
        return self.fc

    def forward(self, x: Tensor) -> Tensor:
        if self.is_after_head:
            scores: Tensor = self.fc(self.body(x.flatten(1)))
            return scores.softmax(dim=1)
        x = functional.dropout(x.flatten(1), 0.5, self.training)
        scores = self.fc(self.body(x))
        return scores


@pytest.mark.parametrize("is_after_head", [False, True])
def test_a_model_that_does_more_than_its_classifier_after_the_cut_is_not_cut(
    is_after_head: bool,
) -> None:
    model = _Restless(is_after_head=is_after_head)
    assert cut_points(model, layer_groups(model)) == ()
