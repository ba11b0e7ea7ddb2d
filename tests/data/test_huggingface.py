"""Hugging Face datasets, written and read here; the hub is a port where nobody listens."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from runner.data.errors import DataSettingError
from runner.data.example import Part, Source
from runner.data.hub_columns import HubTable
from runner.data.hub_loading import HubPlace
from runner.data.huggingface import HubColumns, huggingface_source
from runner.data.labels import LabelColumns
from runner.errors import DataError
from runner.experiment import LabelKind

datasets = pytest.importorskip("datasets")


def opened(local: Path, *, columns: HubColumns = HubColumns(), **changes) -> Source:  # noqa: B008
    settings = {"max_unreadable": 0.0, "cache": None, **changes}
    return huggingface_source(HubPlace(str(local), local=local), columns=columns, **settings)


def table(
    count: int, *, labels: list[int] | None = None, names: tuple[str, ...] = ("dog", "cat")
) -> object:
    random = np.random.default_rng(count)
    pictures = [
        Image.fromarray(random.integers(0, 256, (10, 12, 3), dtype=np.uint8)) for _ in range(count)
    ]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
    )
    given = labels or [n % 2 for n in range(count)]
    return datasets.Dataset.from_dict({"image": pictures, "label": given}, features=features)


@pytest.fixture
def saved(tmp_path) -> Path:
    """A set with splits, as `save_to_disk` writes it."""
    parts = {"train": table(6), "validation": table(4), "test": table(2)}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_saved_set_gives_splits_and_the_names_in_their_order(saved):
    source = opened(saved)

    assert source.classes == ("dog", "cat")
    assert len(source.examples) == 12
    parts = [example.split for example in source.examples]
    assert (parts.count(Part.TRAIN), parts.count(Part.VALIDATION)) == (6, 4)
    assert source.image(0).size == (12, 10)


def test_one_split_alone_is_no_given_split(tmp_path):
    datasets.DatasetDict({"train": table(6)}).save_to_disk(str(tmp_path / "saved"))

    assert {example.split for example in opened(tmp_path / "saved").examples} == {None}


def test_folder_of_images_is_read_by_datasets(make_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    source = opened(make_folder({"cat": 2, "dog": 2}))

    assert source.classes == ("cat", "dog")
    assert len(source.examples) == 4


def floats(tmp_path: Path, labels: list[float | None]) -> Path:
    """A set of images, each with a number."""
    numbered = table(len(labels)).remove_columns("label").add_column("label", labels)
    numbered.save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_number_that_is_none_is_refused_with_its_row(tmp_path, broken):
    saved = floats(tmp_path, [1.0, 2.5, broken, 3.0])

    with pytest.raises(DataError, match=r"all row 2: the 'label' cell should be a finite number"):
        opened(saved, kind=LabelKind.NUMBER)


def test_class_that_is_not_a_number_counts_as_missing(tmp_path, caplog):
    source = opened(floats(tmp_path, [1.0, 2.0, float("nan"), 2.0]))

    assert source.classes == ("1.0", "2.0")
    assert "left out 1 row without a label" in caplog.text


def test_class_without_a_name_is_refused_with_its_row(tmp_path):
    plain = table(3).remove_columns("label").add_column("label", ["a", " ", "b"])
    plain.save_to_disk(str(tmp_path / "saved"))

    with pytest.raises(DataError, match=r"all row 1: the 'label' cell is empty"):
        opened(tmp_path / "saved")


def test_rows_without_a_label_are_left_out_and_told(tmp_path, caplog):
    table(4, labels=[0, 1, -1, -1]).save_to_disk(str(tmp_path / "saved"))

    assert len(opened(tmp_path / "saved").examples) == 2
    assert "left out 2 rows without a label" in caplog.text


def test_class_of_minus_one_is_one_where_classes_have_no_names(tmp_path):
    """Fails where -1 always says that a label is missing: all negative examples would be gone."""
    rows = table(6).remove_columns("label").add_column("label", [-1, 0, 1, -1, 0, 1])
    rows.save_to_disk(str(tmp_path / "saved"))

    source = opened(tmp_path / "saved")

    assert source.classes == ("-1", "0", "1")
    assert [source.classes[each.label] for each in source.examples] == ["-1", "0", "1"] * 2


def test_part_whose_classes_are_all_minus_one_has_none(tmp_path, caplog):
    rows = table(3).remove_columns("label")
    parts = {
        "train": rows.add_column("label", [0, 1, 1]),
        "test": rows.add_column("label", [-1, -1, -1]),
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))

    assert len(opened(tmp_path / "saved").examples) == 3
    assert "left out 3 rows without a label" in caplog.text


def test_class_that_never_occurs_is_left_out_and_told(tmp_path, caplog):
    rows = table(4, labels=[0, 2, 0, 2], names=("dog", "emu", "cat"))
    rows.save_to_disk(str(tmp_path / "saved"))

    source = opened(tmp_path / "saved")

    assert source.classes == ("dog", "cat")
    assert [example.label for example in source.examples] == [0, 1, 0, 1]
    assert "left out 1 class without an example: emu" in caplog.text


NO_IMAGES = {
    "neither": ({"bytes": None, "path": None}, "cannot be read: no image"),
    "null": (None, "cannot be read: no image"),
    "elsewhere": ("{tmp_path}/images/dog/000.png", "is not in the data set's own folder"),
    "by a link": ("{tmp_path}/set/all/dog/000.png", "is not in the data set's own folder"),
    "upwards": ("{tmp_path}/set/../images/dog/000.png", "is not in the data set's own folder"),
    "device": ("/dev/zero", "is not in the data set's own folder"),
    "pipe": ("{tmp_path}/set/pipe.png", "a folder, pipe or device, not a file"),
}


@pytest.mark.parametrize("case", NO_IMAGES)
def test_table_that_names_no_image_of_its_own_is_told(case, make_folder, tmp_path, monkeypatch):
    """Taken out: the fence, the look at the kind of file, and that at a cell without an image."""
    cell, message = NO_IMAGES[case]
    if isinstance(cell, str):
        cell = {"bytes": None, "path": cell.format(tmp_path=tmp_path)}
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    images = make_folder({"cat": 1, "dog": 1})
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "all").symlink_to(images)
    (tmp_path / "here").symlink_to(tmp_path / "set")
    os.mkfifo(tmp_path / "set" / "pipe.png")
    (tmp_path / "set" / "own.png").write_bytes((images / "cat" / "000.png").read_bytes())
    own = {"bytes": None, "path": str(tmp_path / "set" / "own.png")}
    bytes_ = {"bytes": (images / "dog" / "000.png").read_bytes(), "path": "/elsewhere.png"}
    rows = [{"image": each, "label": n % 2} for n, each in enumerate([own, bytes_, cell])]
    names = datasets.ClassLabel(names=["a", "b"])
    features = datasets.Features({"image": datasets.Image(), "label": names})
    table_ = pa.Table.from_pylist(rows, schema=features.arrow_schema)
    parquet.write_table(table_, tmp_path / "set" / "train.parquet")

    source = opened(tmp_path / "here", max_unreadable=0.4)

    assert [example.id for example in source.examples] == ["all/000000", "all/000001"]
    assert message in source.unreadable[0]


def test_scan_is_remembered(saved, tmp_path):
    first = opened(saved, cache=tmp_path / "cache")
    second = opened(saved, cache=tmp_path / "cache")

    assert first.examples == second.examples
    assert len(list((tmp_path / "cache" / "scans").iterdir())) == 1


@pytest.mark.parametrize(
    ("columns", "key", "message"),
    [
        (HubColumns(image="img"), "data.image_column", "columns are image (Image), label (Class"),
        (HubColumns(image="label"), "data.image_column", "has no images in this column"),
        (HubColumns(labels=LabelColumns("labels")), "data.label_column", "did you mean 'label'?"),
        (
            HubColumns(labels=LabelColumns("image")),
            "data.label_column",
            "no such column beside the images",
        ),
    ],
)
def test_column_that_is_missing_is_refused_with_those_that_are_there(saved, columns, key, message):
    with pytest.raises(DataSettingError) as caught:
        opened(saved, columns=columns)

    assert caught.value.key == key
    assert message in str(caught.value)


def test_several_labels_and_numbers_of_images_are_read(tmp_path):
    rows = table(4).remove_columns("label")
    mood = datasets.ClassLabel(names=["sad", "glad", "mad"])
    rows = rows.add_column("moods", [[0, 2], [], [2], [0]], feature=datasets.Sequence(mood))
    rows = rows.add_column("age", [1.5, 2.0, -1.0, 8.0])
    rows.save_to_disk(str(tmp_path / "saved"))

    several = opened(
        tmp_path / "saved",
        columns=HubColumns(labels=LabelColumns("moods")),
        kind=LabelKind.CLASSES,
    )
    numbers = opened(
        tmp_path / "saved", columns=HubColumns(labels=LabelColumns("age")), kind=LabelKind.NUMBER
    )

    assert (several.kind, several.classes) == (LabelKind.CLASSES, ("sad", "mad"))
    assert [example.label for example in several.examples] == [(0, 1), (), (1,), (0,)]
    assert (numbers.kind, numbers.classes) == (LabelKind.NUMBER, ())
    assert [example.label for example in numbers.examples] == [1.5, 2.0, -1.0, 8.0]


def test_class_beyond_the_names_is_refused_with_its_row(tmp_path):
    rows = {"image": table(2)["image"], "label": [0, 1]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    plain = datasets.Dataset.from_dict(rows, features=features)
    names = datasets.ClassLabel(names=["dog", "cat"])
    hub_table = HubTable("here", None, plain)
    plain.info.features = datasets.Features({**features, "label": names})
    plain._data = plain._data.set_column(1, "label", [[0, 5]])

    with pytest.raises(DataError, match="here, all row 1: the 'label' cell holds class 5, but"):
        list(hub_table.cells("label"))


def test_splits_without_train_are_refused(tmp_path):
    datasets.DatasetDict({"test": table(2), "extra": table(2)}).save_to_disk(
        str(tmp_path / "saved")
    )

    with pytest.raises(DataError, match="has the splits test, extra but none called train"):
        opened(tmp_path / "saved")


def test_folder_that_is_no_data_set_is_refused(tmp_path):
    (tmp_path / "notes").mkdir()

    with pytest.raises(DataSettingError, match="cannot load this folder"):
        opened(tmp_path / "notes")


OFFLINE = """
import time
from runner.data.hub_loading import HubPlace
from runner.data.huggingface import HubColumns, huggingface_source
import datasets
started = time.monotonic()
try:
    huggingface_source(HubPlace("nobody/nothing"), columns=HubColumns(), max_unreadable=0.0,
                       cache=None)
except Exception as err:
    print(type(err).__name__, time.monotonic() - started, err)
"""


@pytest.mark.slow
def test_hub_that_cannot_be_reached_is_told_within_seconds(tmp_path):
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "PATH": "/bin"}

    told = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout

    kind, seconds, message = told.split(" ", 2)
    assert kind == "DataError"
    assert float(seconds) < 10
    assert "hub cannot be reached and nobody/nothing is not in the local cache" in message
    assert "name a local folder in data.name" in message


def test_missing_package_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    started_s = time.monotonic()

    with pytest.raises(DataError, match=r"pip install 'datasets>=4'"):
        opened(tmp_path)

    assert time.monotonic() - started_s < 5
