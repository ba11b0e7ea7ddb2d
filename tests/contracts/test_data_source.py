"""What holds for every kind of source, run over all of them."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from runner.data import (
    Source,
    data_fingerprint,
    load_pixels,
    make_split,
    manifest_of,
    open_source,
)
from runner.errors import RunnerError
from runner.experiment import (
    BundledData,
    DataSettings,
    FolderData,
    HuggingFaceData,
    ManifestData,
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


def bundled(name: str) -> Callable[[Path], DataSettings]:
    return lambda base: BundledData(source="bundled", name=name, size=COUNT)


SOURCES = {
    "folder": folder,
    "folder with splits": folder_with_splits,
    "csv": csv_manifest,
    "parquet": parquet_manifest,
    "torchvision arrays": torchvision_arrays,
    "torchvision files": torchvision_files,
    "huggingface": huggingface,
    "digits": bundled("digits"),
    "cat-faces": bundled("cat-faces"),
    "glyphs": bundled("glyphs"),
}


@pytest.fixture(scope="module", params=SOURCES)
def place(request, tmp_path_factory) -> tuple[Path, DataSettings]:
    """A folder with data in it, and the settings that name them."""
    base = tmp_path_factory.mktemp("data")
    return base, SOURCES[request.param](base)


@pytest.fixture(scope="module")
def source(place) -> Source:
    base, settings = place
    return open_source(settings, base=base, cache=base / "cache")


def test_ids_are_unique_sorted_and_hold_no_machine_path(place, source):
    ids = [example.id for example in source.examples]

    assert ids == sorted(set(ids))
    assert not any(str(place[0]) in id_ for id_ in ids)


def test_labels_index_the_classes_and_every_class_occurs(source):
    assert {example.label for example in source.examples} == set(range(len(source.classes)))
    assert len(set(source.classes)) == len(source.classes) >= 2


def test_digests_are_sha256_and_differ_for_different_images(source):
    digests = {example.digest for example in source.examples}

    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in digests)
    assert len(digests) == len(source.examples)


def test_images_are_rgb_and_the_same_each_time(source):
    for index in (0, len(source.examples) - 1):
        first, second = source.image(index), source.image(index, enough=8)
        assert first.mode == "RGB"
        assert first.size == second.size
        assert np.array_equal(np.asarray(first), np.asarray(second))


def test_image_beyond_the_end_is_refused(source):
    count = len(source.examples)

    with pytest.raises(IndexError, match=f"has {count} examples, asked for {count}"):
        source.image(count)


def test_opening_again_gives_the_same_with_and_without_a_cache(place, source):
    base, settings = place
    for cache in (base / "cache", None):
        again = open_source(settings, base=base, cache=cache)
        assert again.examples == source.examples
        assert again.classes == source.classes
        assert again.flip_is_safe == source.flip_is_safe
        assert data_fingerprint(again) == data_fingerprint(source)


def test_manifest_covers_every_example(source):
    assert list(manifest_of(source)) == [example.id for example in source.examples]


def test_nothing_is_unreadable(source):
    assert source.unreadable == ()


def test_source_can_be_split_and_each_part_holds_every_class(source):
    split = make_split(source, train=0.6, validation=0.2, test=0.2, seed=0)

    parts = (split.train, split.validation, split.test)
    assert sorted(p for part in parts for p in part) == list(range(len(source.examples)))
    for part in parts:
        assert {source.examples[p].label for p in part} == set(range(len(source.classes)))


def test_pixels_can_be_stored_and_read_by_a_second_opening(place, source):
    base, settings = place
    options = {"resolution": 16, "interpolation": "bilinear", "cache": base / "cache"}
    stored = load_pixels(source, [0, 1, 2], threads=2, **options)

    again = open_source(settings, base=base, cache=base / "cache")

    assert stored.shape == (3, 16, 16, 3)
    assert np.array_equal(stored, load_pixels(again, [0, 1, 2], threads=1, **options))


@pytest.mark.parametrize(
    "settings",
    [
        FolderData(source="folder", path="nowhere"),
        ManifestData(source="manifest", path="nowhere.csv"),
        TorchvisionData(source="torchvision", name="MNIST", root="nowhere"),
        TorchvisionData(source="torchvision", name="NoSuchSet", root="nowhere"),
    ],
    ids=lambda settings: f"{settings.source}",
)
def test_data_that_are_not_there_are_refused_in_our_words(settings, tmp_path):
    with pytest.raises(RunnerError, match=r"nowhere|NoSuchSet") as caught:
        open_source(settings, base=tmp_path, cache=None)

    assert caught.value.exit_code == 4
