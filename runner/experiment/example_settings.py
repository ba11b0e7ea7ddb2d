"""What sources of data have in common: the split, how images and texts are prepared, labels."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from runner.experiment.recipe import SETTINGS

Text = Annotated[str, Field(min_length=1)]
Channels = Annotated[tuple[float, float, float], Field(strict=False)]
Spread = Annotated[float, Field(gt=0)]
Spreads = Annotated[tuple[Spread, Spread, Spread], Field(strict=False)]
LargestSeed = 2**32 - 1


class SplitSettings(BaseModel):
    """Fractions of the three splits.

    Where the data come with splits of their own, those are kept, and only the parts they lack are
    taken out of train.
    """

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
        description="Use only the examples of these classes, in this order (where an example may "
        "have several labels: only these labels); null: all.",
    )


class ImageDataSettings(CommonDataSettings):
    """What every source of images has."""

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
    max_megapixels: float | None = Field(
        None,
        gt=0,
        le=178,
        description="Largest image that is read, in millions of pixels; larger ones count as "
        "unreadable before they are decoded. null: Pillow's limit, 89.",
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

    @property
    def max_pixels(self) -> int | None:
        """Pixels of the largest image that is read; None: Pillow's limit."""
        return None if self.max_megapixels is None else round(self.max_megapixels * 1e6)


class CleaningSettings(BaseModel):
    """What is done to texts before they are cut into tokens; nothing, unless asked for."""

    model_config = SETTINGS

    lower: bool = Field(False, description="Whether to write everything in lower case.")
    unicode: Literal["NFC", "NFKC"] | None = Field(
        None,
        description="Unicode normal form: `NFC` composes accents, `NFKC` also makes full-width "
        "letters, ligatures and the like plain; null: as they are.",
    )
    whitespace: bool = Field(
        False, description="Whether runs of white space become one space, and none at the ends."
    )


class TextDataSettings(CommonDataSettings):
    """What every source of texts has."""

    cleaning: CleaningSettings = Field(
        default_factory=CleaningSettings,
        description="What is done to texts before they are cut into tokens.",
    )
    max_empty: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Fraction of texts that may be empty before the run is stopped; they are "
        "left out. A pair is empty if one of its texts is.",
    )


class RowLabelSettings(CommonDataSettings):
    """How the rows of a table say what their labels are."""

    label_column: Text = Field("label", description="Column with the class, number or labels.")
    label_columns: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)] | None = Field(
        None,
        description="Several labels per example: columns of 0 and 1, one for each label, instead "
        "of `label_column`.",
    )
    label_separator: Text | None = Field(
        None,
        description="Several labels per example: what stands between them in one cell, e.g. "
        "`'|'`. Lists (in .jsonl, .parquet or a hub's set) need none.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.label_columns is not None and self.label_separator is not None:
            raise ValueError("takes label_columns or label_separator, not both")
        if self.label_columns is not None and len({*self.label_columns}) < len(self.label_columns):
            raise ValueError("label_columns names a column twice")
        return self
