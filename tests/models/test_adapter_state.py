"""What a trial with adapters keeps: it brings the trial back, merged or as peft has it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn

from runner.errors import WeightsUnavailable
from runner.experiment import LabelKind
from runner.models import (
    load_trainable,
    merged_model,
    save_adapter,
    trainable_state,
)
from tests.tiny_adapted import IMAGE_MODELS, adapted, outputs, train
from tests.tiny_text_models import FAMILIES

_Build = Callable[..., nn.Module]
_MODELS = (*FAMILIES, *IMAGE_MODELS)


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


@pytest.mark.parametrize("name", _MODELS)
def test_merged_model_is_plain_again_with_the_same_outputs(build: _Build, name: str) -> None:
    model, _ = adapted(build(name), targets="linear")
    train(model)
    fresh = build(name, seed=9).eval()
    merged = merged_model(model.eval())
    with torch.no_grad():
        expected = outputs(model)
        assert not torch.allclose(expected, outputs(fresh), atol=1e-3)
        fresh.load_state_dict(merged.state_dict())
        for plain in (merged, fresh):
            assert torch.allclose(outputs(plain), expected, atol=1e-5)
    assert any("lora_" in key for key in model.state_dict())


@pytest.mark.parametrize("name", ["bert", "distilbert", "test_vit"])
def test_load_trainable_brings_a_trial_back_from_adapters_and_head_alone(
    build: _Build, name: str
) -> None:
    model, groups = adapted(build(name))
    train(model)
    kept = _copied(trainable_state(model))
    assert set(kept) == {key for key in model.state_dict() if "lora_" in key} | set(groups.head)
    again, _ = adapted(build(name, seed=3), seed=8)
    load_trainable(again, kept)
    with torch.no_grad():
        assert torch.equal(outputs(again.eval()), outputs(model.eval()))


def test_load_trainable_of_another_rank_or_place_is_refused_by_name(build: _Build) -> None:
    kept = trainable_state(adapted(build("bert"))[0])
    message = r"^the kept tensors do not fit BertForSequenceClassification: 16 of another shape"
    with pytest.raises(WeightsUnavailable, match=message):
        load_trainable(adapted(build("bert"), rank=2)[0], kept)
    with pytest.raises(WeightsUnavailable, match=r": 8 unexpected \(bert\.encoder\.layer\.0\."):
        load_trainable(adapted(build("bert"), depth=2)[0], kept)


@pytest.mark.parametrize("name", _MODELS)
def test_save_adapter_is_what_plain_peft_loads(tmp_path: Path, build: _Build, name: str) -> None:
    model, _ = adapted(build(name))
    train(model)
    save_adapter(model.eval(), tmp_path, base_name="someone/base")
    base = build(name, seed=4)
    loaded = PeftModel.from_pretrained(base, str(tmp_path)).eval()
    assert loaded.peft_config["default"].base_model_name_or_path == "someone/base"
    with torch.no_grad():
        assert torch.allclose(outputs(loaded.get_base_model()), outputs(model), atol=1e-6)


def test_save_adapter_of_words_says_what_it_is_for(tmp_path: Path, tiny_model: _Build) -> None:
    model, _ = adapted(tiny_model("roberta", LabelKind.TAGS))
    save_adapter(model, tmp_path, base_name="someone/base")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["task_type"] == "TOKEN_CLS"
    assert config["modules_to_save"] == ["classifier"]
    assert config["r"] == 4
