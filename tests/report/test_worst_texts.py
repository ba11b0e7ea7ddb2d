"""The page of the worst mistakes of texts: whole, escaped, any script, cut to a few lines."""

import pytest

from runner.experiment import LabelKind
from runner.report.mistakes import Mistake
from runner.report.worst_texts import visible, worst_texts
from tests.report.outline import Outline

MISTAKE = Mistake("reviews.csv:12", ("positive",), ("negative",), "99%")


def page(text, mistake: Mistake = MISTAKE, kind: LabelKind = LabelKind.CLASS) -> Outline:
    return Outline(worst_texts([mistake], kind, text=lambda _: text, title="reviews:1, trial 7"))


def names(outline: Outline, tone: str) -> int:
    return sum(tag == "b" and attributes.get("class") == tone for tag, attributes in outline.tags)


def test_worst_texts_show_the_text_its_label_the_prediction_and_the_probability():
    words = page("A charming disaster.").words

    assert "reviews:1, trial 7" in words
    assert "predicted negative 99% labelled positive reviews.csv:12 A charming disaster." in words


def test_worst_texts_every_script_stays_as_it_is_with_its_own_direction():
    texts = ["这家酒店的早餐非常差", "هذا الفيلم رائع", "फ़िल्म अच्छी है", "😀"]

    for text in texts:
        outline = page(text, Mistake("a", ("体育",), (text,), ""))
        assert text in outline.text
        assert "体育" in outline.text
        assert ("p", {"class": "text", "dir": "auto"}) in outline.tags


def test_worst_texts_that_look_like_code_stay_text():
    evil = "</p><script>alert('x')</script><img src=http://x onerror=y> $name & &amp;"

    outline = page(evil, Mistake(evil, (evil,), (evil,), evil))

    assert {"script", "img"}.isdisjoint(tag for tag, _ in outline.tags)
    assert outline.words.count("<script>alert('x')</script>") == 5
    assert "&amp;" in outline.words


def test_worst_texts_load_nothing_from_outside():
    for tag, attributes in page("A text.").tags:
        assert not {"src", "href", "srcset", "data"} & attributes.keys(), tag


def test_worst_texts_long_text_is_cut_at_a_space_and_the_rest_folds_out():
    text = " ".join(f"word{i}" for i in range(200))

    outline = page(text)

    first, length, rest = outline.text[outline.text.index("reviews.csv:12") + 1 :][:3]
    assert 200 < len(first) <= 360
    assert length == f" … {len(text):,} characters"
    assert first + rest == text
    assert [tag for tag, _ in outline.tags].count("details") == 1


def test_worst_texts_wide_characters_take_the_room_of_two():
    first, rest = (piece for piece in page("字" * 900).text if "字" in piece)

    assert len(first) == 180
    assert first + rest == "字" * 900


def test_worst_texts_a_book_does_not_go_into_the_page():
    outline = page("word " * 100_000)

    assert len(outline.words) < 7_000
    assert "499,999 characters" in outline.words
    assert outline.words.endswith("…")


def test_worst_texts_of_pairs_show_both():
    mistake = Mistake("a", ("4.2000",), ("1.0500",), "off by -3.1500")

    outline = page(("A man plays.", "Someone makes music."), mistake, LabelKind.NUMBER)

    assert "predicted 1.0500 off by -3.1500 actual 4.2000" in outline.words
    assert outline.words.endswith("A man plays. Someone makes music.")


def test_worst_texts_of_several_labels_tell_missed_from_wrong_and_right():
    mistake = Mistake("a", ("sea", "boat"), ("sea", "dog"), "")

    outline = page("A text.", mistake, LabelKind.CLASSES)

    assert "missed boat wrong dog right sea" in outline.words
    assert (names(outline, "missed"), names(outline, "added"), names(outline, "right")) == (
        1,
        1,
        1,
    )


def test_worst_texts_of_several_labels_leave_out_what_there_is_none_of():
    outline = page("A text.", Mistake("a", (), ("dog",), ""), LabelKind.CLASSES)

    assert "wrong dog a A text." in outline.words


def test_worst_texts_of_tags_count_and_mark_the_wrong_words():
    mistake = Mistake("a", ("O", "B-LOC", "O"), ("O", "B-PER", "O"), "")

    outline = page(("in", "<Paris>", "today"), mistake, LabelKind.TAGS)

    assert "1 of 3 words wrong a in <Paris> B-LOC B-PER today" in outline.words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1b[31m", "a\ufffdb\ufffd[31m"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("line\r\nline\ttab", "line\nline\ttab"),
        ("क\u094dष 👨\u200d👩", "क\u094dष 👨\u200d👩"),
    ],
)
def test_visible_replaces_control_characters_alone(text, shown):
    assert visible(text) == shown
    visible(text).encode("utf-8")
