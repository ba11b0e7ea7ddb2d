"""Adapters in a model: where they go, what trains, and that they change nothing at first."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from runner.errors import TrialFailed
from runner.models import (
    freeze,
    keep_frozen_in_eval,
    layer_groups,
    merged_model,
    save_adapter,
    trainable_state,
)
from tests.tiny_adapted import IMAGE_MODELS, adapted, image_model, outputs, train
from tests.tiny_text_models import FAMILIES

_Build = Callable[..., nn.Module]
_MODELS = (*FAMILIES, *IMAGE_MODELS)


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


@pytest.mark.parametrize("targets", ["attention", "linear"])
@pytest.mark.parametrize("name", _MODELS)
def test_apply_lora_changes_no_output_at_first_and_trains_only_adapters_and_head(
    build: _Build, name: str, targets: str
) -> None:
    plain = build(name).eval()
    model, groups = adapted(copy.deepcopy(plain), targets=targets)
    with torch.no_grad():
        assert torch.equal(outputs(model), outputs(plain))
    before = _copied(model.state_dict())
    train(model.train(), steps=4)
    after = model.state_dict()
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    assert set(groups.head) < changed
    adapters = changed - set(groups.head)
    assert all("lora_" in key for key in adapters)
    # Not all of them move: a key's projection hardly matters to a random model.
    assert any("lora_A" in key for key in adapters)
    assert any("lora_B" in key for key in adapters)


def test_apply_lora_same_seed_gives_the_same_adapters_and_leaves_the_random_state(
    build: _Build,
) -> None:
    def first(seed: int) -> Tensor:
        model, _ = adapted(build("bert"), seed=seed)
        name = "bert.encoder.layer.0.attention.self.query.lora_A.default.weight"
        return model.get_parameter(name)

    model = build("bert")
    before = torch.random.get_rng_state()
    adapted(model)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_apply_lora_rank_alpha_and_dropout_reach_the_layers(build: _Build) -> None:
    model, _ = adapted(build("bert"), rank=3, alpha=12.0, dropout=0.25)
    layer: Any = model.get_submodule("bert.encoder.layer.0.attention.self.query")
    assert layer.lora_A["default"].weight.shape == (3, 32)
    assert layer.scaling["default"] == 4.0
    assert layer.lora_dropout["default"].p == 0.25


@pytest.mark.parametrize(
    ("name", "targets", "layers"),
    [
        ("bert", "attention", 8),
        ("bert", "linear", 13),
        ("distilbert", "attention", 8),
        ("distilbert", "linear", 12),
        ("modernbert", "attention", 4),
        ("test_vit", "attention", 12),
        ("test_vit", "linear", 24),
    ],
)
def test_apply_lora_puts_adapters_at_the_layers_asked_for(
    build: _Build, name: str, targets: str, layers: int
) -> None:
    model, _ = adapted(build(name), targets=targets)
    assert sum("lora_A" in key for key in model.state_dict()) == layers


def test_apply_lora_below_the_freeze_depth_puts_none(build: _Build) -> None:
    model, groups = adapted(build("bert"), depth=2, targets="linear")
    adapters = [key for key in model.state_dict() if "lora_" in key]
    assert adapters
    assert all(key.startswith(("bert.encoder.layer.1.", "bert.pooler.")) for key in adapters)
    model.train()
    keep_frozen_in_eval(model, groups, depth=2)
    assert not model.get_submodule("bert.encoder.layer.0.attention.self.dropout").training
    dropout = "bert.encoder.layer.1.attention.self.query.lora_dropout.default"
    assert model.get_submodule(dropout).training


def test_apply_lora_at_full_depth_trains_the_head_alone(
    build: _Build, caplog: pytest.LogCaptureFixture
) -> None:
    model, groups = adapted(build("bert"), depth=4)
    assert "freeze depth 4 leaves no layer for adapters: the head trains alone" in caplog.text
    assert set(trainable_state(model)) == set(groups.head)
    assert merged_model(model).state_dict().keys() == model.state_dict().keys()
    with pytest.raises(TrialFailed, match="^BertForSequenceClassification has no adapters to"):
        save_adapter(model, Path("/nowhere"), base_name="x")


@pytest.mark.parametrize("name", _MODELS)
def test_apply_lora_groups_have_every_parameter_where_its_layer_is(
    build: _Build, name: str
) -> None:
    plain = build(name)
    before = layer_groups(plain)
    model, groups = adapted(plain, targets="linear")
    index = groups.group_index_by_parameter()
    assert set(index) == {key for key, _ in model.named_parameters()}
    assert (groups.count, groups.head) == (before.count, before.head)
    old = before.group_index_by_parameter()
    for key, group in index.items():
        layer = key.partition(".lora_")[0] + ".weight" if ".lora_" in key else key
        assert old[layer.replace(".base_layer", "")] == group
    adapters = {key for key in index if ".lora_" in key}
    assert set(groups.fixed) == set(index) - adapters - set(groups.head)


def test_freeze_of_an_adapted_model_thaws_adapters_and_never_the_weights(build: _Build) -> None:
    model, groups = adapted(build("bert"))
    freeze(model, groups, depth=groups.count)
    assert {key for key, p in model.named_parameters() if p.requires_grad} == set(groups.head)
    freeze(model, groups, depth=0)
    trained = {key for key, p in model.named_parameters() if p.requires_grad}
    assert trained == {key for key in trained if ".lora_" in key} | set(groups.head)
    assert len(trained) == 18


def test_keep_frozen_in_eval_keeps_the_statistics_beside_adapters() -> None:
    model, groups = adapted(image_model("mobilevit_s"))
    model.train()
    keep_frozen_in_eval(model, groups, depth=0)
    mean = model.get_buffer("stem.bn.running_mean").clone()
    model(torch.randn(2, 3, 64, 64))
    assert torch.equal(model.get_buffer("stem.bn.running_mean"), mean)
