"""Batches of texts: which texts go together, and how much of each fits."""

import numpy as np

# As in transformers' LengthGroupedSampler: texts are sorted by length within pools of at most
# this many batches, and of at most a quarter of all texts, so that epochs still differ.
_POOL_BATCHES = 50
_POOL_SHARE = 4


def length_batches(
    lengths: np.ndarray, batch_size: int, *, generator: np.random.Generator | None
) -> list[np.ndarray]:
    """Batches of texts of similar length, so that little is padded.

    Args:
        lengths: Tokens of each text, [N].
        batch_size: Texts of every batch; one batch has fewer if they do not come out even.
        generator: Draws the batches and their order; None sorts all, longest first, which is
            the quickest way to go through texts once.
    Returns:
        Positions in `lengths`, int64 arrays; every position is in exactly one of them.
    Raises:
        ValueError: If `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"a batch needs at least one text, not {batch_size}")
    count = len(lengths)
    if generator is None:
        return _cut(np.argsort(-lengths, kind="stable"), batch_size)
    order = generator.permutation(count)
    pool = batch_size * max(1, min(count // (batch_size * _POOL_SHARE), _POOL_BATCHES))
    batches = [
        batch
        for chosen in _cut(order, pool)
        for batch in _cut(chosen[np.argsort(-lengths[chosen], kind="stable")], batch_size)
    ]
    return [batches[index] for index in generator.permutation(len(batches))]


def _cut(positions: np.ndarray, size: int) -> list[np.ndarray]:
    return [positions[start : start + size] for start in range(0, len(positions), size)]


def kept_sizes(sizes: np.ndarray, room: int) -> np.ndarray:
    """How many tokens of each sequence stay when a text may have `room` of them.

    Args:
        sizes: Tokens of the first and of the second sequence, [B, 2]; the second is 0 in
            single texts.
        room: Tokens that fit, special ones not counted.
    Returns:
        int64 [B, 2]: at most `sizes`, adding up to at most `room`.
    Source: `longest_first` of the tokenizers library (truncate_encodings): the longer sequence
        gives way until both are equally long, the odd token stays with the longer one.
    """
    sizes = sizes.astype(np.int64)
    shorter, longer = sizes.min(axis=1), sizes.max(axis=1)
    does_fit = shorter + longer <= room
    cut_longer = np.maximum(shorter, room - shorter)
    are_both_cut = shorter + cut_longer > room
    cut_longer = np.where(are_both_cut, room - room // 2, cut_longer)
    cut_shorter = np.where(are_both_cut, room // 2, shorter)
    is_first_longer = sizes[:, 0] > sizes[:, 1]
    cut = np.where(
        is_first_longer[:, None],
        np.stack([cut_longer, cut_shorter], axis=1),
        np.stack([cut_shorter, cut_longer], axis=1),
    )
    return np.where(does_fit[:, None], sizes, cut)
