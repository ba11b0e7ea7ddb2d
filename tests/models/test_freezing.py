"""Freezing: which parameters train, which modules stay in evaluation mode."""

import pytest
import timm
from torch import nn

from runner.models import freeze, keep_frozen_in_eval, layer_groups


def _model() -> nn.Module:
    model: nn.Module = timm.create_model("test_vit", num_classes=3, drop_rate=0.5)
    return model.train()


def _trainable(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_freeze_zero_trains_everything() -> None:
    model = _model()
    freeze(model, layer_groups(model), depth=0)
    assert _trainable(model) == {name for name, _ in model.named_parameters()}
    assert all(module.training for module in model.modules())


def test_freeze_max_trains_the_head_alone_and_keeps_its_dropout() -> None:
    model = _model()
    groups = layer_groups(model)
    freeze(model, groups, depth=groups.depth("max"))
    assert _trainable(model) == {"head.weight", "head.bias"}
    assert model.get_submodule("head_drop").training
    assert not model.get_submodule("blocks.5.attn").training
    assert not model.get_submodule("pos_drop").training


def test_freeze_of_a_prefix_leaves_later_modules_training() -> None:
    model = _model()
    freeze(model, layer_groups(model), depth=2)
    assert not model.get_submodule("blocks.0").training
    assert model.get_submodule("blocks.1").training
    assert model.get_submodule("blocks").training
    assert "blocks.1.norm1.weight" in _trainable(model)
    assert "blocks.0.norm1.weight" not in _trainable(model)


def test_freeze_less_thaws_and_drops_no_gradients_of_the_rest() -> None:
    model = _model()
    groups = layer_groups(model)
    freeze(model, groups, depth=3)
    freeze(model, groups, depth=1)
    model.train()
    keep_frozen_in_eval(model, groups, depth=1)
    assert "blocks.0.norm1.weight" in _trainable(model)
    assert model.get_submodule("blocks.0").training
    assert not model.get_submodule("patch_embed").training


def test_keep_frozen_in_eval_undoes_train_for_frozen_modules_only() -> None:
    model = _model()
    groups = layer_groups(model)
    freeze(model, groups, depth=2)
    model.train()
    assert model.get_submodule("blocks.0").training
    keep_frozen_in_eval(model, groups, depth=2)
    assert not model.get_submodule("blocks.0").training
    assert not model.get_submodule("blocks.0.attn.attn_drop").training
    assert model.get_submodule("blocks.1").training
    assert model.training


def test_freeze_deeper_than_the_model_is_refused() -> None:
    model = _model()
    with pytest.raises(ValueError, match="freeze depth 8: allowed are 0 to 7, or max"):
        freeze(model, layer_groups(model), depth=8)
