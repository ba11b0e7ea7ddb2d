"""What is given to a model: examples and files of them, in order, and what is refused."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from runner.errors import DataError
from runner.promotion.inputs import InputFile, read_inputs

ROWS = [{"text": 'a "red" fox', "pair": "a dog"}, {"text": "a, bear", "pair": "文"}]


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        cells = [[*rows[0]], *([str(cell) for cell in row.values()] for row in rows)]
        quoted = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in cells]
        path.write_text("\n".join(separator.join(line) for line in quoted) + "\n", "utf-8")
    return path


def refusal(inputs, takes) -> str:
    with pytest.raises(DataError) as caught:
        read_inputs(inputs, takes)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_table_gives_texts_and_pairs_in_order(tmp_path: Path, suffix: str):
    file = written(tmp_path / f"texts{suffix}", ROWS)

    texts = read_inputs(InputFile(file), ["text"])
    assert [each.values for each in texts] == [{"text": row["text"]} for row in ROWS]
    pairs = read_inputs(InputFile(file), ["text", "pair"])
    assert [each.values for each in pairs] == ROWS
    named = read_inputs(InputFile(file, column="pair"), ["text"])
    assert [each.values for each in named] == [{"text": row["pair"]} for row in ROWS]
    unit, first = ("row", 1) if suffix == ".parquet" else ("line", 1 if "json" in suffix else 2)
    assert [each.place for each in texts] == [
        f"{file}, {unit} {first}",
        f"{file}, {unit} {first + 1}",
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_table_gives_words_where_the_model_tags_them(tmp_path: Path, suffix: str):
    file = written(tmp_path / f"words{suffix}", [{"tokens": ["a", "fox"]}, {"tokens": ["b"]}])

    given = read_inputs(InputFile(file), ["text", "tokens"])
    assert [each.values for each in given] == [{"tokens": ["a", "fox"]}, {"tokens": ["b"]}]
    sentences = written(tmp_path / f"sentences{suffix}", [{"text": "a fox"}])
    assert read_inputs(InputFile(sentences), ["text", "tokens"])[0].values == {"text": "a fox"}


def test_words_of_a_csv_are_read_as_training_reads_them(tmp_path: Path):
    """Fails where such a cell is a text: its brackets and commas would be parts of words."""
    rows = [{"tokens": ["EU", "rejects"]}, {"tokens": "12\u00a0000 EUR"}]
    file = written(tmp_path / "words.csv", rows)

    given = read_inputs(InputFile(file), ["text", "tokens"])
    assert [each.values for each in given] == [
        {"tokens": ["EU", "rejects"]},
        {"tokens": ["12\u00a0000", "EUR"]},
    ]


def test_line_of_a_txt_ends_where_editors_end_it(tmp_path: Path):
    """Fails with `splitlines`, which cuts at what Unicode calls a line too."""
    file = tmp_path / "texts.txt"
    file.write_bytes("a\u2028fox\r\na\x0cdog\n".encode())

    given = read_inputs(InputFile(file), ["text"])
    assert [each.values["text"] for each in given] == ["a\u2028fox", "a\x0cdog"]


def test_txt_gives_a_text_a_line(tmp_path: Path):
    file = tmp_path / "texts.txt"
    file.write_text("a fox\na, dog\n", "utf-8")

    given = read_inputs(InputFile(file), ["text"])
    assert [each.values for each in given] == [{"text": "a fox"}, {"text": "a, dog"}]
    file.write_text("a fox\n\na dog\n", "utf-8")
    assert refusal(InputFile(file), ["text"]) == f"{file}, line 2 is empty"
    assert refusal(InputFile(file, column="text"), ["text"]).endswith(
        "a .txt file has no columns, so there is no 'text'"
    )
    assert "a table with `text` and `pair`" in refusal(InputFile(file), ["text", "pair"])


@pytest.mark.parametrize("name", ["images.csv", "images.txt"])
def test_images_of_a_file_are_beside_it(tmp_path: Path, name: str):
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "images.csv").write_text(f"image\na.png\n{tmp_path / 'a.png'}\n", "utf-8")
    (tmp_path / "images.txt").write_text(f"a.png\n{tmp_path / 'a.png'}\n", "utf-8")

    given = read_inputs(InputFile(tmp_path / name), ["image"])
    assert [each.values["image"] for each in given] == [tmp_path / "a.png"] * 2


def test_images_that_are_not_there_are_all_named(tmp_path: Path):
    there = tmp_path / "a.png"
    there.write_bytes(b"a")
    assert refusal([there, "no.png", tmp_path / "nor.png"], ["image"]) == (
        f"no such image file: no.png, {tmp_path / 'nor.png'}"
    )
    file = tmp_path / "images.csv"
    file.write_text("image\na.png\nno.png\n", "utf-8")
    assert refusal(InputFile(file), ["image"]) == (
        f"no such image file: {tmp_path / 'no.png'} ({file}, line 3)"
    )


def test_examples_from_python_are_texts_pairs_or_words():
    assert read_inputs(["a fox"], ["text"])[0].values == {"text": "a fox"}
    pair = read_inputs([("a fox", "a dog")], ["text", "pair"])[0]
    assert pair.values == {"text": "a fox", "pair": "a dog"}
    words = read_inputs([["a", "fox"], "a dog"], ["text", "tokens"])
    assert [each.values for each in words] == [{"tokens": ["a", "fox"]}, {"text": "a dog"}]


@pytest.mark.parametrize(
    ("example", "takes", "message"),
    [
        ("a fox", ["text", "pair"], "text 1 ('a fox'): this model takes pairs of texts; give"),
        (["a", "b", "c"], ["text", "pair"], "text 1: this model takes pairs of texts, not 3"),
        (("a", "b"), ["text"], "text 1: this model takes single texts, not 2 texts together"),
        (" ", ["text"], "text 1: 'text' is empty"),
        (("a", ""), ["text", "pair"], "text 1: 'pair' is empty"),
        ([" "], ["text", "tokens"], "text 1: 'tokens' holds no words"),
        (Path("a.csv"), ["text"], "text 1: this model takes texts, not files; the texts of a"),
        (("a.png", "b.png"), ["image"], "image 1: ('a.png', 'b.png') is not the path of a file"),
    ],
)
def test_example_of_another_kind_is_refused(example, takes, message):
    assert refusal([example], takes).startswith(message)


def test_file_without_the_column_says_which_are_there(tmp_path: Path):
    file = written(tmp_path / "texts.csv", [{"txt": "a", "id": "1"}])
    assert refusal(InputFile(file), ["text"]) == (
        f"{file} has no column 'text'; its columns are txt, id; did you mean 'txt'? --column "
        "names the one to take"
    )
    pairs = written(tmp_path / "pairs.csv", [{"text": "a", "second": "b"}])
    assert "has no column 'pair'; its columns are text, second" in refusal(
        InputFile(pairs), ["text", "pair"]
    )


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([{"text": "a"}, {"text": 3}], "line 2: 'text' should be text, not 3"),
        ([{"text": "a"}, {"text": None}], "line 2: the 'text' cell is missing"),
        ([{"text": "a"}, {"pair": "b"}], "line 2: the 'text' cell is missing"),
        ([{"text": " "}], "line 1: 'text' is empty"),
    ],
)
def test_cell_that_is_no_text_is_named_with_file_and_line(tmp_path: Path, cells, message):
    file = written(tmp_path / "texts.jsonl", cells)

    assert refusal(InputFile(file), ["text"]) == f"{file}, {message}"


def test_file_that_is_missing_or_of_another_kind_is_refused(tmp_path: Path):
    assert refusal(InputFile(tmp_path / "a.xlsx"), ["text"]).endswith(
        "should be a table (.csv, .tsv, .jsonl, .ndjson, .parquet, .pq) or a .txt with a line an "
        "example"
    )
    assert refusal(InputFile(tmp_path / "a.csv"), ["text"]).endswith("there is no such file")
