"""A packaged model of images: what is written, and what its signature says."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from runner.data import Transform
from runner.experiment import LabelKind
from runner.models import build_model, input_spec
from runner.promotion.answers import Answers
from runner.promotion.image_packaging import ImageModel, image_model_of, serve_images
from runner.promotion.packaging import requirements, save_model

ANSWERS = Answers(LabelKind.CLASS, ("ape", "label"))


def network():
    return build_model(
        "test_resnet",
        num_classes=2,
        weights=None,
        arguments={},
        dropout=0.0,
        drop_path=0.0,
        seed=0,
    )


def image_model(answers: Answers = ANSWERS) -> ImageModel:
    wanted = input_spec("test_resnet", {})
    return ImageModel("test_resnet", {}, answers, wanted, resolution=wanted.size)


def test_save_model_writes_weights_a_description_and_exact_requirements(tmp_path: Path):
    state = network().state_dict()
    save_model(tmp_path / "model", serve_images(image_model(), state))
    files = tmp_path / "model" / "artifacts"
    described = json.loads((files / "model.json").read_text("utf-8"))

    assert described["timm_name"] == "test_resnet"
    assert (described["kind"], described["classes"]) == ("class", ["ape", "label"])
    assert described["resolution"] == described["input"]["size"] == 160
    assert load_file(files / "weights.safetensors").keys() == state.keys()
    written = (tmp_path / "model" / "requirements.txt").read_text("utf-8").split()
    named = {line.partition("==")[0] for line in written}
    assert named == {"mlflow", "torch", "timm", "safetensors", "pillow", "numpy", "pandas"}
    assert set(requirements(["torch", "timm"])) < set(written)


def test_image_model_of_an_experiment_has_its_size_and_preprocessing():
    transform = Transform(
        size=96,
        crop_fraction=0.9,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.1),
        interpolation="bilinear",
    )
    model = image_model_of(
        "vit_tiny_patch16_224",
        {"qkv_bias": True},
        image_size=96,
        transform=transform,
        answers=ANSWERS,
    )

    assert dict(model.arguments) == {"qkv_bias": True, "img_size": 96}
    assert (model.input.size, model.input.interpolation) == (96, "bilinear")
    assert model.input.mean == (0.5, 0.4, 0.3)
    assert model.resolution == transform.resolution


@pytest.mark.parametrize(
    ("answers", "outputs", "params"),
    [
        (ANSWERS, ["label", "probability", "ape", "class label"], ["top_k", "batch_size"]),
        (
            Answers(LabelKind.CLASSES, ("ape", "label")),
            ["labels", "ape", "class label"],
            ["threshold", "batch_size"],
        ),
        (Answers(LabelKind.NUMBER, (), 3.0, 2.0), ["prediction"], ["batch_size"]),
    ],
    ids=lambda value: str(value.kind) if isinstance(value, Answers) else None,
)
def test_signature_names_image_answers_and_parameters(answers, outputs, params):
    signature = serve_images(image_model(answers), {}).signature

    assert signature.inputs.input_names() == ["image"]
    assert signature.outputs.input_names() == outputs
    assert [each.name for each in signature.params.params] == params
