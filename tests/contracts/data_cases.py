"""One source of data of every kind there is, for the suite that runs over all of them."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from runner.experiment import (
    BundledData,
    ConllData,
    DataSettings,
    FolderData,
    HuggingFaceData,
    LabelKind,
    ManifestData,
    Modality,
    TableData,
    TorchvisionData,
)

COUNT = 12  # images a class


def picture(number: int) -> Image.Image:
    random = np.random.default_rng(number)
    return Image.fromarray(random.integers(0, 256, (18, 24, 3), dtype=np.uint8))


def write_images(root: Path, parts: tuple[str, ...] = (".",)) -> None:
    for number in range(2 * COUNT):
        folder = root / parts[number // 2 % len(parts)] / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / f"{number:03d}.png")


def folder(base: Path) -> DataSettings:
    write_images(base / "images")
    return FolderData(source="folder", path="images")


def folder_with_splits(base: Path) -> DataSettings:
    write_images(base / "images", ("train", "train", "val", "test"))
    return FolderData(source="folder", path="images")


def manifest_rows(base: Path) -> pd.DataFrame:
    write_images(base / "images")
    paths = sorted((base / "images").rglob("*.png"))
    return pd.DataFrame(
        {
            "path": [path.relative_to(base).as_posix() for path in paths],
            "label": [path.parent.name for path in paths],
            "group": [f"g{int(path.stem) // 2 % 8}" for path in paths],
        }
    )


def csv_manifest(base: Path) -> DataSettings:
    manifest_rows(base).to_csv(base / "m.csv", index=False)
    return ManifestData(source="manifest", path="m.csv")


def parquet_manifest(base: Path) -> DataSettings:
    manifest_rows(base).to_parquet(base / "m.parquet")
    return ManifestData(source="manifest", path="m.parquet")


def torchvision_arrays(base: Path) -> DataSettings:
    raw = base / "MNIST" / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, count in (("train", 60), ("t10k", 20)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        for kind, values in (("images", images), ("labels", np.arange(count) % 10)):
            header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
            name = f"{part}-{kind}-idx{values.ndim}-ubyte"
            (raw / name).write_bytes(header + values.astype(np.uint8).tobytes())
    return TorchvisionData(source="torchvision", name="MNIST", root=".")


def torchvision_files(base: Path) -> DataSettings:
    root = base / "eurosat" / "2750"
    write_images(root)
    return TorchvisionData(source="torchvision", name="EuroSAT", root=".")


def huggingface(base: Path) -> DataSettings:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = {
        "image": [picture(number) for number in range(2 * COUNT)],
        "label": [number % 2 for number in range(2 * COUNT)],
    }
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(base / "saved"))
    return HuggingFaceData(source="huggingface", name="saved")


def bundled(name: str, size: int = COUNT) -> Callable[[Path], DataSettings]:
    return lambda base: BundledData(source="bundled", name=name, size=size)


def manifest_of_kind(base: Path, **columns: object) -> Path:
    manifest_rows(base).drop(columns=["label", "group"]).assign(**columns).to_csv(
        base / "m.csv", index=False
    )
    return base / "m.csv"


def image_labels(base: Path) -> DataSettings:
    rows = range(2 * COUNT)
    manifest_of_kind(base, big=[int(n % 3 == 0) for n in rows], red=[n % 2 for n in rows])
    return ManifestData(source="manifest", path="m.csv", label_columns=["big", "red"])


def image_numbers(base: Path) -> DataSettings:
    manifest_of_kind(base, label=[n * 1.5 for n in range(2 * COUNT)])
    return ManifestData(source="manifest", path="m.csv")


def text_rows() -> pd.DataFrame:
    """Rows for every kind of label; texts with what trips readers up."""
    rows = range(2 * COUNT)
    return pd.DataFrame(
        {
            "text": [f'No. {n}, "quoted"; ünï\u2028code\n第{n}行' for n in rows],
            "second": [f"reply {n}" for n in rows],
            "label": [("pos", "neg")[n % 2] for n in rows],
            "score": [n / 4 for n in rows],
            "topics": [("a", "a|b", "", "c|b")[n % 4] for n in rows],
            "tokens": [f"Ann {n} left Rome" for n in rows],
            "tags": [("B-PER I-PER O B-LOC", "B-PER O O O")[n % 2] for n in rows],
        }
    )


def table(suffix: str, **settings: object) -> Callable[[Path], DataSettings]:
    def write(base: Path) -> DataSettings:
        frame, path = text_rows(), base / f"t{suffix}"
        if suffix == ".jsonl":
            frame.to_json(path, orient="records", lines=True, force_ascii=False)
        elif suffix == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
        return TableData(source="table", path=path.name, **settings)

    return write


def table_in_parts(base: Path) -> DataSettings:
    frame = text_rows()
    for name, rows in (("train", slice(14)), ("dev", slice(14, 18)), ("test", slice(18, None))):
        frame[rows].to_csv(base / f"{name}.csv", index=False)
    return TableData(
        source="table", path="train.csv", validation_path="dev.csv", test_path="test.csv"
    )


def conll(base: Path) -> DataSettings:
    frame = text_rows()
    sentences = [
        "".join(f"{word}\t{tag}\n" for word, tag in zip(words.split(), tags.split(), strict=True))
        for words, tags in zip(frame["tokens"], frame["tags"], strict=True)
    ]
    (base / "t.conll").write_text("-DOCSTART-\tO\n\n" + "\n".join(sentences))
    return ConllData(source="conll", path="t.conll")


def hub_texts(base: Path) -> DataSettings:
    datasets = pytest.importorskip("datasets")
    frame = text_rows().drop(columns=["tokens", "tags"])
    datasets.Dataset.from_pandas(frame).save_to_disk(str(base / "saved"))
    return HuggingFaceData(source="huggingface", name="saved")


def hub_tags(base: Path) -> DataSettings:
    datasets = pytest.importorskip("datasets")
    frame = text_rows()
    names = ["O", "B-PER", "I-PER", "B-LOC"]
    tags = datasets.ClassLabel(names=names)
    features = {
        "tokens": datasets.Sequence(datasets.Value("string")),
        "tags": datasets.Sequence(tags),
    }
    rows = {
        "tokens": [words.split() for words in frame["tokens"]],
        "tags": [[names.index(tag) for tag in tags.split()] for tags in frame["tags"]],
    }
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    made.save_to_disk(str(base / "saved"))
    return HuggingFaceData(source="huggingface", name="saved")


@dataclass(frozen=True)
class Case:
    """A kind of source: how to make one, and what it is opened as."""

    make: Callable[[Path], DataSettings]
    labels: LabelKind = LabelKind.CLASS
    modality: Modality = Modality.IMAGE


def texts(make: Callable[[Path], DataSettings], labels: LabelKind = LabelKind.CLASS) -> Case:
    return Case(make, labels, Modality.TEXT)


IMAGES = {
    "folder": Case(folder),
    "folder with splits": Case(folder_with_splits),
    "csv": Case(csv_manifest),
    "parquet": Case(parquet_manifest),
    "several labels": Case(image_labels, LabelKind.CLASSES),
    "numbers": Case(image_numbers, LabelKind.NUMBER),
    "torchvision arrays": Case(torchvision_arrays),
    "torchvision files": Case(torchvision_files),
    "huggingface": Case(huggingface),
    "digits": Case(bundled("digits")),
    "cat-faces": Case(bundled("cat-faces")),
    "glyphs": Case(bundled("glyphs")),
}
TEXTS = {
    "text csv": texts(table(".csv")),
    "text tsv": texts(table(".tsv")),
    "text jsonl": texts(table(".jsonl")),
    "text parquet": texts(table(".parquet")),
    "text pairs": texts(table(".csv", pair_column="second")),
    "text numbers": texts(table(".jsonl", label_column="score"), LabelKind.NUMBER),
    "text labels": texts(
        table(".csv", label_column="topics", label_separator="|"), LabelKind.CLASSES
    ),
    "text tags": texts(table(".csv"), LabelKind.TAGS),
    "text parts": texts(table_in_parts),
    "conll": texts(conll, LabelKind.TAGS),
    "hub texts": texts(hub_texts),
    "hub tags": texts(hub_tags, LabelKind.TAGS),
    "docstrings": texts(bundled("docstrings", 60)),
}
