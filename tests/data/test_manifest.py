"""CSV and Parquet manifests: separators, columns, roots, and what is refused."""

import time
from pathlib import Path

import pandas as pd
import pytest

from runner.data import manifest
from runner.data.errors import DataSettingError
from runner.data.example import Part, Source
from runner.data.labels import LabelColumns
from runner.data.manifest import Columns, manifest_names, manifest_source
from runner.data.table_files import Table
from runner.errors import DataError
from runner.experiment import LabelKind
from tests.data.many_classes import write_pictures


def opened(path: Path, **changes: object) -> Source:
    settings = {
        "root": path.parent,
        "columns": Columns(),
        "allow_outside": False,
        "max_unreadable": 0.0,
        "cache": None,
        **changes,
    }
    return manifest_source(path, **settings)


@pytest.fixture
def root(make_folder) -> Path:
    return make_folder({"a": 2, "b": 2})


ROWS = [("a/000.png", "cat"), ("a/001.png", "cat"), ("b/000.png", "dog"), ("b/001.png", "dog")]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_with_any_separator_and_byte_order_mark_is_read(root, separator, encoding):
    lines = [separator.join(cells) for cells in [("path", "label"), *ROWS]]
    (root / "m.csv").write_text("\r\n".join(lines), encoding=encoding)

    source = opened(root / "m.csv")

    assert source.classes == ("cat", "dog")
    assert [example.id for example in source.examples] == [path for path, _ in ROWS]


def test_csv_with_quoted_cells_and_blank_lines_is_read(root):
    (root / "m.csv").write_text('path,label\n\n"a/000.png","big, cat"\nb/000.png,dog\n\n')

    assert opened(root / "m.csv").classes == ("big, cat", "dog")


def test_labels_that_look_like_numbers_or_missing_values_stay_text(root):
    (root / "m.csv").write_text("path,label\na/000.png,01\nb/000.png,NA\n")

    assert opened(root / "m.csv").classes == ("01", "NA")


def test_parquet_with_group_and_split_is_read(root):
    table = pd.DataFrame(ROWS, columns=["path", "label"])
    table["group"] = [1, 1, 2, None]
    table["split"] = ["train", "val", "train", "TEST"]
    table.to_parquet(root / "m.parquet")

    examples = opened(root / "m.parquet").examples

    assert [example.group for example in examples] == ["1.0", "1.0", "2.0", None]
    assert [example.split for example in examples] == [
        Part.TRAIN,
        Part.VALIDATION,
        Part.TRAIN,
        Part.TEST,
    ]


def test_renamed_columns_are_used(root):
    (root / "m.csv").write_text("file,breed,owner\na/000.png,cat,ann\nb/000.png,dog,bob\n")

    source = opened(
        root / "m.csv", columns=Columns(path="file", labels=LabelColumns("breed"), group="owner")
    )

    assert [example.group for example in source.examples] == ["ann", "bob"]


@pytest.mark.parametrize(
    ("columns", "key", "message"),
    [
        (Columns(path="file"), "data.path_column", "its columns are path, lable"),
        (Columns(), "data.label_column", "did you mean 'lable'?"),
        (
            Columns(labels=LabelColumns("lable"), group="owner"),
            "data.group_column",
            "(seen: owner)",
        ),
    ],
)
def test_column_that_is_missing_is_refused_with_those_that_are_there(root, columns, key, message):
    (root / "m.csv").write_text("path,lable\na/000.png,cat\n")

    with pytest.raises(DataSettingError) as caught:
        opened(root / "m.csv", columns=columns)

    assert caught.value.key == key
    assert message in str(caught.value)
    assert caught.value.allowed == ("path", "lable")


@pytest.mark.parametrize("path", ["../secret.png", "a/../../secret.png", "/etc/secret.png"])
def test_path_that_leaves_the_root_is_refused_with_its_line(root, path):
    """Fails where any path will do (`_inside`)."""
    (root / "m.csv").write_text(f"path,label\na/000.png,cat\n{path},dog\n")

    with pytest.raises(DataSettingError) as caught:
        opened(root / "m.csv")

    assert caught.value.key == "data.allow_outside"
    assert "line 3: " in str(caught.value)
    assert "leaves the root folder" in str(caught.value)


@pytest.mark.parametrize(("link", "row"), [("all", "all/000.png"), ("x.png", "x.png")])
def test_path_that_leaves_the_root_by_a_link_is_refused_unless_allowed(root, link, row):
    """Taken out: that a link counts as what it leads to; the files of b were read."""
    aim = root / "b" if link == "all" else root / "b" / "000.png"
    (root / "a" / link).symlink_to(aim)
    (root / "a" / "m.csv").write_text(f"path,label\n000.png,cat\n{row},dog\n")

    with pytest.raises(DataSettingError, match=f"line 3: {row} leaves the root folder"):
        opened(root / "a" / "m.csv")
    assert len(opened(root / "a" / "m.csv", allow_outside=True).examples) == 2


def test_root_that_is_a_link_and_links_below_it_are_followed(root, tmp_path):
    (tmp_path / "here").symlink_to(root)
    (root / "c").symlink_to(root / "b")
    rows = f"path,label\na/000.png,cat\nc/000.png,dog\n{root}/b/001.png,dog\n"
    (root / "m.csv").write_text(rows)

    assert len(opened(tmp_path / "here" / "m.csv").examples) == 3


def test_path_that_leaves_the_root_is_read_where_allowed(root):
    (root / "a" / "m.csv").write_text("path,label\n000.png,cat\n../b/000.png,dog\n")

    source = opened(root / "a" / "m.csv", allow_outside=True)

    assert [example.id for example in source.examples] == ["../b/000.png", "000.png"]


def test_paths_with_backslashes_are_read(root):
    (root / "m.csv").write_text("path,label\na\\000.png,cat\nb\\000.png,dog\n")

    assert opened(root / "m.csv").examples[0].id == "a/000.png"


def test_files_that_are_missing_are_named(root):
    (root / "m.csv").write_text("path,label\na/000.png,cat\na/999.png,cat\nb/000.png,dog\n")

    with pytest.raises(DataError, match=r"1 of 3 images unreadable .* a/999.png: no such file"):
        opened(root / "m.csv")

    assert opened(root / "m.csv", max_unreadable=0.5).unreadable == ("a/999.png: no such file",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na/000.png,\n", "line 2: the 'label' cell is empty"),
        ("path,label\n,cat\n", "line 2: the 'path' cell is empty"),
        ("path,label,split\na/000.png,cat,tset\n", "line 2: 'tset' is no split; allowed are"),
        ("path,label\na/000.png,cat,dog\n", r"line 2: 3 cells, but the first line names 2"),
        ("", "is empty; its first line must name the columns"),
        ("path,label\na/000.png,cat\n./a/000.png,dog\n", r"a/000.png \(line 2, line 3\)"),
        ("path,label\n", "no images found"),
    ],
)
def test_manifest_with_a_wrong_row_is_refused_with_its_line(root, text, message):
    (root / "m.csv").write_text(text)

    with pytest.raises(DataError, match=message):
        opened(root / "m.csv")


def test_manifest_in_another_encoding_is_refused_with_its_line(root):
    (root / "m.csv").write_bytes("path,label\na/000.png,Kätzchen\n".encode("latin-1"))

    with pytest.raises(DataError, match="line 2: not UTF-8 text; save the file as UTF-8"):
        opened(root / "m.csv")


def test_manifest_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataSettingError, match="data.path: the file does not exist"):
        opened(tmp_path / "m.csv")


def test_numbers_of_images_are_read(root):
    (root / "m.csv").write_text("path,age\na/000.png,1.5\na/001.png,-2\nb/000.png,1e1\n")

    source = opened(
        root / "m.csv", columns=Columns(labels=LabelColumns("age")), kind=LabelKind.NUMBER
    )

    assert (source.kind, source.classes) == (LabelKind.NUMBER, ())
    assert [example.label for example in source.examples] == [1.5, -2.0, 10.0]
    assert source.image(2).mode == "RGB"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (
            "path,b,a\na/000.png,1,0\na/001.png,0,0\nb/000.png,1,1\n",
            LabelColumns(flags=("b", "a")),
        ),
        ("path,label\na/000.png,b\na/001.png,\nb/000.png,a;b\n", LabelColumns(separator=";")),
    ],
)
def test_several_labels_of_images_are_read(root, text, columns):
    (root / "m.csv").write_text(text)
    path = root / "m.csv"

    source = opened(path, columns=Columns(labels=columns), kind=LabelKind.CLASSES)

    assert source.kind is LabelKind.CLASSES
    held = [{source.classes[i] for i in example.label} for example in source.examples]
    assert held == [{"b"}, set(), {"a", "b"}]
    assert source.classes == (columns.flags or ("a", "b"))


def test_lists_in_parquet_are_several_labels_of_images(root):
    paths = [path for path, _ in ROWS]
    frame = pd.DataFrame({"path": paths, "label": [["x"], ["y", "x"], [], ["y"]]})
    frame.to_parquet(root / "m.parquet")

    source = opened(root / "m.parquet", kind=LabelKind.CLASSES)

    assert [example.label for example in source.examples] == [(0,), (0, 1), (), (1,)]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "path,label\na/000.png,nan\n",
            LabelKind.NUMBER,
            "m.csv, line 2: the 'label' cell",
        ),
        ("path,label\na/000.png,2\nb/000.png,2\n", LabelKind.NUMBER, "all 2 images have the num"),
        ("path,label\na/000.png,\nb/000.png,x|y\n", LabelKind.CLASSES, "at .*m.csv, line 3 the"),
    ],
)
def test_labels_of_images_that_are_wrong_are_refused(root, text, kind, message):
    (root / "m.csv").write_text(text)

    with pytest.raises(DataError, match=message):
        opened(root / "m.csv", kind=kind)


def test_label_of_unreadable_images_alone_is_refused(root):
    """Fails without `refuse_empty_classes`."""
    (root / "m.csv").write_text("path,x,y\na/000.png,1,0\na/9.png,0,1\nb/000.png,0,0\n")
    columns = Columns(labels=LabelColumns(flags=("x", "y")))

    with pytest.raises(DataError, match="no readable image in 1 label: y. Add images, or take"):
        opened(root / "m.csv", columns=columns, kind=LabelKind.CLASSES, max_unreadable=0.5)


def test_paths_with_line_breaks_are_used_and_written_on_one_line(root):
    """Fails where `one_line` gives the text as it is."""
    (root / "a" / "000.png").rename(root / "a" / "two\nlines.png")
    (root / "m.csv").write_text('path,label\n"a/two\nlines.png",cat\nb/000.png,dog\n')

    source = opened(root / "m.csv")

    assert [example.id for example in source.examples] == [r"a/two\nlines.png", "b/000.png"]
    assert source.image(0).mode == "RGB"
    assert manifest_names(root / "m.csv", "path") == ("a/two\nlines.png", "b/000.png")


def test_classes_with_line_breaks_are_written_on_one_line(root):
    """Fails where `one_line` gives the text as it is."""
    (root / "m.csv").write_text('path,label\na/000.png,"big\ncat"\nb/000.png,dog\n')

    assert opened(root / "m.csv").classes == (r"big\ncat", "dog")


@pytest.mark.parametrize(
    ("path", "label", "message"),
    [
        ("a/\0.png", "cat", r"m\.parquet, row 1: the 'path' cell holds a NUL character: 'a/\\x00"),
        ("a/000.png", "c\x07t", None),
    ],
)
def test_parquet_with_control_characters_is_refused_or_escaped(root, path, label, message):
    frame = pd.DataFrame({"path": [path, "b/000.png"], "label": [label, "dog"]})
    frame.to_parquet(root / "m.parquet")

    if message is None:
        assert opened(root / "m.parquet").classes == (r"c\x07t", "dog")
        return
    with pytest.raises(DataError, match=message):
        opened(root / "m.parquet")


@pytest.mark.parametrize(
    ("path", "label", "column"), [("a/\ud800.png", "cat", "path"), ("a.png", "\udfff", "label")]
)
def test_half_a_character_is_refused_with_its_row(root, monkeypatch, path, label, column):
    # Neither CSV nor Parquet can hold one; whatever else gives rows, might.
    table = Table(("path", "label"), ((7, (path, label)),), "line")
    monkeypatch.setattr(manifest, "read_table", lambda _: table)

    with pytest.raises(DataError, match=f"line 7: the '{column}' cell holds half a character"):
        opened(root / "m.csv")


def test_path_that_leaves_the_root_is_shown_on_one_line(root):
    (root / "m.csv").write_text('path,label\n"../x\ny.png",cat\nb/000.png,dog\n')

    with pytest.raises(DataSettingError, match=r"line 2: \.\./x\\ny\.png leaves the root folder"):
        opened(root / "m.csv")


def test_manifest_with_ten_thousand_classes_opens_in_seconds(root, tmp_path):
    names = write_pictures(tmp_path / "many", classes=10_000, each=1)
    rows = "".join(f"{name},breed {number}\n" for number, name in enumerate(names))
    (tmp_path / "many" / "m.csv").write_text(f"path,label\n{rows}")
    started = time.perf_counter()

    source = opened(tmp_path / "many" / "m.csv")

    assert len(source.classes) == 10_000
    assert time.perf_counter() - started < 30
