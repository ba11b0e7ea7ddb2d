"""Rows by position: equality with plain indexing, padding, and refusals."""

import numpy as np
import pytest
import torch

from runner.reuse.features import DenseFeatures, RaggedFeatures
from runner.reuse.rows import Ragged, as_block
from tests.reuse.conftest import padded


def dense(rows: torch.Tensor) -> DenseFeatures:
    block = as_block(rows, len(rows))
    return DenseFeatures(block.spec, block.values, is_in_memory=True)


def ragged(rows: Ragged) -> RaggedFeatures:
    block = as_block(rows, len(rows.lengths))
    starts = np.cumsum(block.lengths) - block.lengths
    return RaggedFeatures(block.spec, block.values, starts, block.lengths, is_in_memory=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_gather_gives_rows_in_the_order_asked_for(dtype):
    rows = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    positions = torch.tensor([7, 0, 49, 7])

    gathered = dense(rows).gather(positions)

    assert gathered.dtype == dtype
    assert torch.equal(gathered, rows[positions])


def test_gather_gives_a_tensor_that_may_be_written_to():
    rows = torch.zeros(4, 2)
    features = dense(rows)

    features.gather(torch.tensor([1]))[:] = 5

    assert features.all().sum() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gather_of_ragged_rows_pads_with_zeros_to_the_longest_of_them(dtype):
    lengths = torch.tensor([2, 0, 5, 1])
    rows = Ragged(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).to(dtype), lengths)
    features = ragged(rows)

    assert torch.equal(features.gather(torch.tensor([3, 0])), padded(rows)[[3, 0], :2])
    assert torch.equal(features.all(), padded(rows))
    assert features.gather(torch.tensor([1])).shape == (1, 0, 3)
    assert torch.equal(features.lengths, lengths)
    assert features.shape == (4, 5, 3)


def test_rows_of_one_shape_have_no_lengths():
    features = dense(torch.zeros(4, 2))

    assert features.lengths is None
    assert (features.shape, features.dtype, features.nbytes) == ((4, 2), torch.float32, 32)


@pytest.mark.parametrize(
    "features", [dense(torch.zeros(4, 2)), ragged(Ragged(torch.zeros(4, 2), torch.ones(4)))]
)
def test_gather_of_a_row_that_is_not_there_is_refused(features):
    with pytest.raises(IndexError, match="4 is out of bounds for axis 0 with size 4"):
        features.gather(torch.tensor([0, 4]))
