"""The file of one set: what a writer leaves, and what a reader accepts."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from runner.data.disk import DiskRefused
from runner.reuse import set_file
from runner.reuse.chunks import Extent
from runner.reuse.features import Features
from runner.reuse.rows import as_block
from runner.reuse.set_file import SetFile, read_set, set_bytes
from tests.reuse.conftest import CUTS, padded, rows_at

EXTENT = Extent(10, 4)
EVERY_ROW = torch.arange(10)


def write(path: Path, cut: str, *, chunks=(2, 0, 1), is_sealed=True) -> None:
    """A file with some chunks, written in this order."""
    file = SetFile.working(path, EXTENT, reserve_bytes=10_000)
    for chunk in chunks:
        positions = EXTENT.positions(chunk)
        file.write(chunk, as_block(rows_at(torch.from_numpy(positions))[cut], len(positions)))
    if is_sealed:
        file.seal()
    file.close()


def expected(cut: str) -> torch.Tensor:
    rows = rows_at(EVERY_ROW)[cut]
    return rows if cut == "dense" else padded(rows)


@pytest.fixture(params=["in memory", "mapped"])
def size(request, monkeypatch) -> str:
    """Whether sets count as small."""
    if request.param == "mapped":
        monkeypatch.setattr(set_file, "IN_MEMORY_BYTES", 0)
    return request.param


@pytest.mark.parametrize("cut", CUTS)
def test_set_is_read_as_it_was_written_in_any_order_of_chunks(tmp_path, cut, size):
    write(tmp_path / "set", cut)

    features = read_set(tmp_path / "set", EXTENT)

    assert features.is_in_memory == (size == "in memory")
    assert torch.equal(features.all(), expected(cut))
    assert features.shape == tuple(expected(cut).shape)
    assert features.dtype == torch.float32
    assert features.nbytes == {"dense": 10 * 5 * 4, "ragged": 20 * 3 * 4}[cut]


@pytest.mark.parametrize("cut", CUTS)
def test_set_outlives_the_removal_of_its_file(tmp_path, cut, size):
    write(tmp_path / "set", cut)
    features = read_set(tmp_path / "set", EXTENT)

    (tmp_path / "set").unlink()

    assert torch.equal(features.all(), expected(cut))


@pytest.mark.parametrize("cut", CUTS)
def test_set_without_one_chunk_is_no_set(tmp_path, cut):
    write(tmp_path / "set", cut, chunks=(0, 2))

    assert read_set(tmp_path / "set", EXTENT) is None


@pytest.mark.parametrize("cut", CUTS)
def test_set_that_is_cut_short_anywhere_is_no_set(tmp_path, cut):
    path = tmp_path / "set"
    write(path, cut)
    whole = path.read_bytes()

    for kept in (0, 10, 4095, 4097, 8192, len(whole) - 1):
        path.write_bytes(whole[:kept])
        assert read_set(path, EXTENT) is None, kept


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 20_000,
        b"[]",
        b'{"version": 0}',
        b'{"version": 1, "dtype": "float32", "shape": 5, "is_ragged": false}',
        b'{"version": 1, "dtype": "float31", "shape": [5], "is_ragged": false}',
    ],
)
def test_file_that_is_something_else_is_no_set(tmp_path, content):
    (tmp_path / "set").write_bytes(content + bytes(10_000))

    assert read_set(tmp_path / "set", EXTENT) is None


def test_set_of_other_rows_is_no_set(tmp_path):
    write(tmp_path / "set", "dense")

    assert read_set(tmp_path / "set", Extent(11, 4)) is None
    assert read_set(tmp_path / "missing", EXTENT) is None


def test_chunk_that_is_there_is_not_written_again(tmp_path):
    file = SetFile.working(tmp_path / "set", EXTENT, reserve_bytes=0)
    file.write(0, as_block(torch.zeros(4, 2), 4))
    file.write(0, as_block(torch.ones(4, 2), 4))
    file.write(1, as_block(torch.ones(4, 2), 4))
    file.write(2, as_block(torch.ones(2, 2), 2))

    assert file.features().all()[:, 0].tolist() == [0.0] * 4 + [1.0] * 6
    file.close()


def test_rows_unlike_those_of_another_chunk_are_refused(tmp_path):
    file = SetFile.working(tmp_path / "set", EXTENT, reserve_bytes=0)
    file.write(0, as_block(torch.zeros(4, 2), 4))

    with pytest.raises(
        ValueError,
        match=r"rows like RowSpec\(dtype='float32', shape=\(3,\), is_ragged=False\) computed, "
        r"where other chunks have RowSpec\(dtype='float32', shape=\(2,\), is_ragged=False\)",
    ):
        file.write(1, as_block(torch.zeros(4, 3), 4))
    file.close()


def test_writer_that_died_after_taking_room_leaves_a_gap_that_hurts_nobody(tmp_path):
    path = tmp_path / "set"
    dead = SetFile.working(path, EXTENT, reserve_bytes=0)
    dead._reserve(7)
    dead.close()

    write(path, "ragged")

    assert torch.equal(read_set(path, EXTENT).all(), expected("ragged"))


def test_two_writers_of_one_file_see_one_another(tmp_path):
    files = [SetFile.working(tmp_path / "set", EXTENT, reserve_bytes=0) for _ in range(2)]

    files[0].write(1, as_block(torch.ones(4, 2), 4))

    assert files[1].done().tolist() == [False, True, False]
    assert not files[1].is_whole()
    files[1].write(0, as_block(torch.ones(4, 2), 4))
    files[0].write(2, as_block(torch.ones(2, 2), 2))
    for file in files:
        file.seal()
        assert file.is_whole()
        file.close()


def test_one_process_at_a_time_publishes_also_while_the_file_is_mapped(tmp_path):
    write(tmp_path / "set", "dense", is_sealed=False)
    first, second = [SetFile.working(tmp_path / "set", EXTENT, reserve_bytes=0) for _ in range(2)]

    with first.publishing() as is_first:
        with second.publishing() as is_second:
            assert (is_first, is_second) == (True, False)
        mapped: Features = first.features()
    first.close()
    with second.publishing() as is_second:
        assert is_second
    second.close()
    assert len(mapped.all()) == 10


def test_values_that_the_disk_refuses_are_an_error_of_the_disk(tmp_path):
    write(tmp_path / "set", "dense", chunks=(), is_sealed=False)
    file = SetFile(os.open(tmp_path / "set", os.O_RDONLY), EXTENT)

    with pytest.raises(DiskRefused, match="Bad file descriptor"):
        file.write(0, as_block(torch.ones(4, 2), 4))
    file.close()


@pytest.mark.parametrize("cut", CUTS)
def test_file_takes_no_more_than_was_reckoned(tmp_path, cut):
    write(tmp_path / "set", cut)

    mean_bytes = {"dense": 20, "ragged": 24}[cut]
    assert (tmp_path / "set").stat().st_size <= set_bytes(EXTENT, mean_bytes)


def test_ragged_rows_without_a_single_step_are_a_set(tmp_path):
    file = SetFile.working(tmp_path / "set", Extent(2, 4), reserve_bytes=0)
    rows = set_file.Block(
        as_block(rows_at(torch.arange(5))["ragged"], 5).spec,
        np.zeros((0, 3), np.float32),
        np.zeros(2, np.int64),
    )
    file.write(0, rows)
    file.seal()
    file.close()

    assert read_set(tmp_path / "set", Extent(2, 4)).gather(torch.tensor([1, 0])).shape == (2, 0, 3)
