"""Layer groups: what is in them, and what is said where there is no order."""

import pytest
import timm
import torch
from torch import nn

from runner.models import LayerGroups, expected_model, layer_groups
from runner.models.groups import head_parameters


def _groups(name: str) -> LayerGroups:
    return layer_groups(expected_model(name, num_classes=3, arguments={}))


def test_layer_groups_of_a_resnet_are_the_stem_and_four_stages() -> None:
    groups = _groups("resnet18")
    assert groups.unordered is None
    assert groups.names[0] == ("conv1.weight", "bn1.weight", "bn1.bias")
    assert [names[0].split(".")[0] for names in groups.names] == [
        "conv1",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
    ]
    assert groups.head == ("fc.weight", "fc.bias")


@pytest.mark.parametrize(
    ("name", "count", "neck"),
    [
        ("mobilenetv3_small_100", 8, ("conv_head.weight", "conv_head.bias")),
        ("convnext_atto", 6, ("head.norm.weight", "head.norm.bias")),
    ],
)
def test_layer_groups_what_no_pattern_matches_is_one_last_group(
    name: str, count: int, neck: tuple[str, ...]
) -> None:
    groups = _groups(name)
    assert groups.count == count
    assert groups.names[-1] == neck
    assert len(groups.head) == 2


def test_layer_groups_on_the_meta_device_are_those_of_the_real_model() -> None:
    real = timm.create_model("test_vit", num_classes=3)
    assert layer_groups(real) == _groups("test_vit")


def test_layer_groups_leave_the_model_as_it_was() -> None:
    model = timm.create_model("test_resnet", num_classes=3).train()
    model.get_submodule("bn1").eval()
    before = [(name, module.training) for name, module in model.named_modules()]
    variance = model.get_buffer("bn1.running_var").clone()
    layer_groups(model)
    assert [(name, module.training) for name, module in model.named_modules()] == before
    assert torch.equal(model.get_buffer("bn1.running_var"), variance)


def test_group_index_by_parameter_counts_the_head_last() -> None:
    groups = _groups("resnet18")
    index = groups.group_index_by_parameter()
    assert index["conv1.weight"] == 0
    assert index["layer4.1.bn2.bias"] == 4
    assert index["fc.bias"] == groups.count == 5
    assert len(index) == 62


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("caformer_s18", "timm's MetaFormer has no group matcher"),
        (
            "rdnet_tiny",
            "its group matcher raised AssertionError: coarse grouping is not implemented "
            "for RDNet",
        ),
        (
            "cait_xxs24_224",
            "cls_token (group 0) is applied after blocks.23.gamma_1 (group 24)",
        ),
    ],
)
def test_layer_groups_without_an_order_are_one_group_with_the_reason(
    name: str, reason: str
) -> None:
    groups = _groups(name)
    assert groups.unordered == reason
    assert groups.count == 1
    assert groups.depth("max") == 1
    assert groups.depth_problem("max") is None
    assert groups.depth_problem(0) is None
    assert groups.depth_problem(1) == (
        f"the model's layers have no order ({reason}); allowed: 0 or max"
    )


def test_depth_problem_names_the_number_of_groups() -> None:
    groups = _groups("resnet18")
    assert [groups.depth_problem(depth) for depth in (0, 3, 5, "max")] == [None] * 4
    assert groups.depth_problem(6) == "the model has 5 layer groups; allowed: 0 to 5, or max"
    assert groups.depth_problem(-1) == "the model has 5 layer groups; allowed: 0 to 5, or max"
    with pytest.raises(ValueError, match="freeze depth 6: allowed are 0 to 5, or max"):
        groups.depth(6)


def test_head_parameters_of_two_classifiers_are_both() -> None:
    model = expected_model("deit_tiny_distilled_patch16_224", num_classes=3, arguments={})
    assert head_parameters(model) == (
        "head.weight",
        "head.bias",
        "head_dist.weight",
        "head_dist.bias",
    )


def _group_of(groups: LayerGroups, module: str) -> int | None:
    return dict(groups.group_of_module).get(module)


@pytest.mark.parametrize(
    ("name", "module", "group"),
    [
        ("resnet18", "bn1", 0),
        ("resnet18", "layer2", 2),
        ("resnet18", "layer2.0.bn1", 2),
        ("resnet18", "act1", 0),
        ("vit_tiny_patch16_224", "pos_drop", 0),
        ("vit_tiny_patch16_224", "blocks.4.attn", 5),
        ("vit_tiny_patch16_224", "blocks.4.drop_path1", 5),
        ("vit_tiny_patch16_224", "blocks.4.attn.attn_drop", 5),
        ("vit_tiny_patch16_224", "blocks", 12),
        ("vgg11_bn", "pre_logits.drop", 16),
        ("vgg11_bn", "features", 15),
    ],
)
def test_modules_lie_in_the_group_they_work_for(name: str, module: str, group: int) -> None:
    assert _group_of(_groups(name), module) == group


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("vit_tiny_patch16_224", "head_drop"),
        ("convnext_atto", "head.drop"),
        ("vgg11_bn", "head.drop"),
        ("resnet18", "fc"),
        ("resnet18", ""),
    ],
)
def test_modules_of_the_head_are_never_frozen(name: str, module: str) -> None:
    assert _group_of(_groups(name), module) is None


def test_every_batch_norm_dropout_and_drop_path_outside_the_head_has_a_group() -> None:
    for name in ("resnet18", "tf_efficientnet_lite0", "mobilenetv2_100", "vit_tiny_patch16_224"):
        model = expected_model(name, num_classes=3, arguments={})
        groups = layer_groups(model)
        assigned = dict(groups.group_of_module)
        stochastic = [
            key
            for key, module in model.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.Dropout)
        ]
        assert [key for key in stochastic if key not in assigned and "head" not in key] == []
