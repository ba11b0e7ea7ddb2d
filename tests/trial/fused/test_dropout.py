"""Dropout of many trials: each trial's masks are those it has alone."""

import torch
from torch.nn import functional

from runner.trial import derive_seed, seed_everything
from runner.trial.fused.dropout import DropoutStreams

_CPU = torch.device("cpu")


def test_masks_are_those_of_the_plain_loop_in_batches_of_any_size() -> None:
    rates, seeds, epochs = [0.5, 0.0, 0.2], [7, 8, 9], [0, 0, 3]
    sizes = [[4, 4, 4], [2, 4, 3]]
    batches = [torch.randn(3, 4, 6) for _ in sizes]
    streams = DropoutStreams(rates, _CPU)
    assert streams.is_needed

    streams.begin_epoch(seeds, epochs)
    dropped = [batch.clone() for batch in batches]
    for batch, counts in zip(dropped, sizes, strict=True):
        streams.apply(batch, counts)

    for trial, rate in enumerate(rates):
        seed_everything(derive_seed(seeds[trial], "epoch", epochs[trial]))
        for before, after, counts in zip(batches, dropped, sizes, strict=True):
            size = counts[trial]
            expected = functional.dropout(before[trial, :size], rate)
            assert torch.equal(after[trial, :size], expected)
            assert torch.equal(after[trial, size:], before[trial, size:])


def test_without_dropout_no_random_number_is_drawn() -> None:
    streams = DropoutStreams([0.0, 0.0], _CPU)
    before = torch.get_rng_state()
    streams.begin_epoch([1, 2], [0, 0])
    assert not streams.is_needed
    assert torch.equal(torch.get_rng_state(), before)
