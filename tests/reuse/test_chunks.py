"""Chunks: every row once, whoever counts."""

import numpy as np
import pytest

from runner.reuse.chunks import Extent


@pytest.mark.parametrize(("count", "chunks"), [(1, 1), (63, 1), (64, 1), (65, 2), (640, 10)])
def test_chunks_cover_every_row_once_and_in_order(count, chunks):
    extent = Extent(count, 64)

    cut = [extent.positions(chunk) for chunk in range(extent.chunks)]

    assert extent.chunks == chunks
    assert np.concatenate(cut).tolist() == list(range(count))
    assert all(len(positions) == 64 for positions in cut[:-1])
