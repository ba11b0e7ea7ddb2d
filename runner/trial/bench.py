"""What a worker loads once and keeps between jobs: data, pretrained weights, the task."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from runner import data, models
from runner.experiment import Experiment, Recipe, Store
from runner.tasks import ImageClassification, Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One part of the split, ready to train or to score on.

    Attributes:
        pixels: Squares of the stored resolution, shape [N, R, R, 3], uint8, memory-mapped.
        targets: Class indices, shape [N], int64.
        ids: The examples' ids.
    """

    pixels: np.ndarray
    targets: Tensor
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class Bench:
    """An experiment's loaded parts. Everything is loaded on first use and never changed."""

    experiment: Experiment
    store: Store
    threads: int = 1

    @property
    def base(self) -> Path:
        """The folder that relative paths of the experiment start from."""
        file = self.experiment.source_file
        return file.parent if file is not None else Path.cwd()

    @cached_property
    def source(self) -> data.Source:
        """The examples."""
        return data.open_source(self.experiment.data, base=self.base, cache=self.store.cache)

    @property
    def flip(self) -> bool:
        """Whether augmentation may mirror images."""
        asked = self.experiment.data.flip
        return self.source.flip_is_safe if asked is None else asked

    @cached_property
    def split(self) -> data.Split:
        """Which example is for training, validation, test."""
        split = self.experiment.data.split
        return data.make_split(
            self.source,
            train=split.train,
            validation=split.validation,
            test=split.test,
            seed=split.seed,
        )

    @cached_property
    def task(self) -> Task:
        """The task over the source's classes."""
        return ImageClassification(self.source.classes)

    @cached_property
    def transform(self) -> data.Transform:
        """The model's own preprocessing, with what the experiment overrides."""
        asked = self.experiment.data
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

    @cached_property
    def train(self) -> Part:
        """The training part."""
        return self._part(self.split.train)

    @cached_property
    def validation(self) -> Part:
        """The validation part."""
        return self._part(self.split.validation)

    def test(self) -> Part:
        """The test part: for promotion alone, never loaded while searching."""
        return self._part(self.split.test)

    def build_model(self, recipe: Recipe, seed: int) -> nn.Module:
        """A fresh model with pretrained weights and a new head for the source's classes."""
        model = self.experiment.model
        arguments = models.arguments_for_size(
            model.name, model.arguments, image_size=self.experiment.data.image_size
        )
        return models.build_model(
            model.name,
            num_classes=len(self.source.classes),
            weights=self.weights,
            arguments=arguments,
            dropout=recipe.dropout,
            drop_path=recipe.drop_path,
            seed=seed,
        )

    def _part(self, indices: tuple[int, ...]) -> Part:
        pixels = data.load_pixels(
            self.source,
            indices,
            resolution=self.transform.resolution,
            interpolation=self.transform.interpolation,
            cache=self.store.cache,
            threads=self.threads,
        )
        examples = [self.source.examples[index] for index in indices]
        targets = torch.tensor([example.label for example in examples], dtype=torch.int64)
        return Part(pixels, targets, tuple(example.id for example in examples))


@torch.inference_mode()
def predict_outputs(
    forward: Callable[[Tensor], Tensor],
    part: Part,
    *,
    transform: data.Transform,
    batch_size: int,
    device: torch.device,
) -> Tensor:
    """The model's outputs over a whole part, shape [N, C], float32, on the CPU."""
    outputs = []
    for start in range(0, len(part), batch_size):
        # A copy: the memory-mapped file is read-only, which torch tensors cannot be.
        pixels = torch.from_numpy(np.array(part.pixels[start : start + batch_size]))
        images = data.eval_batch(pixels.to(device, non_blocking=True), transform=transform)
        outputs.append(forward(images).float().cpu())
    return torch.cat(outputs)
