"""Reading tables of every format, and what is refused with file and line."""

import zipfile
from decimal import Decimal
from types import SimpleNamespace

import pandas as pd
import psutil
import pyarrow as pa
import pytest
from pyarrow import parquet

from runner.data.errors import DataSettingError
from runner.data.table_files import (
    read_table,
    refuse_missing_columns,
    refuse_short_rows,
)
from runner.errors import DataError


def test_csv_rows_keep_their_lines_and_the_white_space_of_cells(tmp_path):
    (tmp_path / "t.csv").write_text("text , label\n\n one ,1\n,\ntwo,0\n")

    table = read_table(tmp_path / "t.csv")

    assert (table.columns, table.unit) == (("text", "label"), "line")
    assert table.rows == ((3, ("one ", "1")), (5, ("two", "0")))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("t.csv", "text,label\nä,1\n"), ("t.jsonl", '{"text": "ä", "label": "1"}\n')],
)
def test_byte_order_mark_is_no_part_of_the_first_name(tmp_path, encoding, name, text):
    """Fails where the mark of UTF-8 is kept."""
    (tmp_path / name).write_text(text, encoding=encoding)

    table = read_table(tmp_path / name)

    assert table.columns == ("text", "label")
    assert table.rows[0][1] == ("ä", "1")


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_text_in_another_encoding_is_refused_with_its_line(tmp_path, name):
    (tmp_path / name).write_bytes('{"text": "fine"}\n{"text": "schön"}\n'.encode("latin-1"))

    with pytest.raises(DataError, match=f"{name}, line 2: not UTF-8 text; save the file as UTF-8"):
        read_table(tmp_path / name)


def test_jsonl_keeps_values_and_misses_the_keys_that_a_line_lacks(tmp_path):
    (tmp_path / "t.jsonl").write_text(
        '{"text": "a", "label": [1, "b"]}\r\n\n{"label": null, "n": 2.5}'
    )

    table = read_table(tmp_path / "t.jsonl")

    assert table.columns == ("text", "label", "n")
    assert table.rows == ((1, ("a", [1, "b"], None)), (3, (None, None, 2.5)))
    assert [row["n"] for _, row in table.records()] == [None, 2.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"text": "a"}\n{"text": "b"\n', r"t.jsonl, line 2: not JSON \(Expecting"),
        ('{"text": "a"}\n["b"]\n', r"line 2: should hold a JSON object, not \['b'\]"),
        ('[\n{"text": "a"}\n]', r"line 1: not JSON .*; write one JSON object a line"),
        ("\n \n", "t.jsonl is empty; each line must hold a JSON object"),
    ],
)
def test_jsonl_with_a_wrong_line_is_refused_with_it(tmp_path, text, message):
    (tmp_path / "t.jsonl").write_text(text)

    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "t.jsonl")


def test_parquet_keeps_values_and_counts_rows(tmp_path):
    pd.DataFrame({"text": ["a", None], "tags": [["O"], ["B-x", "O"]]}).to_parquet(
        tmp_path / "t.parquet"
    )

    table = read_table(tmp_path / "t.parquet")

    assert table.unit == "row"
    assert table.rows == ((1, ("a", ["O"])), (2, (None, ["B-x", "O"])))


def test_parquet_that_is_none_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_text("text,label")

    with pytest.raises(DataError, match="t.parquet is not a Parquet file"):
        read_table(tmp_path / "t.parquet")


def test_file_that_is_not_there_is_refused_with_its_key(tmp_path):
    with pytest.raises(
        DataSettingError, match="data.test_path: the file does not exist"
    ) as caught:
        read_table(tmp_path / "t.csv", key="data.test_path")
    assert caught.value.seen == str(tmp_path / "t.csv")

    with pytest.raises(DataSettingError, match="is a folder, not a file"):
        read_table(tmp_path)


def test_more_cells_than_columns_are_refused_with_their_line(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nwell, well,1\n")

    with pytest.raises(DataError, match=r"line 2: 3 cells, but the first line names 2 columns"):
        read_table(tmp_path / "t.csv")


def test_fewer_cells_than_columns_are_refused_with_their_line(tmp_path):
    (tmp_path / "t.csv").write_text("text,label,group\na,1,x\nb,0\n")

    with pytest.raises(DataError, match=r"t, line 3: 2 cells, but there are 3 columns \(text, l"):
        refuse_short_rows("t", read_table(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("text", "lable"), "its columns are text, lable; did you mean 'lable'?"),
        (("ham", "Go until jurong"), "The first line must name the columns"),
        (("text~label",), "separate them by a comma, semicolon, tab or bar"),
        (("x" * 200,), f"its columns are {'x' * 40}...."),
        (("label", "text", "label"), "t.csv has two columns of this name"),
    ],
)
def test_column_that_is_missing_is_refused_with_those_that_are_there(columns, message):
    with pytest.raises(DataSettingError) as caught:
        refuse_missing_columns("t.csv", columns, [("data.label_column", "label")])

    assert (caught.value.key, caught.value.seen) == ("data.label_column", "label")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("beginning", "what"),
    [
        (b"PK\x03\x04", r"an Excel workbook \(\.xlsx\) or another ZIP archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", r"an Excel workbook \(\.xls\)"),
        (b"PAR1\x15\x04", r"a Parquet file, whose name should end in \.parquet"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"%PDF-1.7", "a PDF file"),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_file_that_is_no_text_is_called_what_it_is(tmp_path, name, beginning, what):
    (tmp_path / name).write_bytes(beginning + bytes(range(256)) + beginning[:4])

    with pytest.raises(DataError, match=rf"{name} is {what}.*, not text; save it as text"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("name", ["PAR1", "%PDF", "%PDF of text"])
def test_csv_whose_header_begins_like_another_format_is_read(tmp_path, name):
    """Taken out: that a Parquet file is told by its end too, and a PDF by the hyphen."""
    (tmp_path / "t.csv").write_text(f"{name},label\na,1\n")

    assert read_table(tmp_path / "t.csv").columns == (name, "label")


def test_real_workbook_named_csv_is_called_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.csv", "w") as book:
        book.writestr("[Content_Types].xml", "<Types/>")
        book.writestr("xl/workbook.xml", "<workbook/>")

    with pytest.raises(DataError, match="is an Excel workbook"):
        read_table(tmp_path / "t.csv")


def test_utf16_without_its_mark_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes("text,label\nwell,1\n".encode("utf-16-le"))

    with pytest.raises(DataError, match="t.csv, line 1: holds NUL characters; save .* as UTF-8"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("value", ["[" * 100_000, '{"a":' * 100_000])
def test_json_that_nests_without_end_is_refused_with_its_line(tmp_path, value):
    (tmp_path / "t.jsonl").write_text(f'{{"text": "a"}}\n{{"text": {value}\n')

    with pytest.raises(DataError, match="t.jsonl, line 2: lists or objects nested too deep"):
        read_table(tmp_path / "t.jsonl")


def test_json_with_a_number_of_too_many_digits_is_refused_with_its_line(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"label": ' + "9" * 5000 + "}\n")

    with pytest.raises(DataError, match=r"t.jsonl, line 1: not JSON \(Exceeds the limit"):
        read_table(tmp_path / "t.jsonl")


def test_parquet_that_unpacks_to_more_than_the_free_memory_is_refused(tmp_path, monkeypatch):
    """Two million equal values take a few hundred bytes on the disk.

    Fails without `_refuse_too_large`.
    """
    rows = pa.table({"text": pa.array(["a"] * 2_000_000).dictionary_encode()})
    parquet.write_table(rows, tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 10_000
    free = SimpleNamespace(available=64 * 2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)

    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "t.parquet")

    assert "2,000,000 rows of 1 column would take about 0.1 GiB of memory" in str(caught.value)
    assert "and 0.1 are free. Keep the rows and columns that are needed" in str(caught.value)
    free.available = 2**30
    assert len(read_table(tmp_path / "t.parquet").rows) == 2_000_000


LONG = ["x" * 200_000] * 2000
BOMBS = {
    "long text": (pa.array(LONG), "2,000 rows of 1 column would take about 0.4 GiB"),
    "long text kept once": (pa.array(LONG).dictionary_encode(), "take about 0.4 GiB"),
    "bytes": (pa.array([each.encode() for each in LONG]), "take about 0.4 GiB"),
    "long texts of a list": (pa.array([LONG]), "1 rows of 1 column would take about 0.4 GiB"),
    "texts of structs": (pa.array([{"a": each} for each in LONG]), "take about 0.4 GiB"),
    "long list": (pa.array([[1] * 3_000_000]), "1 rows of 1 column would take about 0.2 GiB"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_parquet_of_long_texts_or_lists_kept_once_is_refused(tmp_path, case, monkeypatch):
    """Taken out: the lengths of texts, and the items of lists instead of rows."""
    column, message = BOMBS[case]
    parquet.write_table(pa.table({"c": column}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 50_000
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=128 * 2**20))
    before = pa.total_allocated_bytes()

    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "t.parquet")

    assert pa.total_allocated_bytes() - before < 2**20


def test_parquet_of_every_type_is_read_as_written(tmp_path):
    rows = [
        {"t": "ä", "b": b"\xff", "d": Decimal("1.5"), "l": ["a", None], "s": {"x": "y"}},
        {"t": None, "b": None, "d": None, "l": None, "s": None},
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")

    assert [row for _, row in read_table(tmp_path / "t.parquet").records()] == rows


def test_jsonl_with_another_key_in_each_line_is_refused_without_room(tmp_path, monkeypatch):
    """Taken out: that rows times columns are looked at; 77 KB took 334 MB."""
    lines = (f'{{"k{number}": 1}}' for number in range(6000))
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=128 * 2**20))

    with pytest.raises(DataError, match="6,000 rows of 6000 columns would take about 0.3 GiB"):
        read_table(tmp_path / "t.jsonl")


def test_parquet_column_that_is_no_text_is_refused_by_name(tmp_path):
    broken = pa.array([b"fine", b"\xff\xfe"]).view(pa.binary())
    text = pa.StringArray.from_buffers(2, *broken.buffers()[1:])
    parquet.write_table(pa.table({"text": text}), tmp_path / "t.parquet")

    with pytest.raises(DataError, match="t.parquet: the column 'text' cannot be read: 'utf-8'"):
        read_table(tmp_path / "t.parquet")
