"""The decoded store: right pixels, one file a part, damage noticed, writers side by side."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runner.data import pixels
from runner.data.budget import Allowance
from runner.data.example import Example, Source
from runner.data.pixels import load_pixels
from runner.data.square_sets import FreshSquares, Squares, in_chunks
from runner.data.transform import centre_square


class Album:
    """A source of plain pictures that counts how many were decoded."""

    def __init__(self, count: int = 6) -> None:
        self.decoded: list[int] = []
        examples = tuple(Example(f"{n}.png", n % 2, f"{n:064x}") for n in range(count))
        self.source = Source("album", ("a", "b"), examples, (), True, self._read)

    def _read(self, index: int, enough: int | None) -> Image.Image:
        self.decoded.append(index)
        random = np.random.default_rng(index)
        return Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8))

    def open(self, indices, cache: Path | None, **changes) -> Squares:
        options = {"resolution": 16, "interpolation": "bilinear", "threads": 2, **changes}
        return load_pixels(self.source, indices, cache=cache, **options)

    def load(self, indices, cache: Path | None, **changes) -> np.ndarray:
        """All of them, in their order."""
        return self.open(indices, cache, **changes).take(np.arange(len(indices)))


@pytest.fixture
def album() -> Album:
    return Album()


@pytest.mark.parametrize("has_cache", [True, False])
def test_load_pixels_gives_squares_in_the_asked_order(album, tmp_path, has_cache):
    pixels = album.load([4, 0, 2], tmp_path if has_cache else None)

    assert pixels.shape == (3, 16, 16, 3)
    assert pixels.dtype == np.uint8
    for row, index in enumerate([4, 0, 2]):
        expected = centre_square(
            album.source.image(index), resolution=16, interpolation="bilinear"
        )
        assert np.array_equal(pixels[row], expected)


def test_second_load_decodes_nothing(album, tmp_path):
    first = album.load([0, 1], tmp_path)
    album.decoded.clear()
    second = album.load([0, 1], tmp_path)

    assert album.decoded == []
    assert np.array_equal(first, second)


def test_load_decodes_only_what_was_asked_for(album, tmp_path):
    album.load([0, 1], tmp_path)

    assert sorted(album.decoded) == [0, 1]


@pytest.mark.parametrize(
    "change", [{"resolution": 17}, {"interpolation": "nearest"}, {"indices": [1, 0]}]
)
def test_any_other_request_is_another_entry(album, tmp_path, change):
    album.load([0, 1], tmp_path)
    album.decoded.clear()
    album.load(change.pop("indices", [0, 1]), tmp_path, **change)

    assert sorted(album.decoded) == [0, 1]


def entry(cache: Path) -> Path:
    (path,) = (cache / "pixels").iterdir()
    return path


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def overwritten(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


def another_shape(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((1, 16, 32, 3), dtype=np.uint8))


@pytest.mark.parametrize("damage", [cut_short, grown, emptied, overwritten, another_shape])
def test_damaged_entry_is_made_again(album, tmp_path, damage):
    before = np.array(album.load([0, 1], tmp_path))
    damage(entry(tmp_path))
    album.decoded.clear()

    after = album.load([0, 1], tmp_path)

    assert sorted(album.decoded) == [0, 1]
    assert np.array_equal(before, after)


def test_failed_decoding_leaves_no_file(album, tmp_path):
    def broken(index: int, enough: int | None) -> Image.Image:
        raise RuntimeError("decoder broke")

    source = Source("album", ("a", "b"), album.source.examples, (), True, broken)

    with pytest.raises(RuntimeError, match="decoder broke"):
        load_pixels(
            source, [0], resolution=16, interpolation="bilinear", cache=tmp_path, threads=1
        )

    assert list((tmp_path / "pixels").iterdir()) == []


def test_writers_side_by_side_are_both_fine(tmp_path):
    albums = [Album(300) for _ in range(4)]
    start = threading.Barrier(4)

    def load(album: Album) -> np.ndarray:
        start.wait()
        return album.load(range(300), tmp_path)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(load, albums))

    assert all(np.array_equal(results[0], other) for other in results[1:])
    assert entry(tmp_path).suffix == ".npy"


def test_cache_that_cannot_be_written_keeps_pixels_in_memory(album, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")

    squares = album.open([0, 1], tmp_path / "cache")

    assert squares.take(np.arange(2)).shape == (2, 16, 16, 3)
    assert squares.kept.startswith("kept in memory: the disk refused (")
    assert "kept in memory" in caplog.text


NOTHING = Allowance(0)


def test_small_part_without_room_on_disk_is_kept_in_memory(album, tmp_path):
    squares = album.open([3, 1], tmp_path, allowance=NOTHING)
    album.decoded.clear()

    squares.take(np.array([0, 1]))

    assert album.decoded == []
    assert squares.kept == (
        "kept in memory: 2.5 KiB do not fit into the 0 KiB that reuse.data_gib leaves"
    )
    assert list(tmp_path.glob("*/*")) == []


@pytest.fixture
def nothing_is_small(monkeypatch) -> None:
    monkeypatch.setattr(pixels, "SMALL_BYTES", 0)


@pytest.mark.parametrize("threads", [1, 3])
def test_large_part_without_room_is_decoded_each_time(album, tmp_path, nothing_is_small, threads):
    stored = album.open([4, 0, 2, 5], tmp_path / "roomy")
    fresh = album.open([4, 0, 2, 5], tmp_path / "full", allowance=NOTHING, threads=threads)
    album.decoded.clear()

    for _ in range(2):
        asked = np.array([3, 1, 1])
        assert np.array_equal(fresh.take(asked), stored.take(asked))

    assert sorted(album.decoded) == [0, 0, 0, 0, 5, 5]
    assert fresh.kept.startswith("decoded in every epoch: 4 KiB do not fit into the 0 KiB")
    assert (fresh.shape, fresh.nbytes) == (stored.shape, stored.nbytes)
    assert [len(chunk) for chunk in in_chunks(fresh)] == [4]


def test_part_is_kept_once_others_leave_room(album, tmp_path, nothing_is_small):
    room = Allowance(6 * 16 * 16 * 3 / 2**30)
    first = album.open([0, 1, 2], tmp_path, allowance=room)
    second = album.open([3, 4], tmp_path, allowance=room)
    assert (first.kept, isinstance(second, FreshSquares)) == ("kept on disk", True)

    del first
    again = album.open([3, 4], tmp_path, allowance=room)

    assert again.kept == "kept on disk"
    assert entry(tmp_path).suffix == ".npy"


def test_no_examples_give_an_empty_array(album, tmp_path):
    assert album.load([], tmp_path).shape == (0, 16, 16, 3)
