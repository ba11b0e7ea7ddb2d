"""Text models: reproducible, from the weights they are given, or refused."""

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from runner.errors import TrialFailed, WeightsUnavailable
from runner.experiment import LabelKind
from runner.models import (
    TextFiles,
    build_text_model,
    expected_text_model,
    fingerprint,
    freeze,
    layer_groups,
    load_text_weights,
    text_files,
    text_logits,
)
from tests.tiny_text_models import make_tiny_text_model, make_tiny_tokenizer, tiny_arguments

_FilesOf = Callable[[str], TextFiles]


def _build(files: TextFiles, **changes: Any) -> nn.Module:
    settings: dict[str, Any] = {
        "kind": LabelKind.CLASS,
        "outputs": 3,
        "weights": load_text_weights(files),
        "arguments": {},
        "dropout": 0.0,
        "seed": 0,
    }
    return build_text_model(files, **{**settings, **changes})


def test_build_text_model_same_seed_gives_the_same_bits_and_leaves_the_random_state(
    tiny_files: _FilesOf,
) -> None:
    files = tiny_files("bert")
    before = torch.random.get_rng_state()
    first = fingerprint(_build(files, seed=7).state_dict())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    assert fingerprint(_build(files, seed=7).state_dict()) == first
    assert fingerprint(_build(files, seed=8).state_dict()) != first
    scratch = fingerprint(_build(files, seed=7, weights=None).state_dict())
    assert fingerprint(_build(files, seed=7, weights=None).state_dict()) == scratch != first


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "modernbert"])
@pytest.mark.parametrize("kind", [LabelKind.CLASS, LabelKind.TAGS])
def test_build_text_model_takes_the_encoder_from_the_file(
    tiny_files: _FilesOf, family: str, kind: LabelKind
) -> None:
    files = tiny_files(family)
    model = _build(files, kind=kind)
    assert model.training
    own = model.state_dict()
    given = load_file(files.weights[0])
    encoder = {name.partition(".")[2]: name for name in own}
    same = [name for name in given if name in encoder]
    assert len(same) >= len(given) - 2  # a pooler that words do not need
    assert all(torch.equal(given[name], own[encoder[name]]) for name in same)


def test_build_text_model_training_leaves_the_shared_weights_alone(tiny_files: _FilesOf) -> None:
    files = tiny_files("bert")
    weights = load_text_weights(files)
    assert weights is not None
    model = _build(files)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert fingerprint(weights.state) == weights.fingerprint
    assert load_text_weights(files) is weights


def test_build_text_model_fresh_head_starts_nearly_undecided(tiny_files: _FilesOf) -> None:
    layer = _build(tiny_files("roberta")).get_submodule("classifier.out_proj")
    assert 0 < layer.weight.std() < 0.02
    assert torch.equal(layer.bias, torch.zeros(3))
    assert not torch.equal(layer.weight[0], layer.weight[1])


def test_build_text_model_head_of_the_same_shape_is_taken_and_of_another_is_fresh(
    tmp_path: Path, tiny_files: _FilesOf, tiny: Callable[[str], Path]
) -> None:
    trained = _build(tiny_files("bert"), seed=3)
    trained.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny("bert")).save_pretrained(tmp_path)
    files = text_files("trained", str(tmp_path), base=Path("/"))
    same = _build(files, seed=4).get_parameter("classifier.weight")
    assert torch.equal(same, trained.get_parameter("classifier.weight"))
    assert _build(files, outputs=5).get_parameter("classifier.weight").shape == (5, 32)


def test_build_text_model_plain_transformers_loads_what_it_saves(
    tmp_path: Path, tiny_files: _FilesOf
) -> None:
    model = _build(tiny_files("distilbert")).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokens = {"input_ids": torch.arange(1, 9).reshape(2, 4)}
    with torch.no_grad():
        assert torch.equal(again(**tokens).logits, text_logits(model, tokens))


def test_build_text_model_without_a_pooler_in_the_file_starts_one_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = _changed(tmp_path, lambda state: {k: v for k, v in state.items() if "pool" not in k})
    with caplog.at_level(logging.INFO):
        _build(files)
    assert (
        "the weights of BertForSequenceClassification have no pooler: it starts fresh and counts "
        "as part of the head (bert.pooler.dense.bias, bert.pooler.dense.weight)"
    ) in caplog.text
    assert "starts fresh: classifier.bias, classifier.weight" in caplog.text


def test_layer_groups_of_a_model_with_a_fresh_pooler_have_it_in_the_head(tmp_path: Path) -> None:
    files = _changed(tmp_path, lambda state: {k: v for k, v in state.items() if "pool" not in k})
    model = _build(files)

    groups = layer_groups(model)
    freeze(model, groups, depth=groups.count)

    assert groups.count == 3
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    }


def _without_layer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if "layer.1.output" not in name}


def _with_another_layer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "encoder.layer.2.output.dense.bias": torch.ones(32)}


def _with_wider_words(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "embeddings.word_embeddings.weight": torch.ones(7, 32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _without_layer,
            r"^the weights do not fit BertForSequenceClassification: 4 missing "
            r"\(bert\.encoder\.layer\.1\.output\.LayerNorm\.bias, ",
        ),
        (_with_another_layer, r": 1 unexpected \(encoder\.layer\.2\.output\.dense\.bias\)$"),
        (
            _with_wider_words,
            r": 1 of another shape "
            r"\(bert\.embeddings\.word_embeddings\.weight \(7, 32\) for \(\d+, 32\)\)$",
        ),
    ],
)
def test_build_text_model_weights_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str
) -> None:
    with pytest.raises(WeightsUnavailable, match=message):
        _build(_changed(tmp_path, change))


def test_build_text_model_heads_of_other_tasks_and_old_position_numbers_are_left_out(
    tmp_path: Path,
) -> None:
    def as_published(state: dict[str, Tensor]) -> dict[str, Tensor]:
        named = {f"bert.{name}": tensor for name, tensor in state.items()}
        old = {"bert.embeddings.position_ids": torch.arange(64)[None]}
        return {**named, **old, "cls.predictions.bias": torch.ones(9)}

    model = _build(_changed(tmp_path, as_published))
    assert model.get_parameter("bert.encoder.layer.1.output.dense.weight").shape == (32, 64)


def _changed(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> TextFiles:
    make_tiny_text_model(folder)
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return text_files("changed", str(folder), base=Path("/"))


@pytest.mark.parametrize(
    ("family", "kind", "module"),
    [
        ("bert", LabelKind.CLASS, "dropout"),
        ("bert", LabelKind.TAGS, "dropout"),
        ("distilbert", LabelKind.CLASS, "dropout"),
        ("distilbert", LabelKind.TAGS, "dropout"),
        ("roberta", LabelKind.CLASS, "classifier.dropout"),
        ("mpnet", LabelKind.CLASS, "classifier.dropout"),
        ("albert", LabelKind.CLASS, "dropout"),
        ("modernbert", LabelKind.CLASS, "drop"),
    ],
)
def test_build_text_model_dropout_is_the_classifiers_and_no_other(
    tiny_files: _FilesOf, family: str, kind: LabelKind, module: str
) -> None:
    model = _build(tiny_files(family), kind=kind, dropout=0.35)
    rates = {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)}
    assert rates.pop(module) == 0.35
    assert 0.35 not in rates.values()


def test_build_text_model_dropout_is_written_into_the_configuration(
    tiny_files: _FilesOf,
) -> None:
    config: Any = _build(tiny_files("bert"), dropout=0.35).config
    assert config.classifier_dropout == 0.35


def test_build_text_model_of_a_configuration_takes_its_vocabulary_from_the_tokenizer(
    tmp_path: Path,
) -> None:
    size = make_tiny_tokenizer(tmp_path)
    files = text_files("electra", "none", base=tmp_path, tokenizer="./")
    model = _build(files, arguments=tiny_arguments("electra"))
    assert files.folder is None
    assert model.get_parameter("electra.embeddings.word_embeddings.weight").shape == (size, 16)
    assert model.config.pad_token_id == 0
    larger = _build(files, arguments={**tiny_arguments("electra"), "vocab_size": 400})
    assert larger.config.vocab_size == 400


def test_build_text_model_common_names_of_sizes_work_for_every_family(tmp_path: Path) -> None:
    make_tiny_tokenizer(tmp_path)
    files = text_files("distilbert", "none", base=tmp_path, tokenizer="./")
    model = _build(files, arguments={"hidden_size": 24, "n_heads": 2, "num_hidden_layers": 1})
    assert model.get_parameter("classifier.weight").shape == (3, 24)


def test_build_text_model_values_that_cannot_be_are_refused(tiny_files: _FilesOf) -> None:
    files = tiny_files("bert")
    message = (
        r"^model\.arguments: tiny cannot be configured so: Validation error for field "
        r"'hidden_size': TypeError: Field 'hidden_size' expected int, got str \(value: 'big'\)$"
    )
    with pytest.raises(TrialFailed, match=message):
        _build(files, arguments={"hidden_size": "big"})
    with pytest.raises(TrialFailed, match=r"^model\.arguments: tiny cannot be built so: The hidd"):
        _build(files, weights=None, arguments={"num_attention_heads": 5})


def test_build_text_model_architecture_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    make_tiny_tokenizer(tmp_path)
    files = text_files("gpt2", "none", base=tmp_path, tokenizer="./")
    with pytest.raises(TrialFailed, match=r"^model\.name: gpt2 does not fit: it is decoder-only"):
        _build(files)


def test_expected_text_model_has_shapes_and_no_values(tiny_files: _FilesOf) -> None:
    model = expected_text_model(tiny_files("bert"), kind=LabelKind.TAGS, outputs=9, arguments={})
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert model.get_parameter("classifier.weight").shape == (9, 32)


@pytest.mark.slow
def test_importing_the_room_imports_neither_transformers_nor_peft() -> None:
    heavy = "[m for m in ('transformers', 'peft') if m in sys.modules]"
    code = f"import sys, runner.models; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
