"""Paths start from the experiment file's folder, and every setting reaches its source."""

import os

import pytest
from PIL import Image

from runner.data import DataSettingError, open_source
from runner.errors import DataError
from runner.experiment import (
    BundledData,
    ConllData,
    FolderData,
    HuggingFaceData,
    LabelKind,
    ManifestData,
    Modality,
    TableData,
    TorchvisionData,
)


def test_relative_path_starts_from_the_base(make_folder, tmp_path):
    make_folder({"cat": 2, "dog": 2})
    settings = FolderData(source="folder", path="images")

    assert len(open_source(settings, base=tmp_path, cache=None).examples) == 4


def test_home_is_expanded(make_folder, tmp_path, monkeypatch):
    make_folder({"cat": 2, "dog": 2})
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = FolderData(source="folder", path="~/images")

    assert len(open_source(settings, base=tmp_path / "nowhere", cache=None).examples) == 4


def test_manifest_paths_start_from_its_folder_unless_a_root_is_given(make_folder, tmp_path):
    make_folder({"a": 1, "b": 1})
    (tmp_path / "lists").mkdir()
    text = "path,label\na/000.png,cat\nb/000.png,dog\n"
    (tmp_path / "lists" / "m.csv").write_text(text)
    settings = ManifestData(source="manifest", path="lists/m.csv")

    with pytest.raises(DataError, match=r"a/000.png: no such file"):
        open_source(settings, base=tmp_path, cache=None)

    rooted = settings.model_copy(update={"root": "images"})
    assert len(open_source(rooted, base=tmp_path, cache=None).examples) == 2


def test_max_unreadable_is_the_experiments(make_folder, tmp_path):
    root = make_folder({"cat": 5, "dog": 5})
    (root / "cat" / "000.png").write_bytes(b"")
    settings = FolderData(source="folder", path="images", max_unreadable=0.1)

    assert len(open_source(settings, base=tmp_path, cache=None).unreadable) == 1
    with pytest.raises(DataError, match=r"above data.max_unreadable = 0.05"):
        open_source(
            settings.model_copy(update={"max_unreadable": 0.05}), base=tmp_path, cache=None
        )


@pytest.mark.parametrize("source", ["folder", "manifest"])
def test_max_megapixels_is_the_experiments(make_folder, tmp_path, monkeypatch, source):
    root = make_folder({"cat": 2, "dog": 2})  # of 24 x 16 pixels
    rows = [f"{name}/{number:03d}.png,{name}" for name in ("cat", "dog") for number in (0, 1)]
    (root / "m.csv").write_text("\n".join(["path,label", *rows]))
    kind, path = (FolderData, "images") if source == "folder" else (ManifestData, "images/m.csv")
    settings = kind(source=source, path=path, max_megapixels=384e-6)

    opened = open_source(settings, base=tmp_path, cache=None)

    assert (len(opened.examples), opened.image(0).size) == (4, (24, 16))
    small = settings.model_copy(update={"max_megapixels": 383e-6})
    with pytest.raises(DataError, match="4 of 4 images unreadable .* or raise data.max_megapix"):
        open_source(small, base=tmp_path, cache=None)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    assert len(open_source(settings, base=tmp_path, cache=None).examples) == 4


def test_torchvision_without_root_looks_in_the_cache(tmp_path):
    settings = TorchvisionData(source="torchvision", name="MNIST")

    with pytest.raises(DataSettingError) as caught:
        open_source(settings, base=tmp_path, cache=tmp_path / "cache")

    assert caught.value.seen == os.fspath(tmp_path / "cache" / "torchvision" / "MNIST")


def test_torchvision_without_root_and_cache_is_refused(tmp_path):
    settings = TorchvisionData(source="torchvision", name="MNIST")

    with pytest.raises(DataSettingError, match="name the folder of the data"):
        open_source(settings, base=tmp_path, cache=None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read_is_refused_without_a_traceback(make_folder, tmp_path):
    root = make_folder({"cat": 1, "dog": 1})
    (root / "cat").chmod(0)

    with pytest.raises(DataError, match="cannot be read: .*Permission denied"):
        open_source(FolderData(source="folder", path="images"), base=tmp_path, cache=None)


def opened_texts(settings, base, labels=LabelKind.CLASS):
    return open_source(settings, labels=labels, modality=Modality.TEXT, base=base, cache=None)


def test_settings_of_a_table_reach_it(tmp_path):
    (tmp_path / "a.csv").write_text(
        "q,r,x,y,who,part\na,b,1,0,u,train\nc,d,0,1,v,test\ne,,0,1,w,test\n"
    )
    settings = TableData(
        source="table",
        path="a.csv",
        text_column="q",
        pair_column="r",
        label_columns=["x", "y"],
        group_column="who",
        split_column="part",
        max_empty=0.5,
    )

    source = opened_texts(settings, tmp_path, LabelKind.CLASSES)

    assert list(source.texts) == [("a", "b"), ("c", "d")]
    assert source.classes == ("x", "y")
    assert [(example.group, example.split) for example in source.examples] == [
        ("u", "train"),
        ("v", "test"),
    ]
    assert len(source.unreadable) == 1


def test_separator_words_and_other_parts_of_a_table_reach_it(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,x|y\nb,x\n")
    (tmp_path / "b.tsv").write_text("w\tt\na b\tO B-x\nc\tO\n")
    (tmp_path / "c.jsonl").write_text('{"w": ["d"], "t": ["O"]}')
    several = TableData(source="table", path="a.csv", label_separator="|")
    tagged = TableData(
        source="table",
        path="b.tsv",
        validation_path="c.jsonl",
        tokens_column="w",
        tags_column="t",
    )

    assert opened_texts(several, tmp_path, LabelKind.CLASSES).classes == ("x", "y")
    assert opened_texts(tagged, tmp_path, LabelKind.TAGS).examples[2].split == "validation"


def test_settings_of_a_conll_file_reach_it(tmp_path):
    (tmp_path / "a.conll").write_text("O a\nB-x b\n")
    (tmp_path / "b.conll").write_text("O c\n")
    settings = ConllData(
        source="conll", path="a.conll", test_path="b.conll", token_column=1, tag_column=0
    )

    source = opened_texts(settings, tmp_path, LabelKind.TAGS)

    assert list(source.texts) == [("c",), ("a", "b")]


def test_settings_of_hub_texts_reach_them(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"q": ["a", "b"], "r": ["c", "d"], "score": [1.0, 2.0]}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "saved"))
    settings = HuggingFaceData(
        source="huggingface",
        name="saved",
        text_column="q",
        pair_column="r",
        label_column="score",
    )

    source = opened_texts(settings, tmp_path, LabelKind.NUMBER)

    assert list(source.texts) == [("a", "c"), ("b", "d")]
    assert [example.label for example in source.examples] == [1.0, 2.0]


def test_bundled_docstrings_are_texts(tmp_path):
    settings = BundledData(
        source="bundled", name="docstrings", size=20, classes=["torch", "numpy"]
    )

    source = opened_texts(settings, tmp_path)

    assert source.classes == ("torch", "numpy")
    assert len(source.examples) == 40


def test_classes_of_texts_are_chosen(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,x\nb,y\nc,z\n")
    settings = TableData(source="table", path="a.csv", classes=["z", "x"])

    source = opened_texts(settings, tmp_path)

    assert (source.classes, list(source.texts)) == (("z", "x"), ["a", "c"])


TABLE = TableData(source="table", path="a.csv")
CONLL = ConllData(source="conll", path="a.conll")
FOLDER = FolderData(source="folder", path="images")
DIGITS = BundledData(source="bundled", name="digits")
DOCSTRINGS = BundledData(source="bundled", name="docstrings")


@pytest.mark.parametrize(
    ("settings", "modality", "labels", "key", "message"),
    [
        (
            TABLE,
            Modality.IMAGE,
            LabelKind.CLASS,
            "data.source",
            "holds no images; these come",
        ),
        (CONLL, Modality.IMAGE, LabelKind.CLASS, "data.source", "holds no images"),
        (
            FOLDER,
            Modality.TEXT,
            LabelKind.CLASS,
            "data.source",
            "holds no texts; these come",
        ),
        (
            FOLDER,
            Modality.IMAGE,
            LabelKind.NUMBER,
            "data.source",
            "its images have one class",
        ),
        (
            DIGITS,
            Modality.IMAGE,
            LabelKind.CLASSES,
            "data.source",
            "its images have one class",
        ),
        (DIGITS, Modality.TEXT, LabelKind.CLASS, "data.name", "texts are called docstrings"),
        (DOCSTRINGS, Modality.TEXT, LabelKind.NUMBER, "data.name", "has one class for each text"),
        (DOCSTRINGS, Modality.IMAGE, LabelKind.CLASS, "data.name", "no bundled set of that name"),
        (CONLL, Modality.TEXT, LabelKind.CLASS, "data.source", "has tags, for the task token_cl"),
    ],
)
def test_source_that_cannot_hold_what_is_asked_for_is_refused(
    tmp_path, settings, modality, labels, key, message
):
    with pytest.raises(DataSettingError, match=message) as caught:
        open_source(settings, labels=labels, modality=modality, base=tmp_path, cache=None)

    assert caught.value.key == key


def test_images_labelled_by_tags_are_refused(tmp_path):
    (tmp_path / "m.csv").write_text("path,label\na.png,x\n")
    settings = ManifestData(source="manifest", path="m.csv")

    with pytest.raises(DataSettingError, match="images have no words to tag"):
        open_source(settings, labels=LabelKind.TAGS, base=tmp_path, cache=None)
