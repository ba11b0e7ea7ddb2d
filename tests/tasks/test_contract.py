"""Batches gathered into the predictions of a split."""

import pytest
import torch

from runner.tasks import gather


def test_gather_joins_batches_on_the_cpu_in_float32() -> None:
    batches = [
        (torch.ones(2, 3, dtype=torch.bfloat16), torch.tensor([0, 1]), None),
        (torch.zeros(1, 3, dtype=torch.bfloat16), torch.tensor([2]), None),
    ]
    predictions = gather(batches, ["a", "b", "c"])
    assert predictions.outputs.dtype is torch.float32
    assert predictions.outputs.tolist() == [[1.0] * 3, [1.0] * 3, [0.0] * 3]
    assert predictions.targets.tolist() == [0, 1, 2]
    assert predictions.ids == ("a", "b", "c")
    assert predictions.lengths is None


def test_gather_keeps_the_lengths_of_sentences() -> None:
    batches = [
        (torch.zeros(3, 2), torch.tensor([0, 1, 0]), torch.tensor([1, 2])),
        (torch.zeros(2, 2), torch.tensor([1, 1]), torch.tensor([2])),
    ]
    lengths = gather(batches, ["a", "b", "c"]).lengths
    assert lengths is not None
    assert lengths.tolist() == [1, 2, 2]


@pytest.mark.parametrize("lengths", [None, torch.tensor([1, 1])])
def test_gather_of_another_number_of_examples_is_refused(lengths: torch.Tensor | None) -> None:
    batch = (torch.zeros(2, 2), torch.tensor([0, 1]), lengths)
    with pytest.raises(ValueError, match="3 ids for predictions of 2 examples"):
        gather([batch], ["a", "b", "c"])
