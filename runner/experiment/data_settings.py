"""Where the examples come from: one class of settings for each kind of source."""

from typing import Annotated, Literal

from pydantic import Field

from runner.experiment.addresses import Place
from runner.experiment.example_settings import (
    ImageDataSettings,
    RowLabelSettings,
    Text,
    TextDataSettings,
)


class BundledData(TextDataSettings, ImageDataSettings):
    """A set that comes with the runner and needs no network."""

    source: Literal["bundled"] = Field(description="Kind of source.")
    name: Literal["cat-faces", "digits", "docstrings", "glyphs"] = Field(
        description="`cat-faces`: nine cat expressions drawn with DejaVu Sans; `digits`: 1,797 "
        "handwritten digits; `docstrings`: sentences of installed Python libraries' docstrings, "
        "the class is the library; `glyphs`: other DejaVu glyphs, for pretraining."
    )
    size: int | None = Field(
        None, ge=3, le=100_000, description="Examples per class; null: the set's own number."
    )


class FolderData(ImageDataSettings):
    """A folder with one sub-folder of images per class."""

    source: Literal["folder"] = Field(description="Kind of source.")
    path: Place = Field(
        description="The folder; relative to the experiment file, or an address such as "
        "s3://bucket/cats."
    )


class ManifestData(RowLabelSettings, ImageDataSettings):
    """A table with one row per image."""

    source: Literal["manifest"] = Field(description="Kind of source.")
    path: Place = Field(
        pattern=r"\.(?:[cC][sS][vV]|[pP][aA][rR][qQ][uU][eE][tT])$",
        description="A .csv or .parquet file; relative to the experiment file, or an address.",
    )
    root: Place | None = Field(
        None,
        description="Folder the image paths are relative to, or its address; null: the "
        "manifest's own.",
    )
    path_column: Text = Field("path", description="Column with the path of the image.")
    group_column: Text = Field(
        "group", description="Column, if there, whose equal values stay in one split."
    )
    split_column: Text = Field(
        "split", description="Column, if there, with `train`, `validation` or `test`."
    )
    allow_outside: bool = Field(
        False, description="Whether paths, and links below `root`, may lead outside it."
    )


class TorchvisionData(ImageDataSettings):
    """A data set of torchvision."""

    source: Literal["torchvision"] = Field(description="Kind of source.")
    name: Text = Field(description="Name of the class in torchvision.datasets, e.g. Flowers102.")
    root: Text | None = Field(
        None, description="Folder of the data; relative to the experiment file; null: the cache."
    )
    download: bool = Field(False, description="Whether to download it where it is missing.")


class HuggingFaceData(RowLabelSettings, TextDataSettings, ImageDataSettings):
    """A data set of the Hugging Face hub."""

    source: Literal["huggingface"] = Field(description="Kind of source.")
    name: Text = Field(description="Name on the hub, e.g. uoft-cs/cifar10.")
    config: Text | None = Field(None, description="Configuration of the set; null: its default.")
    image_column: Text = Field("image", description="Column with the image.")
    text_column: Text = Field("text", description="Column with the text.")
    pair_column: Text | None = Field(
        None, description="Column with the second text of a pair; null: single texts."
    )
    tokens_column: Text = Field("tokens", description="Tags: column with the list of words.")
    tags_column: Text = Field("tags", description="Tags: column with the list of their tags.")
    revision: Text | None = Field(None, description="Commit or tag; null: the newest.")


TableFile = Annotated[
    Place,
    Field(
        pattern=r"\.(?:[cC][sS][vV]|[tT][sS][vV]|[jJ][sS][oO][nN][lL]|[pP][aA][rR][qQ][uU][eE][tT])$"
    ),
]


class TableData(RowLabelSettings, TextDataSettings):
    """A table with one row per text."""

    source: Literal["table"] = Field(description="Kind of source.")
    path: TableFile = Field(
        description="A .csv, .tsv, .jsonl or .parquet file; relative to the experiment file, or "
        "an address."
    )
    validation_path: TableFile | None = Field(
        None,
        description="A .csv, .tsv, .jsonl or .parquet file of the validation split; null: taken "
        "out of `path`.",
    )
    test_path: TableFile | None = Field(
        None,
        description="A .csv, .tsv, .jsonl or .parquet file of the test split; null: taken out "
        "of `path`.",
    )
    text_column: Text = Field("text", description="Column with the text.")
    pair_column: Text | None = Field(
        None, description="Column with the second text of a pair; null: single texts."
    )
    tokens_column: Text = Field(
        "tokens", description="Tags: column with the words, a list or separated by spaces."
    )
    tags_column: Text = Field(
        "tags", description="Tags: column with a tag for each word, a list or separated by spaces."
    )
    group_column: Text = Field(
        "group", description="Column, if there, whose equal values stay in one split."
    )
    split_column: Text = Field(
        "split", description="Column, if there, with `train`, `validation` or `test`."
    )


class ConllData(TextDataSettings):
    """A file with one word and its tag per line, and a blank line between sentences."""

    source: Literal["conll"] = Field(description="Kind of source.")
    path: Place = Field(
        description="The file; relative to the experiment file, or an address. Fields are "
        "separated by tabs or spaces; -DOCSTART- lines are skipped."
    )
    validation_path: Place | None = Field(
        None, description="The file of the validation split; null: taken out of `path`."
    )
    test_path: Place | None = Field(
        None, description="The file of the test split; null: taken out of `path`."
    )
    token_column: int = Field(
        0, description="Number of the field with the word, from 0; -1: the last one."
    )
    tag_column: int = Field(-1, description="Number of the field with the tag, likewise.")


DataSettings = Annotated[
    BundledData
    | FolderData
    | ManifestData
    | TorchvisionData
    | HuggingFaceData
    | TableData
    | ConllData,
    Field(discriminator="source"),
]
"""Any source of data, told apart by its `source` key."""
