"""The scan is kept by path, size and time of change; damage to it costs only time."""

import os
import time
from pathlib import Path

import pytest

from runner.data import scanning
from runner.data.folder import folder_source
from runner.data.listing import FileContents
from tests.data.conftest import picture


@pytest.fixture
def settled(make_folder) -> Path:
    """A folder whose files are old enough to be remembered."""
    root = make_folder({"cat": 3, "dog": 3})
    long_ago = time.time() - 3600.5
    for path in root.rglob("*.png"):
        os.utime(path, (long_ago, long_ago))
    return root


@pytest.fixture
def looks(monkeypatch) -> list[int]:
    """How many files each scan looked at."""
    counts: list[int] = []
    look_all = scanning._look_all

    def counting(contents, positions, *others):
        counts.append(len(positions))
        return look_all(contents, positions, *others)

    monkeypatch.setattr(scanning, "_look_all", counting)
    return counts


def opened(root: Path, cache: Path | None, max_pixels: int | None = None):
    return folder_source(root, max_unreadable=0.5, cache=cache, max_pixels=max_pixels)


def test_second_opening_looks_at_no_file(settled, tmp_path, looks):
    first = opened(settled, tmp_path / "cache")
    second = opened(settled, tmp_path / "cache")

    assert looks == [6, 0]
    assert second.examples == first.examples


def test_without_a_cache_every_opening_looks_at_all(settled, looks):
    opened(settled, None)
    opened(settled, None)

    assert looks == [6, 6]


def test_changed_file_alone_is_looked_at_again(settled, tmp_path, looks):
    before = opened(settled, tmp_path / "cache")
    changed = settled / "cat" / "001.png"
    changed.write_bytes((settled / "dog" / "001.png").read_bytes())

    after = opened(settled, tmp_path / "cache")

    assert looks == [6, 1]
    assert after.examples[1].digest == before.examples[4].digest


def test_unreadable_files_are_remembered_with_their_reason(settled, tmp_path, looks):
    broken = settled / "cat" / "000.png"
    broken.write_bytes(b"")
    os.utime(broken, (1e9 + 0.5, 1e9 + 0.5))
    opened(settled, tmp_path / "cache")

    assert opened(settled, tmp_path / "cache").unreadable == ("cat/000.png: the file is empty",)
    assert looks == [6, 0]


def test_file_as_young_as_the_scan_is_not_remembered(settled, tmp_path, looks):
    young = settled / "cat" / "000.png"
    os.utime(young, ns=(time.time_ns() + 10**9, time.time_ns() + 10**9))
    opened(settled, tmp_path / "cache")
    opened(settled, tmp_path / "cache")

    assert looks == [6, 1]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"decoder": 1, "files": 3}'])
def test_damaged_scan_is_made_again(settled, tmp_path, looks, damage):
    opened(settled, tmp_path / "cache")
    (stored,) = (tmp_path / "cache" / "scans").iterdir()
    stored.write_bytes(damage)

    assert len(opened(settled, tmp_path / "cache").examples) == 6
    assert looks == [6, 6]


def test_cache_that_cannot_be_written_is_no_failure(settled, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")

    assert len(opened(settled, tmp_path / "cache").examples) == 6
    assert "cannot be written" in caplog.text


def test_another_limit_of_pixels_looks_at_every_file_again(settled, tmp_path, looks):
    picture(9, width=40, height=40).save(settled / "cat" / "large.png")
    small = opened(settled, tmp_path / "cache", max_pixels=1000)
    large = opened(settled, tmp_path / "cache", max_pixels=2000)

    assert looks == [7, 7]
    assert [name.split(":")[0] for name in small.unreadable] == ["cat/large.png"]
    assert "Scale it down, or raise data.max_megapixels" in small.unreadable[0]
    assert large.unreadable == ()
    assert large.image(3).size == (40, 40)


def test_file_longer_than_any_picture_within_the_limit_is_not_read(settled, monkeypatch):
    """Fails where a file's length is not looked at."""
    huge = settled / "cat" / "movie.png"
    with huge.open("wb") as file:
        file.truncate(10**9)  # a hole: it takes no disk

    def read(position: int) -> bytes:
        raise AssertionError("it was read")

    contents = FileContents((huge,), "test")
    monkeypatch.setattr(FileContents, "read", lambda self, position: read(position))
    (finding,) = scanning.scan(contents, cache=None)

    assert finding.problem == (
        "a file of 1,000 MB; one picture within the limit of pixels takes at most 733. Save its "
        "first picture alone, or raise data.max_megapixels"
    )


def test_name_that_no_file_can_have_is_a_problem_of_that_file():
    contents = FileContents((Path("a\0b.png"), Path("half\ud800.png")), "test")

    problems = [finding.problem for finding in scanning.scan(contents, cache=None)]

    assert problems[0] == "cannot be read: embedded null byte"
    assert problems[1].startswith("cannot be read: 'utf-8' codec can't encode")
