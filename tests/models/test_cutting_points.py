"""The public face of cutting: what it asks of a model, gives, refuses and leaves alone."""

from collections.abc import Callable

import pytest
import timm
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from runner.models import (
    CutShape,
    cut_points,
    cut_shapes,
    freeze,
    layer_groups,
    run_prefix,
    run_suffix,
)
from tests.tiny_adapted import adapted
from tests.tiny_cuts import livened


def _model(name: str = "test_resnet") -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, num_classes=3, drop_rate=0.3)
    return livened(model)


def _images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def _tokens() -> dict[str, Tensor]:
    tokens = torch.randint(5, 150, (2, 6), generator=torch.Generator().manual_seed(1))
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def _state(model: nn.Module) -> tuple[object, ...]:
    return (
        [(name, module.training, type(module)) for name, module in model.named_modules()],
        [(n, p.requires_grad, p.data_ptr(), p._version) for n, p in model.named_parameters()],
        [(n, b.data_ptr(), b._version) for n, b in model.named_buffers()],
        [bool(each._forward_hooks or each._forward_pre_hooks) for each in model.modules()],
        sorted(vars(model)),
    )


@pytest.mark.parametrize("name", ["test_resnet", "test_nfnet"])
def test_nothing_of_a_model_or_of_random_state_is_changed(name: str) -> None:
    model = _model(name).train()
    groups = layer_groups(model)
    freeze(model, groups, depth=2)
    before, random = _state(model), torch.get_rng_state()
    cuts = cut_points(model, groups)
    features = run_prefix(model, {"pixels": _images()}, cuts)
    assert torch.equal(random, torch.get_rng_state())
    model.eval()
    run_suffix(model, features[cuts[-1]], {}, cut=cuts[-1])
    model.train()
    freeze(model, groups, depth=2)
    assert _state(model) == before


def test_nothing_of_a_text_model_is_changed(build: Callable[..., nn.Module]) -> None:
    model = build("bert").train()
    groups = layer_groups(model)
    before, random, config = _state(model), torch.get_rng_state(), repr(model.config)
    cuts = cut_points(model, groups)
    features = run_prefix(model, _tokens(), cuts)
    assert torch.equal(random, torch.get_rng_state())
    for cut in cuts:
        run_suffix(model, features[cut], _tokens(), cut=cut)
    assert _state(model) == before
    assert repr(model.config) == config


@pytest.mark.parametrize("name", ["test_resnet", "test_nfnet", "bert"])
def test_after_a_failure_the_model_is_as_before(
    build: Callable[..., nn.Module], name: str
) -> None:
    is_text = name == "bert"
    model = (build(name) if is_text else _model(name)).train()
    before = _state(model)
    wrong = {"input_ids": torch.zeros(2, 3)} if is_text else {"pixels": torch.zeros(2, 5, 8, 8)}
    cuts = cut_points(model, layer_groups(model))
    with pytest.raises(RuntimeError):
        run_prefix(model, wrong, cuts)
    for cut in cuts:
        with pytest.raises((RuntimeError, ValueError)):
            run_suffix(model, torch.zeros(2, 7, 7), {}, cut=cut)
    assert _state(model) == before


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "bert"])
def test_several_cuts_in_one_pass_equal_each_alone(
    build: Callable[..., nn.Module], name: str
) -> None:
    is_text = name == "bert"
    model = build(name) if is_text else _model(name)
    side = 160 if name == "test_vit" else 64
    batch = _tokens() if is_text else {"pixels": torch.randn(2, 3, side, side)}
    cuts = cut_points(model, layer_groups(model))
    together = run_prefix(model, batch, [*reversed(cuts), cuts[0]])
    assert sorted(together) == list(cuts)
    for cut in cuts:
        alone = run_prefix(model, batch, [cut])
        assert torch.equal(alone[cut], together[cut])
        assert not alone[cut].requires_grad
    assert run_prefix(model, batch, []) == {}


def test_a_prefix_runs_in_evaluation_mode_whatever_the_model_is_in() -> None:
    model, images = _model(), {"pixels": _images()}
    expected = run_prefix(model.eval(), images, [5])[5]
    assert torch.equal(run_prefix(model.train(), images, [5])[5], expected)
    assert model.training


def test_an_unknown_cut_is_refused_with_those_there_are() -> None:
    model = _model()
    said = "cut 6: the model has no such cut; those it has: 1, 2, 3, 4, 5"
    with pytest.raises(ValueError, match=said):
        run_prefix(model, {"pixels": _images()}, [1, 6])
    with pytest.raises(ValueError, match=said):
        run_suffix(model, torch.zeros(1), {}, cut=6)


@pytest.mark.parametrize("name", ["test_resnet", "test_nfnet"])
def test_the_average_of_a_model_is_cut_as_the_model_is(name: str) -> None:
    model = _model(name)
    cuts = cut_points(model, layer_groups(model))
    average = ModelEmaV3(model, decay=0.5)
    livened(model)
    average.update(model)
    images = {"pixels": _images()}
    for cut in cuts:
        features = run_prefix(average.module, images, [cut])[cut]
        outputs = run_suffix(average.module, features, {}, cut=cut)
        expected = average.module(images["pixels"])
        torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(outputs, model.eval()(images["pixels"]))


def test_the_average_of_a_text_model_has_its_own_weights(
    build: Callable[..., nn.Module],
) -> None:
    model = build("bert")
    cuts = cut_points(model, layer_groups(model))
    average = ModelEmaV3(model, decay=0.5)
    livened(model)
    average.update(model)
    expected = average.module(**_tokens()).logits
    for cut, features in run_prefix(average.module, _tokens(), cuts).items():
        outputs = run_suffix(average.module, features, _tokens(), cut=cut)
        torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_channels_last", [False, True])
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_nfnet"])
def test_cuts_hold_under_autocast_and_any_layout(name: str, *, is_channels_last: bool) -> None:
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    model = _model(name).eval().to(memory_format=layout)
    images = _images().contiguous(memory_format=layout)
    cuts = cut_points(model, layer_groups(model))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        expected = model(images)
        found = run_prefix(model, {"pixels": images}, cuts)
        outputs = {cut: run_suffix(model, x, {}, cut=cut) for cut, x in found.items()}
    assert {x.dtype for x in found.values()} <= {torch.bfloat16, torch.float32}
    for each in outputs.values():
        torch.testing.assert_close(each, expected, rtol=2e-2, atol=2e-2)


def test_features_made_in_inference_mode_can_be_trained_on() -> None:
    model = _model()
    with torch.inference_mode():
        features = run_prefix(model, {"pixels": _images()}, [3])[3]
    run_suffix(model.train(), features.clone(), {}, cut=3).sum().backward()
    assert model.get_parameter("layer4.0.conv1.weight").grad is not None
    assert model.get_parameter("layer2.0.conv1.weight").grad is None


def test_a_model_with_adapters_is_not_cut() -> None:
    torch.manual_seed(0)
    model, groups = adapted(timm.create_model("test_vit", num_classes=3, img_size=32))
    assert cut_points(model, groups) == ()


def test_models_of_one_class_but_other_settings_are_told_apart() -> None:
    plain = timm.create_model("test_vit", num_classes=3, img_size=32)
    pooled = timm.create_model("test_vit", num_classes=3, img_size=32, global_pool="avg")
    images = torch.randn(2, 3, 32, 32)
    for model in (plain, pooled):
        model.eval()
        cuts = cut_points(model, layer_groups(model))
        features = run_prefix(model, {"pixels": images}, cuts[-1:])[cuts[-1]]
        outputs = run_suffix(model, features, {}, cut=cuts[-1])
        torch.testing.assert_close(outputs, model(images), rtol=1e-5, atol=1e-6)


def test_cut_shapes_of_images_say_what_an_example_takes() -> None:
    model = _model()
    groups = layer_groups(model)
    batch = {"pixels": _images()}
    shapes = cut_shapes(model, groups, batch)
    found = run_prefix(model, batch, cut_points(model, groups))
    assert {cut: (3, *each.shape) for cut, each in shapes.items()} == {
        cut: tuple(x.shape) for cut, x in found.items()
    }
    assert shapes[1].row_bytes == found[1][0].numel() * 4
    assert not any(each.is_per_token for each in shapes.values())


def test_cut_shapes_of_texts_say_what_a_token_takes(build: Callable[..., nn.Module]) -> None:
    model = build("bert")
    shapes = cut_shapes(model, layer_groups(model), _tokens())
    assert shapes == {
        **{cut: CutShape((6, 32), torch.float32, is_per_token=True) for cut in (1, 2, 3)},
        4: CutShape((32,), torch.float32, is_per_token=False),
    }
    assert {each.row_bytes for each in shapes.values()} == {128}
