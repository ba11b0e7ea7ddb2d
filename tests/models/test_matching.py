"""Fitting weights onto models: what loads, what stays fresh, what is refused."""

import logging

import pytest
import timm
import torch
from torch import Tensor, nn

from runner.errors import WeightsUnavailable
from runner.models.groups import head_parameters
from runner.models.matching import load_onto


def _model(classes: int = 3, **arguments: object) -> nn.Module:
    model: nn.Module = timm.create_model("test_resnet", num_classes=classes, **arguments)
    return model


def _source(classes: int = 3) -> dict[str, Tensor]:
    return dict(_model(classes).state_dict())


def _load(model: nn.Module, state: dict[str, Tensor]) -> None:
    load_onto(model, state, head=head_parameters(model))


def _same(model: nn.Module, state: dict[str, Tensor], *, but: tuple[str, ...] = ()) -> bool:
    own = model.state_dict()
    return all(torch.equal(own[key], state[key]) for key in own if key not in but)


def test_load_onto_equal_names_and_classes_loads_all() -> None:
    model, state = _model(), _source()
    _load(model, state)
    assert _same(model, state)


def test_load_onto_without_a_head_keeps_the_fresh_one() -> None:
    model, state = _model(), _source()
    fresh = model.state_dict()["fc.weight"].clone()
    del state["fc.weight"], state["fc.bias"]
    _load(model, state)
    assert torch.equal(model.state_dict()["fc.weight"], fresh)
    assert _same(model, state, but=("fc.weight", "fc.bias"))


def test_load_onto_a_head_of_other_classes_drops_it_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model, state = _model(3), _source(1000)
    with caplog.at_level(logging.INFO, logger="runner.models"):
        _load(model, state)
    assert _same(model, state, but=("fc.weight", "fc.bias"))
    assert "head of test_resnet starts fresh: fc.bias, fc.weight" in caplog.text


def test_load_onto_without_batch_counters_loads() -> None:
    model, state = _model(), _source()
    state = {key: value for key, value in state.items() if "num_batches" not in key}
    _load(model, state)
    assert torch.equal(model.state_dict()["bn1.running_var"], state["bn1.running_var"])


def test_load_onto_missing_and_extra_tensors_are_counted_and_named() -> None:
    model, state = _model(), _source()
    for key in [key for key in state if key.startswith("layer4.0.conv")]:
        del state[key]
    state["extra.weight"] = torch.ones(1)
    with pytest.raises(WeightsUnavailable) as caught:
        _load(model, state)
    assert str(caught.value) == (
        "the weights do not fit test_resnet: 2 missing (layer4.0.conv1.weight, "
        "layer4.0.conv2.weight); 1 unexpected (extra.weight)"
    )


def test_load_onto_other_shapes_are_named_with_both_shapes() -> None:
    model, state = _model(), _source()
    state["conv1.0.weight"] = torch.ones(1, 2, 3, 3)
    with pytest.raises(
        WeightsUnavailable, match=r"1 of another shape \(conv1.0.weight \(1, 2, 3, 3\)"
    ):
        _load(model, state)


def test_load_onto_changes_nothing_when_it_refuses() -> None:
    model, state = _model(), _source()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state.pop("conv1.0.weight")
    with pytest.raises(WeightsUnavailable):
        _load(model, state)
    assert _same(model, before)


@pytest.mark.parametrize("with_head", [True, False])
@pytest.mark.parametrize("classes", [3, 1000])
def test_load_onto_foreign_names_in_order_loads_and_warns(
    caplog: pytest.LogCaptureFixture, with_head: bool, classes: int
) -> None:
    model, state = _model(3), _source(classes)
    kept = [key for key in state if with_head or not key.startswith("fc.")]
    foreign = {
        f"_{number}.{key.rpartition('.')[2]}": state[key] for number, key in enumerate(kept)
    }
    _load(model, foreign)
    but = () if with_head and classes == 3 else ("fc.weight", "fc.bias")
    assert _same(model, state, but=but)
    assert "weights matched by order: names differ" in caplog.text


def test_load_onto_foreign_names_with_one_other_shape_is_refused() -> None:
    model, state = _model(), _source()
    foreign = {f"_{number}": value for number, value in enumerate(state.values())}
    foreign["_0"] = torch.ones(1, 2, 3, 3)
    with pytest.raises(WeightsUnavailable, match=r"missing .* unexpected"):
        _load(model, foreign)


def test_load_onto_another_image_size_resamples_positions() -> None:
    small = timm.create_model("test_vit", num_classes=3, img_size=64)
    state = dict(timm.create_model("test_vit", num_classes=3).state_dict())
    assert state["pos_embed"].shape != small.state_dict()["pos_embed"].shape
    _load(small, state)
    own = small.state_dict()
    assert torch.equal(own["blocks.0.attn.qkv.weight"], state["blocks.0.attn.qkv.weight"])
    assert torch.equal(own["pos_embed"][:, 0], state["pos_embed"][:, 0])
    assert own["pos_embed"].abs().sum() > 0
