"""A sentence whose words are tagged, as HTML: wrong words marked, entities underlined."""

from collections.abc import Iterator, Sequence
from html import escape

from runner.report.mistakes import Mistake

OUTSIDE = "O"
# Of a long run of words that are right and outside entities, only the ends are shown.
_SHOWN_AT_AN_END = 6


def sentence(words: Sequence[str], mistake: Mistake) -> str:
    """The paragraph of one sentence.

    Args:
        words: The words, in order.
        mistake: The tags of the words, and those predicted.
    """
    tagged = list(zip(words, mistake.true, mistake.predicted, strict=False))
    is_plain = [true == predicted == OUTSIDE for _, true, predicted in tagged]
    shown = [
        "<i>…</i>" if index is None else _word(*tagged[index]) for index in _without_runs(is_plain)
    ]
    return f'<p class="words" dir="auto">{" ".join(shown)}</p>'


def _without_runs(is_plain: Sequence[bool]) -> Iterator[int | None]:
    """Indices to show; None once for what is left out of a long plain run."""
    start = 0
    while start < len(is_plain):
        end = start + 1
        while end < len(is_plain) and is_plain[end] == is_plain[start]:
            end += 1
        if is_plain[start] and end - start > 2 * _SHOWN_AT_AN_END + 1:
            yield from range(start, start + _SHOWN_AT_AN_END)
            yield None
            yield from range(end - _SHOWN_AT_AN_END, end)
        else:
            yield from range(start, end)
        start = end


def _word(word: str, true: str, predicted: str) -> str:
    text = f"<bdi>{escape(word)}</bdi>"
    if true != predicted:
        tags = f"<s>{escape(true)}</s> <em>{escape(predicted)}</em>"
        return f'<span class="word wrong">{text}<small>{tags}</small></span>'
    if true != OUTSIDE:
        return f'<span class="word entity">{text}<small>{escape(true)}</small></span>'
    return text
