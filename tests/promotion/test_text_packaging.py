"""A packaged text model: what plain transformers makes of it, in MLflow, and served."""

import json
import urllib.error
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest
import torch
from mlflow import MlflowClient

from runner.experiment import LabelKind
from runner.promotion.packaging import log_model, register_model, requirements, save_model
from runner.promotion.text_packaging import TextModel, serve_texts
from tests.promotion.plain_mlflow import ask, models_serve, predict_without_runner
from tests.promotion.text_models import AS_IT_IS, CLASSES, TAGS, TEXTS, text_model


def transformers_folder(folder: Path, model: TextModel) -> Path:
    save_model(folder / "model", serve_texts(model))
    return folder / "model" / "artifacts" / "transformers"


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("kind", [LabelKind.CLASS, LabelKind.TAGS])
def test_plain_transformers_loads_the_same_model_and_tokenizer(
    base: Path, tmp_path: Path, family: str, kind: LabelKind
):
    from transformers import (
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoTokenizer,
    )

    model = text_model(base / family, kind)
    folder = transformers_folder(tmp_path, model)
    is_tags = kind is LabelKind.TAGS
    auto = AutoModelForTokenClassification if is_tags else AutoModelForSequenceClassification
    theirs, tokenizer = auto.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ours = model.tokenizer(TEXTS, truncation=True, max_length=model.max_length)

    assert dict(tokenizer(TEXTS, truncation=True)) == dict(ours)
    batch = tokenizer(TEXTS, truncation=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(theirs(**batch).logits, model.network(**batch).logits)
    names = TAGS if is_tags else CLASSES
    assert theirs.config.id2label == dict(enumerate(names))
    assert theirs.config.label2id == {name: index for index, name in enumerate(names)}


def pipeline_answers(folder: Path, task: str, text: str) -> Any:
    from transformers import pipeline

    return pipeline(task, model=str(folder), tokenizer=str(folder), device="cpu")(text)


def test_plain_pipeline_answers_as_the_served_model(base: Path, tmp_path: Path):
    folder = transformers_folder(tmp_path, text_model(base / "bert", LabelKind.CLASS))
    (answer,) = pipeline_answers(folder, "text-classification", TEXTS[0])
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    (row,) = served.predict([{"text": TEXTS[0]}]).to_dict("records")

    assert answer["label"] == row["label"]
    assert answer["score"] == pytest.approx(row["probability"], abs=1e-5)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["problem_type"] == "single_label_classification"


def test_plain_pipeline_knows_that_several_labels_may_hold(base: Path, tmp_path: Path):
    folder = transformers_folder(tmp_path, text_model(base / "bert", LabelKind.CLASSES))
    (answer,) = pipeline_answers(folder, "text-classification", TEXTS[0])
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    (row,) = served.predict([{"text": TEXTS[0]}]).to_dict("records")

    assert answer["score"] == pytest.approx(max(row["dull"], row["fine"], row["class label"]))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["problem_type"] == "multi_label_classification"


def test_plain_pipeline_of_numbers_says_what_its_answer_counts(base: Path, tmp_path: Path):
    folder = transformers_folder(tmp_path, text_model(base / "bert", LabelKind.NUMBER))
    (answer,) = pipeline_answers(folder, "text-classification", TEXTS[0])
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    (row,) = served.predict([{"text": TEXTS[0]}]).to_dict("records")

    assert answer["label"] == "standard deviations of 12.5 from 1950"
    assert answer["score"] * 12.5 + 1950 == pytest.approx(row["prediction"], abs=1e-3)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["problem_type"] == "regression"


def test_plain_pipeline_names_the_tags(base: Path, tmp_path: Path):
    model = text_model(base / "bert", LabelKind.TAGS)
    folder = transformers_folder(tmp_path, model)
    found = pipeline_answers(folder, "token-classification", "Maria works in Berlin")

    assert {each["entity"] for each in found} <= set(TAGS)
    assert found


def test_packaging_leaves_the_callers_model_as_it_is(base: Path, tmp_path: Path):
    model = text_model(base / "bert", LabelKind.CLASS)
    config = model.network.config
    transformers_folder(tmp_path, model)

    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert (config.problem_type, model.tokenizer.model_max_length) == (None, 64)


def test_save_model_writes_a_description_and_exact_requirements(base: Path, tmp_path: Path):
    cleaning = {"lower": True, "unicode": "NFC", "whitespace": False}
    model = text_model(base / "bert", LabelKind.NUMBER, cleaning=cleaning)
    folder = transformers_folder(tmp_path, model)

    assert json.loads((folder.parent / "model.json").read_text("utf-8")) == {
        "kind": "number",
        "classes": [],
        "mean": 1950.0,
        "std": 12.5,
        "max_length": 32,
        "cleaning": cleaning,
        "has_pair": False,
        "base": None,
    }
    written = (tmp_path / "model" / "requirements.txt").read_text("utf-8").split()
    named = {line.partition("==")[0] for line in written}
    assert named == {"mlflow", "torch", "transformers", "numpy", "pandas"}
    assert set(requirements(["torch", "transformers"])) < set(written)


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "params"),
    [
        (
            LabelKind.CLASS,
            [("text", True)],
            ["label", "probability", "dull", "fine", "class label"],
            ["top_k", "batch_size"],
        ),
        (
            LabelKind.CLASSES,
            [("text", True)],
            ["labels", "dull", "fine", "class label"],
            ["threshold", "batch_size"],
        ),
        (LabelKind.NUMBER, [("text", True)], ["prediction"], ["batch_size"]),
        (
            LabelKind.TAGS,
            [("text", False), ("tokens", False)],
            ["tags", "entities"],
            ["batch_size"],
        ),
    ],
)
def test_signature_names_texts_answers_and_parameters(base: Path, kind, inputs, outputs, params):
    signature = serve_texts(text_model(base / "bert", kind)).signature

    assert [(each.name, each.required) for each in signature.inputs.inputs] == inputs
    assert signature.outputs.input_names() == outputs
    assert [each.name for each in signature.params.params] == params


def test_signature_of_pairs_takes_both(base: Path):
    signature = serve_texts(text_model(base / "bert", LabelKind.CLASS, has_pair=True)).signature

    assert [(each.name, each.required) for each in signature.inputs.inputs] == [
        ("text", True),
        ("pair", True),
    ]


@pytest.mark.slow
def test_registered_text_model_predicts_where_runner_cannot_be_imported(
    database: tuple[str, str], base: Path, tmp_path: Path
):
    uri, experiment = database
    client = MlflowClient(uri, uri)
    run_id = client.create_run(experiment).info.run_id
    model = serve_texts(text_model(base / "bert", LabelKind.TAGS))
    logged = log_model(client, model, run_id=run_id)
    version = register_model(client, logged, name="tags")
    client.set_registered_model_alias("tags", "champion", version)
    words = {"tokens": [["Maria", "works"], ["Berlin"]]}
    rows = predict_without_runner(uri, "models:/tags@champion", words, tmp_path)

    assert [len(row["tags"]) for row in rows] == [2, 1]
    assert {tag for row in rows for tag in row["tags"]} <= set(TAGS)


@pytest.mark.slow
@pytest.mark.server
def test_models_serve_answers_texts_and_refuses_an_empty_one(base: Path, tmp_path: Path):
    model = text_model(base / "bert", LabelKind.CLASS, cleaning={**AS_IT_IS, "lower": True})
    save_model(tmp_path / "model", serve_texts(model))
    expected = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(
        [{"text": text} for text in TEXTS]
    )
    with models_serve(tmp_path / "model") as address:
        rows = ask(
            address, {"dataframe_split": {"columns": ["text"], "data": [[t] for t in TEXTS]}}
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(address, {"dataframe_records": [{"text": "a fox"}, {"text": " "}]})

    assert [row["label"] for row in rows["predictions"]] == list(expected["label"])
    assert caught.value.code == 400
    told = json.loads(caught.value.read())
    assert "row 1 (counted from 0): the column 'text' holds an empty text" in told["message"]
