"""Torchvision's sets by name, from files written here; no network."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runner.data.errors import DataSettingError
from runner.data.example import Part, Source
from runner.data.torchvision_sets import TORCHVISION_SETS, _told_apart, torchvision_source
from runner.errors import DataError


def write_idx(path: Path, values: np.ndarray) -> None:
    """MNIST's own file format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


@pytest.fixture
def mnist(tmp_path) -> Path:
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("t10k", 10)):
        folder = tmp_path / "MNIST" / "raw"
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    return tmp_path


@pytest.fixture
def pets(tmp_path) -> Path:
    """Two breeds in the layout of Oxford-IIIT Pet."""
    base = tmp_path / "oxford-iiit-pet"
    (base / "images").mkdir(parents=True)
    (base / "annotations").mkdir()
    lines: dict[str, list[str]] = {"trainval": [], "test": []}
    for number in range(8):
        breed, label = ("Abyssinian", 1) if number % 2 else ("Bengal", 2)
        name = f"{breed}_{number}"
        lines["trainval" if number < 5 else "test"].append(f"{name} {label} 1 {label}")
        Image.new("RGB", (30, 20), (number * 20, 0, 0)).save(base / "images" / f"{name}.jpg")
    for part, content in lines.items():
        (base / "annotations" / f"{part}.txt").write_text("\n".join(content) + "\n")
    return tmp_path


def opened(name: str, root: Path, *, download: bool = False, cache: Path | None = None) -> Source:
    return torchvision_source(name, root=root, download=download, max_unreadable=0.0, cache=cache)


def test_array_set_gives_its_own_splits_and_pixels(mnist):
    source = opened("MNIST", mnist)

    assert len(source.examples) == 30
    assert source.classes[3] == "3 - three"
    assert sum(example.split is Part.TEST for example in source.examples) == 10
    assert not source.flip_is_safe
    from torchvision.datasets import MNIST

    expected = MNIST(mnist, train=False)[7][0].convert("RGB")
    index = [example.id for example in source.examples].index("test/000007")
    assert np.array_equal(np.asarray(source.image(index)), np.asarray(expected))


def test_array_set_is_remembered_until_its_files_change(mnist, tmp_path):
    first = opened("MNIST", mnist, cache=tmp_path / "cache")
    raw = mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    content = bytearray(raw.read_bytes())
    content[-1] ^= 255
    raw.write_bytes(bytes(content))

    second = opened("MNIST", mnist, cache=tmp_path / "cache")

    changed = [
        one.id
        for one, other in zip(first.examples, second.examples, strict=True)
        if one.digest != other.digest
    ]
    assert changed == ["train/000019"]


def test_file_set_gives_its_own_splits_and_names(pets):
    source = opened("OxfordIIITPet", pets)

    assert source.classes == ("Abyssinian", "Bengal")
    assert len(source.examples) == 8
    example = source.examples[0]
    assert example.id == "oxford-iiit-pet/images/Abyssinian_1.jpg"
    assert source.classes[example.label] == "Abyssinian"
    assert example.split is Part.TRAIN
    assert source.flip_is_safe


def test_set_that_does_not_exist_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(DataSettingError, match="did you mean 'Flowers102'") as caught:
        opened("flowers102", tmp_path)

    assert caught.value.key == "data.name"
    assert caught.value.allowed == TORCHVISION_SETS


def test_set_that_is_not_there_is_refused_with_what_to_set(tmp_path):
    with pytest.raises(DataSettingError, match=r"data.download: true to fetch it") as caught:
        opened("Flowers102", tmp_path)

    assert caught.value.key == "data.root"
    assert caught.value.seen == str(tmp_path)


def test_download_without_a_network_says_what_to_do(tmp_path, monkeypatch):
    """The proxy is a port where nobody listens, as good as no network."""
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)

    with pytest.raises(DataError) as caught:
        opened("MNIST", tmp_path, download=True)

    assert "torchvision MNIST cannot be downloaded" in str(caught.value)
    assert "copy the files there" in str(caught.value)


def test_every_supported_name_is_a_torchvision_class():
    from torchvision import datasets

    assert all(hasattr(datasets, name) for name in TORCHVISION_SETS)


def test_gz_files_alone_are_no_complete_set(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"x"))

    with pytest.raises(DataSettingError, match="finds no complete MNIST there"):
        opened("MNIST", tmp_path)


def test_classes_of_one_name_are_told_apart():
    """As ImageNet's two cranes and two maillots; fails where only first words count."""
    names = [("crane",), ("maillot", "tank suit"), ("crane",), ("maillot",), ("tench", "Tinca")]
    assert _told_apart(names) == (
        *("crane (0)", "maillot, tank suit", "crane (2)", "maillot", "tench"),
    )
    assert _told_apart(["cat", "dog"]) == ("cat", "dog")
