"""Examples by their ids: pictures or texts, from data that may have changed."""

from pathlib import Path

import pytest
from PIL import Image

from runner.data import open_source
from runner.errors import NotFound
from runner.experiment import Experiment, Store
from runner.report.examples import Examples

MODEL = {"name": "resnet18", "weights": "none"}


def opened(store: Store, task: str, data: dict[str, object]) -> tuple[Examples, list[str]]:
    """What shows the examples of some data, and their ids."""
    asked = {"name": "x", "task": task, "data": data, "model": MODEL, "search": {"space": {}}}
    experiment = Experiment.from_resolved(asked)
    form = experiment.form
    assert form.labels is not None
    assert form.modality is not None
    source = open_source(
        experiment.data, labels=form.labels, modality=form.modality, base=Path(), cache=None
    )
    return Examples(experiment, store), [example.id for example in source.examples]


def test_examples_of_texts_are_texts_and_one_that_is_gone_is_named(
    store: Store, tmp_path: Path
) -> None:
    table = tmp_path / "reviews.csv"
    table.write_text("text,label\nvery good 很好,a\nvery bad,b\n", encoding="utf-8")
    data = {"source": "table", "path": str(table)}

    show, ids = opened(store, "text_classification", data)

    assert [show(name) for name in ids] == ["very good 很好", "very bad"]
    with pytest.raises(NotFound, match=r"has no example 'gone' any more; it has 2 examples"):
        show("gone")


def test_examples_of_sentences_are_their_words(store: Store, tmp_path: Path) -> None:
    sentences = tmp_path / "news.conll"
    sentences.write_text("Angela B-PER\nspoke O\n\nNobody O\n", encoding="utf-8")
    data = {"source": "conll", "path": str(sentences)}

    show, ids = opened(store, "token_classification", data)

    assert [show(name) for name in ids] == [("Angela", "spoke"), ("Nobody",)]


def test_examples_of_images_are_pictures(store: Store, tmp_path: Path) -> None:
    for name, colour in (("cat", "red"), ("dog", "blue")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            picture = Image.new("RGB", (20 + number, 10), colour)
            picture.save(tmp_path / "photos" / name / f"{number}.png")
    data = {"source": "folder", "path": str(tmp_path / "photos")}

    show, ids = opened(store, "image_classification", data)
    picture = show(ids[-1])

    assert isinstance(picture, Image.Image)
    assert picture.getpixel((3, 3)) == (0, 0, 255)
