"""Computed rows in the form in which they are stored."""

import numpy as np
import pytest
import torch

from runner.reuse.rows import Ragged, as_block, loaded

DTYPES = [
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.uint8,
    torch.int64,
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_block_of_any_type_gives_the_same_numbers_back(dtype):
    rows = torch.arange(24).reshape(4, 2, 3).to(dtype) / (2 if dtype.is_floating_point else 1)
    rows = rows.to(dtype)

    block = as_block(rows, 4)

    assert block.spec.shape == (2, 3)
    assert block.spec.unit_bytes == 6 * rows.element_size() == block.values.nbytes // 4
    assert torch.equal(loaded(block.values, block.spec.torch_dtype), rows)


def test_block_of_an_array_and_of_a_strided_tensor_is_contiguous():
    array = np.arange(12, dtype=np.float32).reshape(4, 3)

    from_array, from_tensor = as_block(array, 4), as_block(torch.from_numpy(array.T.copy()).T, 4)

    assert from_tensor.values.flags.c_contiguous
    assert (from_array.values == array).all()
    assert (from_tensor.values == array).all()


def test_block_of_rows_with_a_gradient_keeps_no_gradient():
    rows = torch.ones(2, 3, requires_grad=True) * 2

    assert (as_block(rows, 2).values == 2).all()


def test_block_of_rows_computed_in_inference_mode_is_like_any_other():
    with torch.inference_mode():
        rows = torch.ones(2, 3, dtype=torch.bfloat16) * 2

    block = as_block(rows, 2)

    assert loaded(block.values, torch.bfloat16).tolist() == [[2.0] * 3] * 2


def test_block_of_ragged_rows_keeps_their_lengths():
    block = as_block(Ragged(torch.ones(5, 2), torch.tensor([2, 0, 3])), 3)

    assert block.spec.is_ragged
    assert block.lengths.tolist() == [2, 0, 3]
    assert block.values.shape == (5, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.ones(3, 2), r"rows of shape \(3, 2\) computed for 4 positions"),
        (torch.tensor(1.0), r"rows of shape \(\) computed for 4 positions"),
        (
            Ragged(torch.ones(5, 2), torch.tensor([2, 0, 3])),
            "5 steps of 3 rows with lengths that add up to 5 were computed for 4 positions",
        ),
        (
            Ragged(torch.ones(5, 2), torch.tensor([2, 0, 3, 1])),
            "5 steps of 4 rows with lengths that add up to 6 were computed for 4 positions",
        ),
        (
            torch.ones(4, dtype=torch.complex64),
            "features of type torch.complex64 cannot be stored",
        ),
    ],
)
def test_block_of_anything_else_than_a_row_each_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        as_block(rows, 4)
