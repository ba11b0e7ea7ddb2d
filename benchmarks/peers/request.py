"""What a peer is asked to do: written as JSON by a benchmark, read by the peer's own process."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

METRIC = "val_accuracy"
Params = dict[str, Any]


@dataclass(frozen=True)
class Photos:
    """One split of one folder of images, and the network to fine-tune on it.

    Attributes:
        folder: Has train/, validation/ and test/, each with a folder a class.
        counts: Images in each of these.
        classes: Number of classes.
        size: Side of the network's input, pixels.
        crop_fraction: Centre crop as a fraction of the resized image's shorter side.
        network: timm's name.
        arguments: Further arguments of timm.create_model.
        weights: The runner's name for the weights.
        checkpoint: The same weights under timm's names, without a head.
    """

    folder: str
    counts: dict[str, int]
    classes: int
    size: int
    crop_fraction: float
    network: str
    arguments: dict[str, Any]
    weights: str
    checkpoint: str


@dataclass(frozen=True)
class Settings:
    """How a peer is set up.

    Attributes:
        channels_last: Memory layout of images and weights.
        loader_workers: Worker processes of each DataLoader.
        persistent_workers: Whether they outlive an epoch.
        frozen_in_eval: Whether frozen layers are in evaluation mode.
        processes: Optuna only: processes that run trials, sharing the cores.
        storage: Optuna only: sqlite, journal or memory.
        batched_logging: Optuna only: one MLflow call an epoch instead of one a value.
    """

    channels_last: bool = False
    loader_workers: int = 2
    persistent_workers: bool = False
    frozen_in_eval: bool = False
    processes: int = 1
    storage: str = "sqlite"
    batched_logging: bool = False


USUAL = Settings()


def best_settings() -> Settings:
    """Everything the documentation says is faster, on this machine.

    On CPUs a process a core, with one thread each: several small trainings share cores better
    than one training's threads do. On a GPU one process with many loader workers.
    """
    cores = len(os.sched_getaffinity(0))
    processes = 1 if shutil.which("nvidia-smi") else min(cores, 4)
    return Settings(
        channels_last=True,
        loader_workers=max(1, min(8, cores // processes)),
        persistent_workers=True,
        frozen_in_eval=True,
        processes=processes,
        storage="journal",
        batched_logging=True,
    )


@dataclass(frozen=True)
class Request:
    """A search.

    Attributes:
        photos: On what.
        space: Parameters that vary, in the runner's own grammar.
        fixed: Parameters that do not.
        trials: How many.
        first: Settings to run, in this order; with as many of them as trials nothing is sampled.
        pruner: "halving" or "none".
        seed: Of the sampler and of training.
        settings: How the peer is set up.
    """

    photos: Photos
    space: dict[str, Any]
    fixed: Params
    trials: int
    first: list[Params] = field(default_factory=list)
    pruner: str = "none"
    seed: int = 0
    settings: Settings = USUAL

    def with_settings(self, settings: Settings) -> "Request":
        """The same search by a peer that is set up in another way."""
        return replace(self, settings=settings)

    def save(self, path: Path) -> None:
        """Write it for another process."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> "Request":
        """Read what `save` wrote."""
        values = json.loads(path.read_text())
        parts = {"photos": Photos(**values["photos"]), "settings": Settings(**values["settings"])}
        return cls(**values | parts)
