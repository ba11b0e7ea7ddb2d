"""Entities in tagged sentences, against CoNLL's rules written down independently."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks.entities import EntityResult, entity_results, iob2

_TAGS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER", "I-a-b", "B-a-b"]
_SENTENCES = st.lists(
    st.lists(st.tuples(st.sampled_from(_TAGS), st.sampled_from(_TAGS)), max_size=9),
    min_size=1,
    max_size=5,
)


def _spans(tags: list[str]) -> set[tuple[str, int, int]]:
    """Type, start and end of each entity: a B, or an I after anything but its own type, begins
    one, and the Is of its type go on with it."""
    spans = set()
    for start, tag in enumerate(tags):
        kind = tag[2:]
        before = tags[start - 1][2:] if start else ""
        if tag == "O" or (tag.startswith("I-") and before == kind):
            continue
        end = start + 1
        while end < len(tags) and tags[end] == f"I-{kind}":
            end += 1
        spans.add((kind, start, end))
    return spans


def _expected(pairs: list[tuple[set, set]]) -> EntityResult:  # type: ignore[type-arg]
    right = sum(len(true & guess) for true, guess in pairs)
    there, guessed = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    return EntityResult(
        precision=right / guessed if guessed else 0.0,
        recall=right / there if there else 0.0,
        f1=pytest.approx(2 * right / (there + guessed)),
        support=there,
    )


@given(_SENTENCES)
def test_entity_results_are_conlls(sentences: list[list[tuple[str, str]]]) -> None:
    true = [[pair[0] for pair in sentence] for sentence in sentences]
    guessed = [[pair[1] for pair in sentence] for sentence in sentences]
    overall, by_type = entity_results(true, guessed)
    pairs = [(_spans(a), _spans(b)) for a, b in zip(true, guessed, strict=True)]
    kinds = {span[0] for pair in pairs for spans in pair for span in spans}
    assert list(by_type) == sorted(kinds)
    if not kinds:
        assert overall is None
        return
    assert overall == _expected(pairs)
    for kind in kinds:
        own = [tuple({s for s in spans if s[0] == kind} for spans in pair) for pair in pairs]
        assert by_type[kind] == _expected(own)


def test_entity_results_of_an_inside_tag_without_a_beginning_is_an_entity() -> None:
    overall, _ = entity_results([["I-PER", "I-PER", "O"]], [["B-PER", "I-PER", "O"]])
    assert overall == EntityResult(precision=1.0, recall=1.0, f1=1.0, support=1)


def test_entity_results_of_a_wrong_end_or_a_wrong_type_is_no_find() -> None:
    true = [["B-PER", "I-PER", "O"], ["B-LOC"], ["B-LOC"]]
    guessed = [["B-PER", "O", "O"], ["B-PER"], ["B-LOC"]]
    overall, by_type = entity_results(true, guessed)
    assert overall == EntityResult(
        precision=1 / 3, recall=1 / 3, f1=pytest.approx(1 / 3), support=3
    )
    assert by_type["PER"] == EntityResult(precision=0.0, recall=0.0, f1=0.0, support=1)
    assert by_type["LOC"] == EntityResult(1.0, 0.5, pytest.approx(2 / 3), support=2)


def test_entity_results_of_a_sentence_do_not_reach_into_the_next() -> None:
    overall, _ = entity_results([["B-PER"], ["I-PER"]], [["B-PER"], ["I-PER"]])
    assert overall is not None
    assert overall.support == 2


def test_entity_results_of_different_numbers_of_sentences_are_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("zip()")):
        entity_results([["O"], ["O"]], [["O"]])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O I-a I-a I-b O I-a", "O B-a I-a B-b O B-a"),
        ("B-a I-a B-a I-b", "B-a I-a B-a B-b"),
        ("S-a S-a B-a E-a I-a E-a", "B-a B-a B-a I-a B-a I-a"),
        ("U-a B-b I-b L-b L-b O", "B-a B-b I-b I-b B-b O"),
        ("B-a M-a E-a", "B-a I-a I-a"),
        ("NN NN VB O", "B-NN B-NN B-VB O"),
        ("B-x-y I-x-y I-x", "B-x-y I-x-y B-x"),
        ("X-a", "B-X-a"),
    ],
    ids=["iob1", "iob2", "iobes", "bilou", "bmes", "bare", "hyphens", "unknown prefix"],
)
def test_iob2_keeps_the_entities_of_every_scheme(tags: str, expected: str) -> None:
    assert list(iob2(tags.split())) == expected.split()
