"""Which texts share a batch, and how much of each fits."""

import numpy as np
import pytest

from runner.data.text_batches import kept_sizes, length_batches
from tests.data.tokenizers import tiny_tokenizer

LENGTHS = np.random.default_rng(0).integers(3, 200, 1003).astype(np.int32)


def padded_tokens(batches: list[np.ndarray]) -> int:
    return sum(len(batch) * int(LENGTHS[batch].max()) for batch in batches)


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("batch_size", [1, 7, 32, 5000])
def test_length_batches_hold_every_position_once(batch_size, seed):
    generator = None if seed is None else np.random.default_rng(seed)

    batches = length_batches(LENGTHS, batch_size, generator=generator)

    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(1003))
    sizes = sorted(len(batch) for batch in batches)
    assert set(sizes[1:]) <= {batch_size}
    assert len(batches) == -(-1003 // batch_size)


def test_length_batches_put_similar_lengths_together():
    random = np.random.default_rng(0)

    grouped = padded_tokens(length_batches(LENGTHS, 16, generator=random))

    plain = padded_tokens(np.array_split(random.permutation(1003), 63))
    assert grouped < 1.1 * LENGTHS.sum() < 1.5 * LENGTHS.sum() < plain


def test_length_batches_come_in_random_order():
    batches = length_batches(LENGTHS, 16, generator=np.random.default_rng(0))

    means = np.array([LENGTHS[batch].mean() for batch in batches])

    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_length_batches_are_a_function_of_the_generator():
    def drawn(seed: int) -> list[list[int]]:
        batches = length_batches(LENGTHS, 16, generator=np.random.default_rng(seed))
        return [batch.tolist() for batch in batches]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert {frozenset(batch) for batch in drawn(3)} != {frozenset(batch) for batch in drawn(4)}


def test_length_batches_without_a_generator_are_sorted_longest_first():
    batches = length_batches(LENGTHS, 16, generator=None)

    assert (np.diff(LENGTHS[np.concatenate(batches)]) <= 0).all()
    assert len(batches[-1]) == 1003 % 16


def test_length_batches_of_nothing_are_none():
    assert length_batches(LENGTHS[:0], 4, generator=np.random.default_rng(0)) == []


def test_length_batches_of_no_size_are_refused():
    with pytest.raises(ValueError, match="a batch needs at least one text, not 0"):
        length_batches(LENGTHS, 0, generator=None)


def test_kept_sizes_are_what_the_tokenizers_keep_of_pairs(tmp_path):
    """Every pair of up to six words, in every room from one token to all."""
    tokenizer = tiny_tokenizer(tmp_path)
    sizes = np.array([[first, second] for first in range(7) for second in range(7)])
    texts = [["fox " * count for count in column] for column in sizes.T]

    for room in range(1, 13):
        encoded = tokenizer(*texts, truncation=True, max_length=room + 3)
        kept = [
            [places.count(0), places.count(1)]
            for places in (encoded.sequence_ids(row) for row in range(len(sizes)))
        ]
        assert kept_sizes(sizes, room).tolist() == kept


def test_kept_sizes_of_single_texts_fill_the_room():
    sizes = np.array([[0, 0], [3, 0], [4, 0], [9, 0]], np.int32)

    assert kept_sizes(sizes, 4).tolist() == [[0, 0], [3, 0], [4, 0], [4, 0]]
