"""The shares of a batch: together they are the batch, also where a rank has none of it."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from runner.tasks import LossSettings
from runner.trial.batching import Batches, Portion
from runner.trial.bench import Bench
from runner.trial.images import PIXELS
from runner.trial.modality import Moment
from runner.trial.parallel.ranks import Ranks, _buckets
from runner.trial.seeding import seed_everything
from tests.trial.conftest import small_experiment


def moment() -> Moment:
    return Moment(1, torch.Generator().manual_seed(5), torch.device("cpu"))


def portions(bench: Bench, ranks: Ranks) -> list[Portion]:
    # The stream of the process itself differs from rank to rank and decides nothing here.
    seed_everything(ranks.rank)
    recipe = bench.experiment.recipe({})
    batches = Batches(bench.train, recipe, len(bench.task.classes), ranks)
    return list(batches.of_epoch(moment()))


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 7, 8, 33])
def test_shares_are_equal_but_for_one_and_follow_each_other(count: int, size: int) -> None:
    shares = [Ranks(rank, size).share(count) for rank in range(size)]
    lengths = [share.stop - share.start for share in shares]
    assert (shares[0].start, shares[-1].stop) == (0, count)
    assert all(before.stop == after.start for before, after in pairwise(shares))
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) == lengths[0] == Ranks(0, size).largest_share(count)


def test_first_rank_draws_as_a_trial_by_itself_and_no_other_as_it() -> None:
    assert Ranks(0, 3).stream == Ranks().stream == ()
    assert len({Ranks(rank, 3).stream for rank in range(3)}) == 3


@pytest.mark.parametrize(
    "train",
    [
        {"augmentation": "strong", "batch_size": 33},
        {"augmentation": "light", "batch_size": 33, "mixup": 0.4},
        {"augmentation": "light", "batch_size": 33, "views": 2},
        {"augmentation": "none", "batch_size": 2, "mixup": 0.4, "sampling": "balanced"},
    ],
)
def test_portions_of_three_ranks_are_the_batches_of_one(store, train) -> None:
    bench = Bench(small_experiment(**train), store)
    whole = portions(bench, Ranks())
    parts = [portions(bench, Ranks(rank, 3)) for rank in range(3)]
    assert len(whole) == len(parts[0])
    for batch, *shares in zip(whole, *parts, strict=True):
        assert {share.count for share in shares} == {batch.count} == {len(batch.targets)}
        torch.testing.assert_close(
            torch.cat([share.batch[PIXELS] for share in shares]), batch.batch[PIXELS]
        )
        assert torch.equal(torch.cat([share.targets for share in shares]), batch.targets)


def test_weights_of_shares_add_up_to_that_of_the_batch_and_an_empty_one_has_none(store) -> None:
    bench = Bench(small_experiment(batch_size=2), store)
    settings = LossSettings(class_weights="balanced")
    criterion = bench.task.criterion(settings, train_targets=bench.train.targets)
    (whole, *_), (empty, *_) = portions(bench, Ranks()), portions(bench, Ranks(2, 3))
    assert empty.targets.shape == (0,)
    assert empty.batch[PIXELS].shape == (0, 3, 32, 32)
    shares = [portions(bench, Ranks(rank, 3))[0].targets for rank in range(3)]
    weights = sum(float(criterion.weight(share)) for share in shares)
    assert weights == pytest.approx(float(criterion.weight(whole.targets)))


def test_tensors_travel_by_type_in_pieces_of_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.trial.parallel.ranks.BUCKET_BYTES", 16)
    tensors = [torch.zeros(3), torch.zeros((), dtype=torch.int64), torch.zeros(2), torch.zeros(1)]

    def sizes(found: list[list[Tensor]]) -> list[list[int]]:
        return [[tensor.numel() for tensor in bucket] for bucket in found]

    assert sizes(list(_buckets(tensors))) == [[3, 2], [1], [1]]
