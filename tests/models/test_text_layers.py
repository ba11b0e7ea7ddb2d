"""Layer groups of text models: what is in them, and what is said where there is no order."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from runner.experiment import LabelKind
from runner.models import LayerGroups, layer_groups

_Build = Callable[..., nn.Module]


def _configured(model_type: str, **values: Any) -> nn.Module:
    config = AutoConfig.for_model(model_type, num_labels=3, **values)
    with torch.device("meta"):
        model: nn.Module = AutoModelForSequenceClassification.from_config(config)
    return model


def _group_of(groups: LayerGroups, parameter: str) -> int:
    return groups.group_index_by_parameter()[parameter]


def test_layer_groups_of_bert_are_embeddings_layers_and_pooler(tiny_model: _Build) -> None:
    groups = layer_groups(tiny_model("bert"))
    assert [{name.rsplit(".", 2)[0] for name in group} for group in (groups.names[0],)] == [
        {"bert.embeddings"}
    ]
    assert all(name.startswith("bert.encoder.layer.0.") for name in groups.names[1])
    assert all(name.startswith("bert.encoder.layer.1.") for name in groups.names[2])
    assert groups.names[3] == ("bert.pooler.dense.weight", "bert.pooler.dense.bias")
    assert groups.head == ("classifier.weight", "classifier.bias")


def test_layer_groups_of_words_have_no_pooler(tiny_model: _Build) -> None:
    assert layer_groups(tiny_model("bert", LabelKind.TAGS)).count == 3


def test_layer_groups_of_a_full_size_model_count_its_layers() -> None:
    groups = layer_groups(_configured("roberta"))
    assert groups.count == 13
    assert len(groups.names[12]) == 16


@pytest.mark.parametrize(
    ("family", "parameter", "group"),
    [
        ("deberta-v2", "deberta.encoder.rel_embeddings.weight", 0),
        ("mpnet", "mpnet.encoder.relative_attention_bias.weight", 0),
        ("electra", "electra.embeddings_project.weight", 0),
        ("albert", "albert.encoder.embedding_hidden_mapping_in.weight", 0),
        ("albert", "albert.pooler.weight", 2),
        ("modernbert", "model.final_norm.weight", 3),
    ],
)
def test_layer_groups_place_what_lies_beside_the_layers_by_when_it_is_read(
    tiny_model: _Build, family: str, parameter: str, group: int
) -> None:
    assert _group_of(layer_groups(tiny_model(family)), parameter) == group


def test_layer_groups_of_one_layer_keep_a_table_of_positions_before_it() -> None:
    # Placed after the layer, it would train while the layer that reads it is frozen.
    model = _configured("mpnet", num_hidden_layers=1)
    assert _group_of(layer_groups(model), "mpnet.encoder.relative_attention_bias.weight") == 0


def test_layer_groups_of_a_model_that_looks_at_values_are_found_all_the_same() -> None:
    assert layer_groups(_configured("megatron-bert", num_hidden_layers=2)).count == 4


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [
        (
            "xlm",
            "it has not one list of layers but 4 (lists: transformer.attentions, "
            "transformer.layer_norm1, transformer.ffns, transformer.layer_norm2)",
        ),
        (
            "squeezebert",
            "transformer.encoder.layers.0.attention.query.weight of layer 1 is read outside its "
            "layers",
        ),
        ("longformer", "its forward pass cannot be followed: aten._local_scalar_dense.default"),
    ],
)
def test_layer_groups_without_an_order_are_one_group_with_the_reason(
    model_type: str, reason: str
) -> None:
    groups = layer_groups(_configured(model_type))
    assert groups.unordered == reason
    assert groups.count == 1
    assert groups.depth_problem(1) == (
        f"the model's layers have no order ({reason}); allowed: 0 or max"
    )


def test_layer_groups_leave_a_text_model_as_it_was(tiny_model: _Build) -> None:
    model = tiny_model("deberta-v2").train()
    model.get_submodule("deberta.embeddings").eval()
    modes = [(name, module.training) for name, module in model.named_modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config: Any = model.config
    padding = config.pad_token_id
    layer_groups(model)
    assert [(name, module.training) for name, module in model.named_modules()] == modes
    assert all(torch.equal(state[name], now) for name, now in model.state_dict().items())
    assert config.pad_token_id == padding == 0
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("family", "module", "group"),
    [
        ("bert", "bert.embeddings.dropout", 0),
        ("bert", "bert.encoder.layer.1.attention.self.dropout", 2),
        ("bert", "dropout", None),
        ("distilbert", "dropout", None),
        ("roberta", "classifier.dropout", None),
        ("deberta-v2", "dropout", None),
        ("deberta-v2", "deberta.encoder.layer.0.attention.self.pos_dropout", 1),
        ("modernbert", "drop", None),
    ],
)
def test_dropouts_lie_in_the_group_they_work_for_or_in_the_head(
    tiny_model: _Build, family: str, module: str, group: int | None
) -> None:
    model = tiny_model(family)
    assert isinstance(model.get_submodule(module), nn.Dropout)
    assert dict(layer_groups(model).group_of_module).get(module) == group
