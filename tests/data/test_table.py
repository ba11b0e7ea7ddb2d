"""Texts in tables: single ones, pairs and tagged words, with labels of every kind."""

import json
from pathlib import Path

import pandas as pd
import pytest

from runner.data.errors import DataSettingError
from runner.data.example import Part, TextSource
from runner.data.labels import LabelColumns
from runner.data.part_files import PartFiles
from runner.data.table import TextColumns, table_source
from runner.errors import DataError
from runner.experiment import LabelKind

ROWS = [("good film", "pos"), ("bad film", "neg"), ("so so", "pos"), ("never again", "neg")]


def opened(
    path: Path,
    kind: LabelKind = LabelKind.CLASS,
    *,
    max_empty: float = 0.0,
    validation: Path | None = None,
    test: Path | None = None,
    **columns: object,
) -> TextSource:
    files = PartFiles(path, validation, test)
    return table_source(files, columns=TextColumns(**columns), kind=kind, max_empty=max_empty)


def written(path: Path, frame: pd.DataFrame) -> Path:
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".tsv":
            frame.to_csv(path, index=False, sep="\t")
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True, force_ascii=False)
        case ".parquet":
            frame.to_parquet(path)
    return path


@pytest.fixture(params=[".csv", ".tsv", ".jsonl", ".parquet"])
def path(request, tmp_path) -> Path:
    """Where a table of some format is to be."""
    return tmp_path / f"t{request.param}"


@pytest.fixture
def csv(tmp_path):
    """Writes a CSV file."""

    def write(text: str, name: str = "t.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def test_texts_with_classes_are_read_from_every_format(path):
    source = opened(written(path, pd.DataFrame(ROWS, columns=["text", "label"])))

    assert (source.kind, source.classes) == (LabelKind.CLASS, ("neg", "pos"))
    assert list(source.texts) == [text for text, _ in ROWS]
    assert [example.label for example in source.examples] == [1, 0, 1, 0]
    first = {".csv": 2, ".tsv": 2, ".jsonl": 1, ".parquet": 1}[path.suffix]
    assert source.examples[0].id == f"all/{first:07d}"
    assert not source.is_pair
    assert source.text(1) == "bad film"


def test_pairs_are_read_and_differ_from_their_parts_joined(path):
    frame = pd.DataFrame({"q": ["a b", "a", "x"], "r": ["c", "b c", "y"], "label": [0, 1, 1]})

    source = opened(written(path, frame), text="q", pair="r")

    assert list(source.texts) == [("a b", "c"), ("a", "b c"), ("x", "y")]
    assert source.is_pair
    assert source.examples[0].digest != source.examples[1].digest


def test_numbers_are_read_from_every_format(path):
    frame = pd.DataFrame({"text": ["a", "b", "c"], "stars": [1.5, -2.0, 1e-3]})

    source = opened(written(path, frame), LabelKind.NUMBER, labels=LabelColumns("stars"))

    assert source.classes == ()
    assert [example.label for example in source.examples] == [1.5, -2.0, 0.001]


def test_columns_of_0_and_1_are_several_labels_in_their_order(path):
    frame = pd.DataFrame({"text": ["a", "b", "c"], "rude": [0, 1, 1], "angry": [0, 0, 1]})

    columns = LabelColumns(flags=("rude", "angry"))
    source = opened(written(path, frame), LabelKind.CLASSES, labels=columns)

    assert source.classes == ("rude", "angry")
    assert [example.label for example in source.examples] == [(), (0,), (0, 1)]


def test_cells_with_a_separator_are_several_labels(path):
    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": ["x;y", "", "y"]})

    source = opened(written(path, frame), LabelKind.CLASSES, labels=LabelColumns(separator=";"))

    assert source.classes == ("x", "y")
    assert [example.label for example in source.examples] == [(0, 1), (), (1,)]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_lists_are_several_labels(tmp_path, suffix):
    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": [["y", "x"], [], ["y"]]})

    source = opened(written(tmp_path / f"t{suffix}", frame), LabelKind.CLASSES)

    assert [example.label for example in source.examples] == [(0, 1), (), (1,)]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".csv"])
def test_lists_of_words_and_tags_are_read(tmp_path, suffix):
    frame = pd.DataFrame(
        {
            "tokens": [["EU", "rejects"], ["Ann", "Lee", "left"]],
            "ner": [["B-ORG", "O"], ["B-PER", "I-PER", "O"]],
        }
    )

    source = opened(written(tmp_path / f"t{suffix}", frame), LabelKind.TAGS, tags="ner")

    assert source.classes == ("O", "B-ORG", "B-PER", "I-PER")
    assert list(source.texts) == [("EU", "rejects"), ("Ann", "Lee", "left")]
    assert [example.label for example in source.examples] == [(1, 0), (2, 3, 0)]
    assert not source.is_pair


def test_words_and_tags_between_spaces_are_read(csv):
    source = opened(csv("tokens,tags\nEU rejects,B-ORG O\nno,O\n"), LabelKind.TAGS)

    assert [example.label for example in source.examples] == [(1, 0), (0,)]


def test_group_and_split_columns_are_read_where_they_are(csv):
    rows = "text,label,group,split\na,x,ann,train\nb,y,,val\nc,x,ann,test\n"

    examples = opened(csv(rows)).examples

    assert [example.group for example in examples] == ["ann", None, "ann"]
    assert [example.split for example in examples] == [Part.TRAIN, Part.VALIDATION, Part.TEST]


def test_renamed_columns_are_used(csv):
    rows = "评论,情感,user\n好,1,a\n不好,0,b\n"

    source = opened(csv(rows), text="评论", labels=LabelColumns("情感"), group="user")

    assert list(source.texts) == ["好", "不好"]
    assert [example.group for example in source.examples] == ["a", "b"]


def test_files_of_ones_own_are_the_parts(csv, tmp_path):
    train = csv("text,label\na,x\nb,y\n", "train.csv")
    validation = csv("text,label\nc,x\nd,y\n", "dev.csv")
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps({"text": "e", "label": "x"}))

    source = opened(train, validation=validation, test=test)

    assert [(example.id, example.split) for example in source.examples] == [
        ("test/0000001", Part.TEST),
        ("train/0000002", Part.TRAIN),
        ("train/0000003", Part.TRAIN),
        ("validation/0000002", Part.VALIDATION),
        ("validation/0000003", Part.VALIDATION),
    ]
    assert opened(train, test=test).examples[1].split is Part.TRAIN


def test_part_file_is_checked_like_the_first_and_named(csv):
    train = csv("text,label\na,x\nb,y\n", "train.csv")

    with pytest.raises(DataSettingError, match="data.validation_path: the file does not exist"):
        opened(train, validation=train.with_name("dev.csv"))
    with pytest.raises(DataSettingError, match="dev.csv has no such column; its columns are txt"):
        opened(train, validation=csv("txt,label\na,x\n", "dev.csv"))
    with pytest.raises(DataError, match="dev.csv, line 2: the 'label' cell is empty"):
        opened(train, validation=csv("text,label\na,\n", "dev.csv"))


def test_split_cell_that_contradicts_the_file_is_refused(csv):
    train = csv("text,label,split\na,x,train\nb,y,test\n", "train.csv")
    dev = csv("text,label\na,x\n", "dev.csv")

    with pytest.raises(DataError, match=r"train.csv, line 3: the 'split' cell says test, but the"):
        opened(train, validation=dev)


def test_digests_are_of_the_text_alone(csv):
    first = opened(csv("text,label\nsame,x\nother,y\n"))
    second = opened(csv("label,text\nz,other\nx,same\n", "u.csv"))

    assert first.examples[0].digest == second.examples[1].digest
    assert first.examples[0].digest != first.examples[1].digest


def test_texts_are_kept_as_they_were_written(csv):
    assert opened(csv('text,label\n"  Two\n lines ",x\nb,y\n')).texts[0] == "  Two\n lines "


def test_names_that_are_numbers_are_sorted_as_numbers(csv):
    rows = "".join(f"text {n},{n}\n" for n in (10, 9, 2, 0, -1))

    assert opened(csv(f"text,label\n{rows}")).classes == ("-1", "0", "2", "9", "10")


EMPTY = "text,label\na,x\n ,x\nb,y\nc,y\n"


def test_empty_text_is_refused_with_its_line(csv):
    with pytest.raises(DataError) as caught:
        opened(csv(EMPTY))

    assert "1 of 4 texts empty (25.0%), above data.max_empty = 0: " in str(caught.value)
    assert "t.csv, line 3. Fill or remove them, or raise the setting" in str(caught.value)


def test_empty_texts_that_are_allowed_are_left_out_and_listed(csv, caplog):
    source = opened(csv(EMPTY), max_empty=0.25)

    assert list(source.texts) == ["a", "b", "c"]
    assert source.unreadable == ("all/0000003: empty text",)
    assert "1 text of 4 empty and left out: " in caplog.text


def test_half_pair_counts_as_empty(csv):
    path = csv("text,b,label\na,,x\n,b,y\nc,d,y\n")

    with pytest.raises(DataError, match="2 of 3 texts empty .*t.csv, line 2, .*t.csv, line 3"):
        opened(path, pair="b")


def test_sentence_without_words_counts_as_empty(csv):
    rows = [([], []), (["b"], ["O"]), (["c"], ["B-x"]), ([" "], ["O"])]
    lines = [json.dumps({"tokens": words, "tags": tags}) for words, tags in rows]

    with pytest.raises(DataError, match="2 of 4 texts empty .*, line 1, .*, line 4"):
        opened(csv("\n".join(lines), "t.jsonl"), LabelKind.TAGS)


def test_class_of_empty_texts_alone_is_refused(csv):
    """Fails without `refuse_empty_classes`."""
    with pytest.raises(DataError, match=r"no readable text in 1 class: z. Add texts, or take the"):
        opened(csv("text,label\na,x\nb,y\n ,z\n"), max_empty=0.5)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("text,label\n", LabelKind.CLASS, "no texts found"),
        ("text,label\na,x\nb,x\n", LabelKind.CLASS, "all 2 texts are of one class, 'x'; a class"),
        ("text,label\na,2\nb,2.0\n", LabelKind.NUMBER, "all 2 texts have the number 2; nothing"),
        ("text,label\na,2\nb,nan\n", LabelKind.NUMBER, "line 3: the 'label' cell should be"),
        ("tokens,tags\na b,O O\nc,O\n", LabelKind.TAGS, "all 2 texts have only the tag O"),
        ("tokens,tags\na b,O O\nc d,O\n", LabelKind.TAGS, "t.csv, line 3: 2 words but 1 tags"),
        ("text,label,split\na,x,dev\n", LabelKind.CLASS, "line 2: 'dev' is no split; allowed are"),
        ("text,label\na\nb,y\n", LabelKind.CLASS, "line 2: 1 cell, but there are 2 columns"),
        ("text,label\na,b,x\n", LabelKind.CLASS, "line 2: 3 cells, but the first line names 2"),
    ],
)  # fmt: skip
def test_table_that_cannot_be_learnt_from_is_refused(csv, text, kind, message):
    with pytest.raises(DataError, match=message):
        opened(csv(text), kind)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ((0, 0), r"all 2 texts are without a label; nothing to learn"),
        ((1, 1), r"all 2 texts have the labels rude; nothing to learn"),
    ],
)
def test_several_labels_that_never_differ_are_refused(csv, cells, message):
    path = csv(f"text,rude\na,{cells[0]}\nb,{cells[1]}\n")

    with pytest.raises(DataError, match=message):
        opened(path, LabelKind.CLASSES, labels=LabelColumns(flags=("rude",)))


def test_label_that_never_holds_is_left_out_and_told(csv, caplog):
    path = csv("text,rude,kind\na,1,0\nb,0,0\n")

    source = opened(path, LabelKind.CLASSES, labels=LabelColumns(flags=("kind", "rude")))

    assert source.classes == ("rude",)
    assert "left out 1 label without an example: kind" in caplog.text


def test_tags_without_o_are_told(csv, caplog):
    source = opened(csv("tokens,tags\na b,0 3\n"), LabelKind.TAGS)

    assert source.classes == ("O", "0", "3")
    assert "no word has the tag O" in caplog.text


@pytest.mark.parametrize(
    ("kind", "columns", "key"),
    [
        (LabelKind.CLASS, {"text": "review"}, "data.text_column"),
        (LabelKind.CLASS, {"pair": "title"}, "data.pair_column"),
        (LabelKind.NUMBER, {"labels": LabelColumns("stars")}, "data.label_column"),
        (LabelKind.CLASSES, {"labels": LabelColumns(flags=("a",))}, "data.label_columns"),
        (LabelKind.TAGS, {}, "data.tokens_column"),
        (LabelKind.TAGS, {"tokens": "text"}, "data.tags_column"),
        (LabelKind.CLASS, {"group": "user"}, "data.group_column"),
        (LabelKind.CLASS, {"split": "fold"}, "data.split_column"),
    ],
)
def test_column_that_is_missing_is_refused_by_its_key(csv, kind, columns, key):
    with pytest.raises(DataSettingError, match="its columns are text, label") as caught:
        opened(csv("text,label\na,x\nb,y\n"), kind, **columns)

    assert caught.value.key == key


def test_text_that_is_a_list_is_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": ["a"], "label": 1}\n')

    with pytest.raises(DataError, match=r"line 1: the 'text' cell should hold text, not \['a'\]"):
        opened(tmp_path / "t.jsonl")
