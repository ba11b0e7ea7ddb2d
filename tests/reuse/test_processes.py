"""Real processes at one store: sharing, kill -9, the same bits whoever computes."""

import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from runner.reuse import FeatureStore
from tests.reuse.sharer import CHUNK_ROWS, COUNT, CUTS, ROW_BYTES, prefix

pytestmark = pytest.mark.slow
CHUNKS = list(range(-(-COUNT // CHUNK_ROWS)))


class Sharer:
    """A process of sharer.py that has imported everything and waits."""

    def __init__(self, cache: Path, *, hang_at: int | None = None, pause_s: float = 0.0) -> None:
        options = {"name": "key", "hang_at": hang_at, "pause_s": pause_s}
        command = [sys.executable, "-m", "tests.reuse.sharer", str(cache), json.dumps(options)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.lines: list[str] = []

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def read_until(self, start: str) -> str:
        """Its output up to a line that starts so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if line.startswith(start):
                return line.strip()
        raise AssertionError(f"it ended with {self.process.wait()} after {self.lines}")

    @property
    def chunks(self) -> list[int]:
        return [int(line.split()[1]) for line in self.lines if line.startswith("chunk")]


@contextlib.contextmanager
def sharers(cache: Path, *options: dict) -> Iterator[list[Sharer]]:
    """Processes that have all begun at the same moment."""
    started = [Sharer(cache, **each) for each in options]
    try:
        for sharer in started:
            sharer.read_until("ready")
        for sharer in started:
            sharer.begin()
        yield started
    finally:
        for sharer in started:
            sharer.process.kill()
            sharer.process.communicate()


def rows_of(cache: Path) -> dict[str, torch.Tensor]:
    """What the store holds; computing anything is an error."""
    store = FeatureStore(cache, limit_bytes=10**8, chunk_rows=CHUNK_ROWS)

    def refuse(positions):
        raise AssertionError(f"chunk at {positions[0]} is missing")

    got = store.get("key", count=COUNT, cuts=CUTS, row_bytes=ROW_BYTES, compute=refuse)
    return {cut: features.all() for cut, features in got.items()}


def test_rows_have_the_same_bits_whichever_number_of_processes_shares_the_work(tmp_path):
    digests = set()
    for count in (1, 2, 3):
        cache = tmp_path / str(count)
        with sharers(cache, *[{"pause_s": 0.03}] * count) as at_work:
            digests |= {sharer.read_until("digest") for sharer in at_work}

            done = [sharer.chunks for sharer in at_work]
            assert sorted(itertools.chain(*done)) == CHUNKS
            assert all(done)

    assert len(digests) == 1
    cut = torch.arange(COUNT).split(CHUNK_ROWS)
    expected = torch.cat([prefix(positions)["dense"] for positions in cut])
    # Not bit for bit: the number of threads may differ here.
    assert torch.allclose(rows_of(tmp_path / "1")["dense"], expected, atol=1e-4)


def test_process_killed_inside_a_chunk_loses_it_to_the_others(tmp_path):
    with sharers(tmp_path, {"hang_at": 3}, {"pause_s": 0.02}) as (victim, survivor):
        victim.read_until("hangs")
        time.sleep(0.3)  # the other works on; the chunk stays the victim's
        victim.process.kill()
        survivor.read_until("digest")

    assert victim.chunks[-1] in survivor.chunks
    finished = victim.chunks[:-1] + survivor.chunks
    assert sorted(finished) == CHUNKS
    assert len(rows_of(tmp_path)["dense"]) == COUNT


def test_process_killed_alone_leaves_its_chunks_to_the_next(tmp_path):
    with sharers(tmp_path, {"hang_at": 5}) as (victim,):
        victim.read_until("hangs")
        victim.process.kill()
    with sharers(tmp_path, {}) as (following,):
        digest = following.read_until("digest")
    with sharers(tmp_path / "undisturbed", {}) as (alone,):
        assert alone.read_until("digest") == digest

    assert victim.chunks == [0, 1, 2, 3, 4, 5]
    assert following.chunks == CHUNKS[5:]


def test_processes_killed_at_random_moments_leave_sound_features(tmp_path):
    with sharers(tmp_path / "undisturbed", {}) as (alone,):
        digest = alone.read_until("digest")
    for delay_s in (0.01, 0.05):
        with sharers(tmp_path, {"pause_s": 0.002}, {"pause_s": 0.002}):
            time.sleep(delay_s)  # killed at the end of the block

    with sharers(tmp_path, {}) as (last,):
        assert last.read_until("digest") == digest
    assert len(rows_of(tmp_path)["ragged"]) == COUNT
