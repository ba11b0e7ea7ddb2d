"""A tiny experiment of every task, with data and a model that are made here and mean something."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from runner.experiment import LabelKind, TaskForm
from tests.tiny_text_models import make_tiny_text_model

COUNT = 90
_RED, _BLUE = (220, 40, 40), (40, 40, 220)
_GOOD, _BAD = ("fine", "great", "lovely"), ("awful", "dull", "weak")
_PLAIN = ("film", "plot", "scene", "actor", "story")
_PEOPLE = ("Maria", "Oscar", "Wanda")
_IMAGE_MODEL = {
    "name": "resnet10t",
    "weights": "none",
    "arguments": {"channels": [8, 8, 16, 16], "stem_width": 8},
}


def write_experiment(folder: Path, form: TaskForm, **search: Any) -> Path:
    """The experiment file of a task with its data and model beside it."""
    is_image = str(form.modality) == "image"
    experiment: dict[str, Any] = {
        "name": f"tiny_{form.name}",
        "task": form.name,
        "data": _images(folder, form) if is_image else _texts(folder, form),
        "model": _IMAGE_MODEL if is_image else _text_model(folder),
        "train": {"epochs": 3, "batch_size": 16, "learning_rate": 1e-2},
        "search": {
            "trials": 3,
            "devices": ["cpu"],
            "slots": 1,
            "pruner": "none",
            "space": {"learning_rate": {"float": [3e-3, 3e-2], "log": True}},
            **search,
        },
        "tracking": {"pictures": 1},
    }
    path = folder / f"{experiment['name']}.yaml"
    path.write_text(yaml.safe_dump(experiment))
    return path


def example_inputs(folder: Path, form: TaskForm) -> list[str]:
    """Two examples to predict."""
    if str(form.modality) == "image":
        return [str(folder / "images" / f"{number:03d}.png") for number in (0, 1)]
    return ["a great film by Maria", "a dull plot"]


def _images(folder: Path, form: TaskForm) -> dict[str, Any]:
    """Squares, red on top of blue by a share that is the target."""
    (folder / "images").mkdir(exist_ok=True)
    rows = []
    for number in range(COUNT):
        share = (number * 37 % COUNT) / COUNT
        image = Image.new("RGB", (32, 32), _BLUE)
        image.paste(_RED, (0, 0, 32, round(32 * share)))
        name = f"images/{number:03d}.png"
        image.putpixel((0, 31), (number, number, number))
        image.save(folder / name)
        label: dict[LabelKind | None, Callable[[], str]] = {
            LabelKind.CLASS: lambda s=share: "red" if s > 0.5 else "blue",
            LabelKind.CLASSES: lambda s=share: "|".join(
                name for name, is_there in (("red", s > 0.3), ("blue", s < 0.7)) if is_there
            ),
            LabelKind.NUMBER: lambda s=share: f"{100 * s:.2f}",
        }
        rows.append({"path": name, "label": label[form.labels]()})
    with (folder / "images.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label"])
        writer.writeheader()
        writer.writerows(rows)
    separator = {"label_separator": "|"} if form.labels is LabelKind.CLASSES else {}
    return {"source": "manifest", "path": "images.csv", "image_size": 32, **separator}


def _texts(folder: Path, form: TaskForm) -> dict[str, Any]:
    """Sentences of good or bad words, some with a person's name."""
    draw = random.Random(0)
    rows = []
    for number in range(COUNT):
        is_good, has_person = number % 2 == 0, number % 3 == 0
        words = draw.choices(_PLAIN, k=4) + draw.choices(_GOOD if is_good else _BAD, k=2)
        draw.shuffle(words)
        people = draw.sample(_PEOPLE, 1) if has_person else []
        words = [*people, *words, str(number)]
        rows.append(_text_row(form, words, is_good=is_good, has_person=has_person))
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"source": "table", "path": path.name}


def _text_row(
    form: TaskForm, words: list[str], *, is_good: bool, has_person: bool
) -> dict[str, Any]:
    if form.labels is LabelKind.TAGS:
        return {
            "tokens": words,
            "tags": ["B-person" if word in _PEOPLE else "O" for word in words],
        }
    label: Any = "good" if is_good else "bad"
    if form.labels is LabelKind.CLASSES:
        label = [name for name, holds in (("good", is_good), ("person", has_person)) if holds]
    if form.labels is LabelKind.NUMBER:
        label = 10.0 * is_good + 3.0 * has_person + 5.0
    return {"text": " ".join(words), "label": label}


def _text_model(folder: Path) -> dict[str, Any]:
    words = [*_GOOD, *_BAD, *_PLAIN, *_PEOPLE, "a", "by", *map(str, range(COUNT))]
    make_tiny_text_model(folder / "encoder", sentences=words)
    return {"name": "tiny-bert", "weights": "./encoder"}
