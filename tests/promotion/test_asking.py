"""Asking a loaded model: its signature decides what is asked, rows come back in order."""

import json
import os
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc.model import PythonModel
from PIL import Image

from runner.errors import DataError
from runner.experiment import LabelKind
from runner.models import build_model, input_spec
from runner.promotion import asking
from runner.promotion.answers import Answers
from runner.promotion.asking import answers_of
from runner.promotion.image_packaging import ImageModel, serve_images
from runner.promotion.inputs import Given, InputFile
from runner.promotion.packaging import save_model
from tests.promotion.text_models import TEXTS, loaded, text_model


@pytest.fixture(scope="module")
def texts(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return loaded(tmp_path_factory.mktemp("texts"), text_model(base / "bert", LabelKind.CLASS))


@pytest.fixture(scope="module")
def words(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return loaded(tmp_path_factory.mktemp("words"), text_model(base / "bert", LabelKind.TAGS))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Any:
    network = build_model(
        "test_resnet",
        num_classes=2,
        weights=None,
        arguments={},
        dropout=0.0,
        drop_path=0.0,
        seed=0,
    )
    wanted = input_spec("test_resnet", {})
    answers = Answers(LabelKind.CLASS, ("ape", "image"))
    model = ImageModel("test_resnet", {}, answers, wanted, wanted.size)
    folder = tmp_path_factory.mktemp("images") / "model"
    save_model(folder, serve_images(model, network.state_dict()))
    return mlflow.pyfunc.load_model(str(folder))


def test_answers_of_texts_are_those_of_the_model_with_the_text(texts: Any):
    rows = answers_of(texts, TEXTS, name="films")
    expected = texts.predict(pd.DataFrame({"text": TEXTS}))

    assert [row["text"] for row in rows] == TEXTS
    assert [row["label"] for row in rows] == list(expected["label"])
    assert list(rows[0])[:3] == ["text", "label", "probability"]


def test_answers_of_a_file_are_in_its_order(texts: Any, tmp_path: Path):
    file = tmp_path / "films.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), "utf-8")

    assert answers_of(texts, InputFile(file), name="films") == answers_of(
        texts, TEXTS, name="films"
    )


def test_answers_of_words_come_from_sentences_and_lists_together(words: Any):
    rows = answers_of(words, [["Maria", "works"], "Maria works", "Berlin"], name="tags")

    assert rows[0]["tokens"] == ["Maria", "works"]
    assert rows[0]["tags"] == rows[1]["tags"]
    assert [len(row["tags"]) for row in rows] == [2, 2, 1]


def test_answers_of_images_are_by_file_and_no_class_hides_it(images: Any, tmp_path: Path):
    files = [tmp_path / f"{side}.png" for side in (40, 60)]
    for file in files:
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(file)
    rows = answers_of(images, files, name="apes")

    assert [row["image"] for row in rows] == [str(file) for file in files]
    assert list(rows[0]) == ["image", "label", "probability", "ape", "class image"]


def test_answers_of_a_broken_image_name_the_file(images: Any, tmp_path: Path):
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(good)
    broken.write_bytes(b"no image")
    table = tmp_path / "images.csv"
    table.write_text("image\ngood.png\nbroken.png\n", "utf-8")

    with pytest.raises(DataError) as caught:
        answers_of(images, [good, broken], name="apes")
    assert str(caught.value).startswith(
        f"{broken}: the column 'image' holds no readable image: not an image, or of none of"
    )
    with pytest.raises(DataError) as caught:
        answers_of(images, InputFile(table), name="apes")
    assert str(caught.value).startswith(f"{table}, line 3: the column 'image' holds no readable")


def test_answers_of_many_are_asked_some_at_a_time(
    texts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = answers_of(texts, TEXTS, name="films")
    monkeypatch.setattr(asking, "_AT_ONCE", 4)
    rows = answers_of(texts, TEXTS, name="films")

    assert [row["text"] for row in rows] == TEXTS
    assert [row["label"] for row in rows] == [row["label"] for row in whole]


def test_answers_of_nothing_are_none(texts: Any, images: Any):
    assert answers_of(texts, [], name="films") == []
    assert answers_of(images, [], name="apes") == []


class _Doubler(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input * 2


def test_model_that_takes_something_else_is_refused(tmp_path: Path):
    frame = pd.DataFrame({"width": [1.0]})
    signature = mlflow.models.infer_signature(frame, frame)
    mlflow.pyfunc.save_model(
        str(tmp_path / "m"), python_model=_Doubler(), signature=signature, pip_requirements=[]
    )
    with pytest.raises(DataError, match="'other' takes neither a column 'image' nor a column 'te"):
        answers_of(mlflow.pyfunc.load_model(str(tmp_path / "m")), ["a"], name="other")


def test_answers_of_a_pipe_do_not_wait_for_it(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    given = Given({"image": tmp_path / "pipe.png"}, "t.csv, line 3")

    with pytest.raises(DataError, match="line 3: the image cannot be read: a folder, pipe"):
        asking._asked(given, "image")
