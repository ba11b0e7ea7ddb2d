"""Where the examples come from, how they are split, and how images are prepared."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from runner.experiment.recipe import SETTINGS

Text = Annotated[str, Field(min_length=1)]
Channels = Annotated[tuple[float, float, float], Field(strict=False)]
Spread = Annotated[float, Field(gt=0)]
Spreads = Annotated[tuple[Spread, Spread, Spread], Field(strict=False)]
LargestSeed = 2**32 - 1


class SplitSettings(BaseModel):
    """Fractions of the three splits; ignored where the data come with splits of their own."""

    model_config = SETTINGS

    train: float = Field(0.8, gt=0, lt=1, description="Fraction of examples to train on.")
    validation: float = Field(
        0.1, gt=0, lt=1, description="Fraction of examples that trials are compared on."
    )
    test: float = Field(
        0.1, ge=0, lt=1, description="Fraction of examples kept unseen until promotion."
    )
    seed: int = Field(0, ge=0, le=LargestSeed, description="Seed of the split.")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test must add up to 1, not {total:.6g}")
        return self


class CommonDataSettings(BaseModel):
    """What every source of data has; the sources below add their own keys."""

    model_config = SETTINGS

    split: SplitSettings = Field(
        default_factory=SplitSettings,
        description="Stratified by label; examples of one group and exact duplicates stay on one "
        "side.",
    )
    classes: Annotated[tuple[Text, ...], Field(strict=False, min_length=2)] | None = Field(
        None,
        description="Use only the examples of these classes, in this order; null: all classes.",
    )
    flip: bool | None = Field(
        None,
        description="Whether augmentation may mirror images; null: not for sets of digits, signs "
        "or text that the runner knows, yes for others. Say false for your own of that kind.",
    )
    max_unreadable: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Fraction of images that may be unreadable before the run is stopped.",
    )
    image_size: int | None = Field(
        None, ge=8, le=4096, description="Side of the model's input, in pixels; null: its own."
    )
    crop_fraction: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Side of the centre crop, as a fraction of the resized image's shorter side; "
        "null: the model's own.",
    )
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = Field(
        None, description="How images are resized; null: the model's own."
    )
    mean: Channels | None = Field(
        None,
        description="Mean of each colour channel (red, green, blue; pixel values in 0..1); "
        "null: the model's own.",
    )
    std: Spreads | None = Field(
        None,
        description="Standard deviation of each colour channel, as for `mean`; null: the "
        "model's own.",
    )


class BundledData(CommonDataSettings):
    """A set that comes with the runner and needs no network."""

    source: Literal["bundled"] = Field(description="Kind of source.")
    name: Literal["cat-faces", "digits", "glyphs"] = Field(
        description="`cat-faces`: nine cat expressions drawn with DejaVu Sans; `digits`: 1,797 "
        "handwritten digits; `glyphs`: other DejaVu glyphs, for pretraining."
    )
    size: int | None = Field(
        None, ge=3, le=100_000, description="Examples per class; null: the set's own number."
    )


class FolderData(CommonDataSettings):
    """A folder with one sub-folder of images per class."""

    source: Literal["folder"] = Field(description="Kind of source.")
    path: Text = Field(description="The folder; relative to the experiment file.")


class ManifestData(CommonDataSettings):
    """A table with one row per image."""

    source: Literal["manifest"] = Field(description="Kind of source.")
    path: Text = Field(
        pattern=r"\.(?:[cC][sS][vV]|[pP][aA][rR][qQ][uU][eE][tT])$",
        description="A .csv or .parquet file; relative to the experiment file.",
    )
    root: Text | None = Field(
        None, description="Folder the image paths are relative to; null: the manifest's own."
    )
    path_column: Text = Field("path", description="Column with the path of the image.")
    label_column: Text = Field("label", description="Column with the class.")
    group_column: Text = Field(
        "group", description="Column, if there, whose equal values stay in one split."
    )
    split_column: Text = Field(
        "split", description="Column, if there, with `train`, `validation` or `test`."
    )
    allow_outside: bool = Field(False, description="Whether paths may lead outside `root`.")


class TorchvisionData(CommonDataSettings):
    """A data set of torchvision."""

    source: Literal["torchvision"] = Field(description="Kind of source.")
    name: Text = Field(description="Name of the class in torchvision.datasets, e.g. Flowers102.")
    root: Text | None = Field(
        None, description="Folder of the data; relative to the experiment file; null: the cache."
    )
    download: bool = Field(False, description="Whether to download it where it is missing.")


class HuggingFaceData(CommonDataSettings):
    """A data set of the Hugging Face hub."""

    source: Literal["huggingface"] = Field(description="Kind of source.")
    name: Text = Field(description="Name on the hub, e.g. uoft-cs/cifar10.")
    config: Text | None = Field(None, description="Configuration of the set; null: its default.")
    image_column: Text = Field("image", description="Column with the image.")
    label_column: Text = Field("label", description="Column with the class.")
    revision: Text | None = Field(None, description="Commit or tag; null: the newest.")


DataSettings = Annotated[
    BundledData | FolderData | ManifestData | TorchvisionData | HuggingFaceData,
    Field(discriminator="source"),
]
"""Any source of data, told apart by its `source` key."""
