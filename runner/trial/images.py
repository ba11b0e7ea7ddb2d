"""Images: squares from the decoded store, and timm's models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

from runner import data, models
from runner.experiment import Experiment, ImageDataSettings, Recipe
from runner.trial.allowance import allowance_of
from runner.trial.findings import finding_of
from runner.trial.job import Finding
from runner.trial.memory import Residency
from runner.trial.modality import Batch, Moment
from runner.trial.possible import possible_values
from runner.trial.precision import Numerics
from runner.trial.seeding import derive_seed

PIXELS = "pixels"
_MOST_LISTED = 10  # files that cannot be read, in a note


@dataclass(frozen=True)
class ImageInputs:
    """One part of the split as stored squares.

    Attributes:
        pixels: Squares of the stored resolution, shape [N, R, R, 3], uint8.
        transform: From stored squares to the model's input.
        flip: Whether augmentation may mirror images.
        seed: The experiment's; decides fixed views.
        residency: Whether all squares stay on the device.
    """

    pixels: data.Squares
    transform: data.Transform
    flip: bool
    seed: int
    residency: Residency = field(default_factory=Residency)

    def __len__(self) -> int:
        return self.pixels.shape[0]

    @property
    def lengths(self) -> np.ndarray | None:
        """None: every image costs the same."""
        return None

    @property
    def pads_left(self) -> bool:
        """See `Inputs.pads_left`: images of a batch have one size."""
        return False

    @property
    def kept(self) -> str:
        """See `Inputs.kept`."""
        is_resident = any(squares is not None for squares in self._on_device.values())
        return "kept on the device" if is_resident else self.pixels.kept

    @property
    def nbytes(self) -> int:
        """Bytes of the squares."""
        return self.pixels.nbytes

    def train_batch(
        self, chosen: Tensor, recipe: Recipe, *, moment: Moment, rows: Tensor | None = None
    ) -> Batch:
        """Augmented, normalised images [B, 3, S, S] float32; see `Inputs.train_batch`."""
        draws = None
        if recipe.augmentation != "none":
            draws = self._draws(chosen, recipe.views, moment)
        if rows is not None:
            chosen = chosen[rows]
            draws = None if draws is None else draws[:, rows]
        images = data.train_batch(
            self._squares(chosen, moment.device),
            transform=self.transform,
            augmentation=recipe.augmentation,
            flip=self.flip,
            draws=draws,
        )
        return {PIXELS: images}

    def beside(self, chosen: Tensor, recipe: Recipe, *, device: torch.device) -> Batch:
        """Nothing; see `Inputs.beside`."""
        return {}

    def _squares(self, chosen: Tensor, device: torch.device) -> Tensor:
        """Stored squares, uint8 [B, R, R, 3]; a GPU that has room keeps all of them."""
        resident = self._resident(device)
        if resident is not None:
            return resident[chosen.to(device, non_blocking=True)]
        squares = torch.from_numpy(self.pixels.take(chosen.numpy()))
        if device.type == "cuda":
            squares = squares.pin_memory()
        return squares.to(device, non_blocking=True)

    def _resident(self, device: torch.device) -> Tensor | None:
        if device not in self._on_device:
            fits = self.residency.take(self.nbytes, device)
            self._on_device[device] = self._everything(device) if fits else None
        return self._on_device[device]

    def _everything(self, device: torch.device) -> Tensor:
        everything = torch.empty(self.pixels.shape, dtype=torch.uint8, device=device)
        start = 0
        for chunk in data.in_chunks(self.pixels):
            everything[start : start + len(chunk)] = torch.from_numpy(chunk)
            start += len(chunk)
        return everything

    def release(self) -> None:
        """No device keeps them any more; see `Inputs.release`."""
        self._on_device.clear()

    @cached_property
    def _on_device(self) -> dict[torch.device, Tensor | None]:
        """All squares, by the devices that keep them."""
        return {}

    def _draws(self, chosen: Tensor, views: int | None, moment: Moment) -> Tensor:
        """What decides the views of these images: new numbers, or those of this epoch's view."""
        if views is None:
            return data.random_draws(len(chosen), moment.generator)
        return fixed_draws(len(self), self.seed, moment.epoch % views)[:, chosen]

    def eval_batch(self, chosen: Tensor, recipe: Recipe, *, device: torch.device) -> Batch:
        """Centre crops, normalised, [B, 3, S, S] float32."""
        squares = self._squares(chosen, device)
        return {PIXELS: data.eval_batch(squares, transform=self.transform)}


@lru_cache(maxsize=1)
def fixed_draws(count: int, seed: int, view: int) -> Tensor:
    """What decides one fixed view of each of so many images, the same in every trial."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "view", view))
    return data.random_draws(count, generator)


@dataclass
class ImageModality:
    """The images of an experiment, and its timm model."""

    experiment: Experiment
    base: Path
    cache: Path
    threads: int = 1
    residency: Residency = field(default_factory=Residency)

    @cached_property
    def source(self) -> data.Source:
        """The images and their labels."""
        labels = self.experiment.form.labels
        assert labels is not None  # image tasks have labels
        opened = data.open_source(
            self.experiment.data, labels=labels, base=self.base, cache=self.cache
        )
        assert isinstance(opened, data.Source)
        return opened

    @property
    def asked(self) -> ImageDataSettings:
        """How the experiment wants its images prepared."""
        settings = self.experiment.data
        assert isinstance(settings, ImageDataSettings)  # the first pass has checked it
        return settings

    @property
    def flip(self) -> bool:
        """Whether augmentation may mirror images."""
        asked = self.asked.flip
        return self.source.flip_is_safe if asked is None else asked

    @cached_property
    def transform(self) -> data.Transform:
        """The model's own preprocessing, with what the experiment overrides."""
        asked = self.asked
        own = models.input_spec(self.experiment.model.name, self.experiment.model.arguments)
        return data.Transform(
            size=asked.image_size or own.size,
            crop_fraction=asked.crop_fraction or own.crop_fraction,
            mean=asked.mean or own.mean,
            std=asked.std or own.std,
            interpolation=asked.interpolation or own.interpolation,
        )

    @cached_property
    def weights(self) -> models.Weights | None:
        """The pretrained weights, or None for random initialisation."""
        model = self.experiment.model
        return models.load_weights(model.weights, model.name, base=self.base)

    def problems(self) -> Iterator[Finding]:
        """See `Modality.problems`."""
        model = self.experiment.model
        for problem in models.check_model(
            model.name,
            model.weights,
            model.arguments,
            base=self.base,
            image_size=self.asked.image_size,
            regularisers=[
                name
                for name in ("dropout", "drop_path")
                if any(possible_values(self.experiment, name))
            ],
        ):
            yield finding_of(problem)
        if model.tokenizer is not None:
            yield Finding("model.tokenizer", "images have no tokenizer", seen=model.tokenizer)

    def prepared_problems(self) -> Iterator[Finding]:
        """None: any image fits any model that takes its size."""
        return iter(())

    def inputs(self, positions: Sequence[int]) -> ImageInputs:
        """See `Modality.inputs`."""
        pixels = data.load_pixels(
            self.source,
            tuple(positions),
            resolution=self.transform.resolution,
            interpolation=self.transform.interpolation,
            cache=self.cache,
            threads=self.threads,
            allowance=allowance_of(self.experiment),
        )
        return ImageInputs(pixels, self.transform, self.flip, self.experiment.seed, self.residency)

    @property
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments of the model for the size of these images."""
        model = self.experiment.model
        return models.arguments_for_size(
            model.name, model.arguments, image_size=self.asked.image_size
        )

    def build_model(self, recipe: Recipe, *, outputs: int, seed: int) -> nn.Module:
        """See `Modality.build_model`."""
        return models.build_model(
            self.experiment.model.name,
            num_classes=outputs,
            weights=self.weights,
            arguments=self.arguments,
            dropout=recipe.dropout,
            drop_path=recipe.drop_path,
            seed=seed,
        )

    def forward(self, model: nn.Module, batch: Batch, numerics: Numerics) -> Tensor:
        """Outputs [B, C]."""
        images = batch[PIXELS].contiguous(memory_format=numerics.memory_format)
        outputs: Tensor = model(images)
        return outputs

    def facts(self) -> Mapping[str, Any]:
        """The side of the model's input in pixels."""
        return {"image_size": self.transform.size}

    def fingerprints(self) -> Mapping[str, str]:
        """None: a model's preprocessing is part of the version of timm."""
        return {}

    def preparation(self, recipe: Recipe) -> Mapping[str, Any]:
        """The transform, and what timm calls a model's arguments; see `Modality.preparation`."""
        return {
            "transform": asdict(self.transform),
            "flip": self.flip,
            "arguments": self.arguments,
            "timm": timm.__version__,
            "decoding": data.decoding_version(),
        }

    def notes(self) -> Iterator[str]:
        """Which images cannot be read, and which files are no images."""
        yield from self.source.notes
        if unreadable := self.source.unreadable:
            listed = ", ".join(unreadable[:_MOST_LISTED])
            if len(unreadable) > _MOST_LISTED:
                listed += f" and {len(unreadable) - _MOST_LISTED} more"
            yield f"{len(unreadable)} images cannot be read and are left out: {listed}"
