"""A tagged sentence as HTML."""

from runner.report.mistakes import Mistake
from runner.report.tagged_words import sentence
from tests.report.outline import Outline


def tagged(words, true, predicted) -> Outline:
    return Outline(sentence(words, Mistake("a", tuple(true), tuple(predicted), "")))


def kinds(outline: Outline) -> list[str | None]:
    return [attributes.get("class") for tag, attributes in outline.tags if tag == "span"]


def test_sentence_marks_wrong_words_and_underlines_entities():
    words = ["Angela", "Merkel", "in", "Paris", "<&>"]
    true = ["B-PER", "I-PER", "O", "B-LOC", "O"]
    predicted = ["B-PER", "I-PER", "O", "O", "B-LOC"]

    outline = tagged(words, true, predicted)

    assert kinds(outline) == ["word entity", "word entity", "word wrong", "word wrong"]
    assert outline.words == "Angela B-PER Merkel I-PER in Paris B-LOC O <&> O B-LOC"


def test_sentence_long_plain_run_is_shown_by_its_ends():
    words = [f"w{i}" for i in range(30)]
    true = ["O"] * 30
    predicted = ["O"] * 29 + ["B-X"]

    text = tagged(words, true, predicted).words

    assert text == "w0 w1 w2 w3 w4 w5 … w23 w24 w25 w26 w27 w28 w29 O B-X"


def test_sentence_short_plain_run_is_shown_whole():
    words = [f"w{i}" for i in range(13)]

    assert tagged(words, ["O"] * 13, ["O"] * 13).words == " ".join(words)


def test_sentence_runs_right_to_left_where_its_words_do():
    outline = tagged(["باريس"], ["B-LOC"], ["O"])

    assert outline.tags[0] == ("p", {"class": "words", "dir": "auto"})
