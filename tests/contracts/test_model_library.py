"""What every model of the library keeps to, run over one of each family that is promised."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from runner.models import (
    LayerGroups,
    build_model,
    expected_model,
    freeze,
    has_regulariser,
    keep_frozen_in_eval,
    layer_groups,
)

_CLASSES = 3


@dataclass(frozen=True)
class _Case:
    """One model, small enough to train a few steps in a test.

    Attributes:
        name: timm's name.
        groups: Layer groups it has without the head, counted by hand from its architecture.
        side: Side of its images in pixels.
        arguments: Constructor arguments that make it small.
    """

    name: str
    groups: int
    side: int = 32
    arguments: dict[str, Any] = field(default_factory=dict)


_CASES = [
    _Case("resnet18", 5),
    _Case("tf_efficientnet_lite0", 8),
    _Case("mobilenetv3_small_100", 8),
    _Case("mobilenetv2_100", 8),
    _Case("vit_tiny_patch16_224", 13, arguments={"img_size": 32, "attn_drop_rate": 0.2}),
    _Case("convnext_atto", 6),
    _Case("vgg11_bn", 17, arguments={"mlp_ratio": 0.01}),
]


@pytest.fixture(params=_CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> _Case:
    found: _Case = request.param
    return found


def _build(case: _Case) -> nn.Module:
    drop_path = 0.4 if has_regulariser(case.name, "drop_path") else 0.0
    return build_model(
        case.name,
        num_classes=_CLASSES,
        weights=None,
        arguments=case.arguments,
        dropout=0.4,
        drop_path=drop_path,
        seed=0,
    )


def _images(case: _Case, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 3, case.side, case.side, generator=generator)


def _train(model: nn.Module, case: _Case, *, steps: int) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9, weight_decay=0.1)
    for step in range(steps):
        logits = model(_images(case, seed=step))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()


@contextmanager
def _recorded(model: nn.Module, groups: LayerGroups, depth: int) -> Iterator[list[Tensor]]:
    """Collects what every module of the frozen prefix puts out."""
    outputs: list[Tensor] = []
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output: outputs.append(output.detach().clone())
        )
        for name in groups.frozen_modules(depth)
    ]
    yield outputs
    for hook in hooks:
        hook.remove()


def _prefix(model: nn.Module, groups: LayerGroups, depth: int, images: Tensor) -> list[Tensor]:
    with _recorded(model, groups, depth) as outputs, torch.no_grad():
        model(images)
    return outputs


def _state(model: nn.Module, groups: LayerGroups, depth: int) -> dict[str, Tensor]:
    """Parameters and buffers of the first groups."""
    parameters = set(groups.frozen_parameters(depth))
    modules = groups.frozen_modules(depth)
    owned = {name for name, _ in model.named_buffers() if name.rpartition(".")[0] in modules}
    state = model.state_dict()
    return {name: state[name].clone() for name in state if name in parameters | owned}


def _depths(groups: LayerGroups) -> list[int]:
    return sorted({1, groups.count // 2, groups.count})


def test_groups_have_the_expected_count_and_hold_every_parameter_once(case: _Case) -> None:
    model = expected_model(case.name, num_classes=_CLASSES, arguments=case.arguments)
    groups = layer_groups(model)
    assert groups.unordered is None
    assert groups.count == case.groups
    named = [name for group in (*groups.names, groups.head) for name in group]
    assert sorted(named) == sorted(name for name, _ in model.named_parameters())
    assert all(groups.names)


def test_head_is_the_classifier_alone(case: _Case) -> None:
    model = expected_model(case.name, num_classes=_CLASSES, arguments=case.arguments)
    shapes = [tuple(model.get_parameter(name).shape) for name in layer_groups(model).head]
    features = shapes[0][1]
    assert shapes == [(_CLASSES, features), (_CLASSES,)]


def test_groups_of_a_real_model_are_those_planned_on_the_meta_device(case: _Case) -> None:
    meta = expected_model(case.name, num_classes=_CLASSES, arguments=case.arguments)
    planned, real = layer_groups(meta), layer_groups(_build(case))
    assert (planned.names, planned.head, planned.unordered) == (real.names, real.head, None)


def test_frozen_prefix_gives_the_same_bits_whatever_the_rest_does(case: _Case) -> None:
    for depth in _depths(layer_groups(_build(case))):
        model = _build(case)
        groups = layer_groups(model)
        freeze(model, groups, depth=depth)
        model.train()
        keep_frozen_in_eval(model, groups, depth=depth)
        probe = _images(case, seed=99)
        before, state = _prefix(model, groups, depth, probe), _state(model, groups, depth)
        _train(model, case, steps=2)
        after = _prefix(model, groups, depth, probe)
        assert before
        assert len(before) == len(after)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)), depth
        now = _state(model, groups, depth)
        assert all(torch.equal(state[name], now[name]) for name in state), depth


def test_frozen_prefix_of_one_image_does_not_depend_on_its_batch(case: _Case) -> None:
    model = _build(case)
    groups = layer_groups(model)
    freeze(model, groups, depth=groups.count)
    probe = _images(case, seed=99)
    with torch.no_grad():
        together = _prefix(model, groups, groups.count, probe)
        swapped = _prefix(model, groups, groups.count, probe.flip(0))
    pairs = zip(together, swapped, strict=True)
    assert all(torch.allclose(a, b.flip(0), atol=1e-5) for a, b in pairs)


def test_thawed_groups_and_the_head_do_train(case: _Case) -> None:
    model = _build(case)
    groups = layer_groups(model)
    depth = groups.count // 2
    freeze(model, groups, depth=depth)
    model.train()
    keep_frozen_in_eval(model, groups, depth=depth)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    _train(model, case, steps=2)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    for names in (*groups.names[depth:], groups.head):
        assert changed & set(names), names
    assert not changed & set(groups.frozen_parameters(depth))


def test_unfrozen_model_is_random_in_training(case: _Case) -> None:
    model = _build(case)
    groups = layer_groups(model)
    freeze(model, groups, depth=0)
    model.train()
    probe = _images(case, seed=99)
    with torch.no_grad():
        assert not torch.equal(model(probe), model(probe))


def test_every_parameter_has_a_group_index_that_grows_to_the_head(case: _Case) -> None:
    model = expected_model(case.name, num_classes=_CLASSES, arguments=case.arguments)
    groups = layer_groups(model)
    index = groups.group_index_by_parameter()
    assert set(index) == {name for name, _ in model.named_parameters()}
    assert {index[name] for name in groups.head} == {groups.count}
    assert sorted(set(index.values())) == list(range(groups.count + 1))
