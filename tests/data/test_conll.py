"""CoNLL files: fields, sentences, comments, and what is refused with file and line."""

from pathlib import Path

import pytest

from runner.data.conll import ConllFields, conll_source
from runner.data.errors import DataSettingError
from runner.data.example import Part, TextSource
from runner.data.part_files import PartFiles
from runner.errors import DataError
from runner.experiment import LabelKind

TWO = "EU\tB-ORG\nrejects\tO\n\nAnn\tB-PER\nLee\tI-PER\n"


@pytest.fixture
def opened(tmp_path):
    """Opens a CoNLL file of this content."""

    def open_text(text: str, fields: ConllFields = ConllFields(), **parts: str) -> TextSource:  # noqa: B008
        (tmp_path / "t.conll").write_text(text, encoding="utf-8")
        paths: dict[str, Path] = {}
        for part, content in parts.items():
            paths[part] = tmp_path / f"{part}.conll"
            paths[part].write_text(content)
        files = PartFiles(tmp_path / "t.conll", **paths)
        return conll_source(files, fields=fields, max_empty=0.0)

    return open_text


def test_sentences_are_read_with_their_first_lines(opened):
    source = opened(TWO)

    assert source.kind is LabelKind.TAGS
    assert source.classes == ("O", "B-ORG", "B-PER", "I-PER")
    assert list(source.texts) == [("EU", "rejects"), ("Ann", "Lee")]
    assert [example.label for example in source.examples] == [(1, 0), (2, 3)]
    assert [example.id for example in source.examples] == ["all/0000001", "all/0000004"]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (TWO.replace("\t", " "), ConllFields()),
        (TWO.replace("\t", "   "), ConllFields()),
        (TWO.replace("\n", "\r\n"), ConllFields()),
        (TWO.replace("\n\n", "\n \t\n\n\n") + "\n\n", ConllFields()),
        ("\ufeff" + TWO, ConllFields()),
        ("EU NNP B-ORG\nrejects VBZ O\n\nAnn NNP B-PER\nLee NNP I-PER", ConllFields()),
        ("1 EU B-ORG x\n2 rejects O x\n\n1 Ann B-PER x\n2 Lee I-PER x\n", ConllFields(1, 2)),
        ("B-ORG EU\nO rejects\n\nB-PER Ann\nI-PER Lee\n", ConllFields(-1, 0)),
    ],
    ids=["space", "spaces", "crlf", "blank lines", "bom", "three fields", "four", "turned"],
)  # fmt: skip
def test_layouts_give_the_same(opened, text, fields):
    source = opened(text, fields)

    assert list(source.texts) == [("EU", "rejects"), ("Ann", "Lee")]
    assert [example.label for example in source.examples] == [(1, 0), (2, 3)]


def test_documents_and_comments_are_skipped(opened):
    text = (
        "# global.columns = FORM NER\n\n-DOCSTART- -X- O\n\n# id 12 domain=en\n# more\n"
        "EU\tB-ORG\n# \tO\n-DOCSTART-\n# text = Ann left\nAnn\tB-PER\n"
    )

    source = opened(text)

    assert list(source.texts) == [("EU", "#"), ("Ann",)]
    assert source.examples[1].id == "all/0000011"


@pytest.mark.parametrize("separator", ["\t", " "])
def test_words_that_begin_like_comments_are_words(opened, separator):
    text = "# O\n\n#win B-tag\n# O\n".replace(" ", separator)

    assert list(opened(text).texts) == [("#",), ("#win", "#")]


def test_word_may_hold_spaces_and_unusual_white_space_between_tabs(opened):
    source = opened("New York\tB-LOC\na\u00a0b\tO\n\nx\tO\n")

    assert source.texts[0] == ("New York", "a\u00a0b")


def test_other_spaces_than_ascii_are_no_separator(opened):
    assert opened("a\u00a0b B-x\nc\u3000d O\n").texts[0] == ("a\u00a0b", "c\u3000d")


def test_tags_in_any_scheme_are_classes(opened):
    source = opened("a I-PER\nb S-LOC\nc NOUN\nd O\n")

    assert source.classes == ("O", "I-PER", "NOUN", "S-LOC")


def test_files_of_ones_own_are_the_parts(opened):
    source = opened(TWO, test="Bob\tB-PER\n", validation="no\tO\n")

    assert [(example.id, example.split) for example in source.examples] == [
        ("test/0000001", Part.TEST),
        ("train/0000001", Part.TRAIN),
        ("train/0000004", Part.TRAIN),
        ("validation/0000001", Part.VALIDATION),
    ]


def test_same_words_have_the_same_digest(opened):
    first, second = opened("a B-x\nb O\n\na O\nb O\n").examples

    assert first.digest == second.digest
    assert first.label != second.label


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EU\tB-ORG\nrejects O\n", "t.conll, line 2: 1 field where the first line has 2"),
        ("EU\tB-ORG\nrejects\n", r"t.conll, line 2: 1 field where the first line has 2"),
        (
            "EU\tB-ORG\nsays\tO\n\nAnn\n",
            r"t.conll, line 4: 1 field where the first line has 2",
        ),
        ("EU B-ORG\nsays O\n\nAnn Lee B-x O", r"line 4: 4 fields where the first line has"),
        ("EU\tB-ORG\n\tO\n", r"t.conll, line 2: the word is empty: \['', 'O'\]"),
        ("EU\tB-ORG\nsays\t\n", r"t.conll, line 2: the tag is empty: \['says', ''\]"),
        ("\n\n", "no texts found"),
        ("EU O\nsays O\n", "all 1 texts have only the tag O; nothing to learn"),
    ],
)
def test_line_that_is_wrong_is_refused_with_its_number(opened, text, message):
    with pytest.raises(DataError, match=message):
        opened(text)


@pytest.mark.parametrize(
    ("fields", "key", "message"),
    [
        (ConllFields(tag=2), "data.tag_column", "line 1: 2 fields, numbered from 0: ['EU', "),
        (ConllFields(token=-3), "data.token_column", "t.conll, line 1: 2 fields, numbered"),
        (ConllFields(tag=0), "data.tag_column", "words and tags are the same field; "),
    ],
)
def test_field_that_is_not_there_is_refused(opened, fields, key, message):
    with pytest.raises(DataSettingError) as caught:
        opened(TWO, fields)

    assert caught.value.key == key
    assert message in str(caught.value)


def test_file_that_is_not_there_is_refused(tmp_path):
    files = PartFiles(tmp_path / "t.conll")

    with pytest.raises(DataSettingError, match="data.path: the file does not exist"):
        conll_source(files, fields=ConllFields(), max_empty=0.0)


def test_file_in_another_encoding_is_refused_with_its_line(tmp_path):
    (tmp_path / "t.conll").write_bytes("a O\nschön O\n".encode("latin-1"))

    with pytest.raises(DataError, match="t.conll, line 2: not UTF-8 text"):
        conll_source(PartFiles(tmp_path / "t.conll"), fields=ConllFields(), max_empty=0.0)
