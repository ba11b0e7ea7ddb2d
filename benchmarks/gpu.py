"""Full fine-tuning on one GPU: images a second beside timm's loop, and several trials on it.

    python -m benchmarks.gpu [--data FOLDER] [--models resnet18,...] [--batch-size 128] [--pack 4]

Images a second while training, bfloat16, from random weights (weights do not change the speed):
ours as one trial by the command line, and the loop of timm's train.py, as it is and with
torch.compile and fused AdamW (benchmarks/peers/timm_loop.py; its script is not in its wheel). The
photos are linked `--repeats` times, so that an epoch is long enough. Shown are the median of the
epochs after the first, and the first, which has decoding (ours) or compiling (theirs) in it. Ours
decodes once and reads decoded pixels later; timm's loader decodes every image in every epoch.

Trials an hour: a search of small trials, one at a time (search.pack: 1) and up to `--pack` at a
time on the one GPU: the first alone, the others as far as its measured peak lets them. Shown are
also how many others a trial had beside it, and the largest peak.

Several GPUs a trial: images a second of the same trial on one and on all GPUs
(search.gpus_per_trial), where there are several; each GPU has its share of `--batch-size` times
their number, so that all have as much to do as the one. Never run yet: there was no such machine.

Runs only where there is a GPU; `--anyway` tries the script out on a CPU, with figures that mean
nothing.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.measuring import ROOT, Side, read_trials, run, seen_now
from benchmarks.peers.photos import prepare
from benchmarks.peers.request import Photos, Request
from benchmarks.sides import fresh, ours, ours_file

MODELS = "resnet18,resnet50,vit_small_patch16_224"
RATE = "train/examples_per_s"


def repeated(photos: Photos, repeats: int, folder: Path) -> Photos:
    """The same split with every training image linked several times."""
    shutil.copytree(photos.folder, folder, symlinks=True)
    for path in list((folder / "train").glob("*/*")):
        for number in range(1, repeats):
            copy = path.with_name(f"{number}_{path.name}")
            copy.symlink_to(path.resolve())
    counts = photos.counts | {"train": photos.counts["train"] * repeats}
    return replace(photos, folder=str(folder), counts=counts)


def untrained(photos: Photos, model: str, size: int) -> Photos:
    """Another network on the same images, from random weights."""
    return replace(photos, network=model, arguments={}, weights="none", size=size)


def our_rates(
    photos: Photos, options: argparse.Namespace, folder: Path, *, gpus: int = 1
) -> list[float]:
    """Images a second of each epoch of one trial of ours, on so many GPUs."""
    fixed = {
        "epochs": options.epochs,
        "batch_size": options.batch_size * gpus,
        "precision": "bfloat16",
        "augmentation": "light",
    }
    file = ours_file(Request(photos, {}, fixed, 1), folder, {"gpus_per_trial": gpus})
    environment = {"RUNNER_HOME": str(folder / "home")}
    started, _ = run(["-m", "runner", "search", str(file), "--plain"], folder, environment)
    (trial,) = read_trials(f"sqlite:///{folder / 'home' / 'mlflow.db'}", RATE, started)
    return [rate for _, rate in trial.reports]


def timm_rates(
    photos: Photos, options: argparse.Namespace, folder: Path, *, is_best: bool
) -> list[float]:
    """Images a second of each epoch of timm's loop."""
    output = folder / "rates.json"
    words = [photos.folder, photos.network, str(output)]
    for name in ("epochs", "batch_size"):
        words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    words += ["--size", str(photos.size), *(["--best"] if is_best else [])]
    run(["-m", "benchmarks.peers.timm_loop", *words], folder, {})
    rates: list[float] = json.loads(output.read_text())
    return rates


def print_rates(photos: Photos, options: argparse.Namespace, root: Path) -> None:
    """The table of images a second."""
    print("| model | side | images / s | first epoch | ours over it |\n|---|---|---|---|---|")
    for model in options.models.split(","):
        network = untrained(photos, model, options.size)
        mine = our_rates(network, options, fresh(root / "ours"))
        theirs = {
            "timm's loop": timm_rates(network, options, fresh(root / "timm"), is_best=False),
            "timm's loop, compiled, fused": timm_rates(
                network, options, fresh(root / "timm"), is_best=True
            ),
        }
        for side, rates in {"ours": mine, **theirs}.items():
            ratio = median(mine[1:]) / median(rates[1:])
            print(
                f"| {model} | {side} | {median(rates[1:]):.0f} | {rates[0]:.0f} | {ratio:.2f} |",
                flush=True,
            )


def print_parallel(photos: Photos, options: argparse.Namespace, root: Path, gpus: int) -> None:
    """The table of images a second on one and on all GPUs."""
    print(f"\n| model | on 1 GPU | on {gpus} GPUs | gain |\n|---|---|---|---|")
    for model in options.models.split(","):
        network = untrained(photos, model, options.size)
        one, all_of_them = (
            median(our_rates(network, options, fresh(root / "ours"), gpus=count)[1:])
            for count in (1, gpus)
        )
        gain = all_of_them / one
        print(f"| {model} | {one:.0f} | {all_of_them:.0f} | {gain:.2f} |", flush=True)


def packed(photos: Photos, options: argparse.Namespace, pack: int, folder: Path) -> Side:
    """A search of small trials, up to so many at a time on the one device."""
    space: dict[str, Any] = {"learning_rate": {"float": [1e-4, 1e-2], "log": True}}
    fixed = {"epochs": 3, "batch_size": 32, "precision": "bfloat16", "augmentation": "light"}
    request = Request(photos, space, fixed, options.trials)
    place = {"slots": pack, "devices": ["cpu"]}
    if not options.anyway:
        place = {"pack": pack, "devices": ["cuda:0"]}
    return ours(f"{pack} at a time", request, folder, place)


def print_packing(photos: Photos, options: argparse.Namespace, root: Path) -> None:
    """The table of trials an hour."""
    network = untrained(photos, options.models.split(",")[0], options.size)
    print("\n| trials on one GPU | trials | s | trials an hour | beside each | peak, GiB |")
    print("|---|---|---|---|---|---|")
    for pack in (1, options.pack):
        side = packed(network, options, pack, fresh(root / "packed"))
        hourly = 3600 * len(side.trials) / side.seconds
        beside = mean(noted(side, "packed_beside"))
        peak = max(noted(side, "peak_memory_gib"))
        print(
            f"| {side.name} | {len(side.trials)} | {side.seconds:.0f} | {hourly:.0f} "
            f"| {beside:.1f} | {peak:.1f} |"
        )


def noted(side: Side, name: str) -> list[float]:
    """A fact that the runs of a side have as a tag; 0 where one has not."""
    return [float(trial.tags.get(f"runner.{name}", 0)) for trial in side.trials]


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT.parent / "shared" / "data" / "cats_vs_dogs" / "dev",
        help="folder with a sub-folder a class; where absent, the bundled set is taken",
    )
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=16, help="links of each training image")
    parser.add_argument("--trials", type=int, default=16, help="of the search of small trials")
    parser.add_argument("--pack", type=int, default=4, help="trials at a time, packed")
    parser.add_argument("--limit", type=int, help="most images a class, to try the script out")
    parser.add_argument("--anyway", action="store_true", help="without a GPU, to try it out")
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available() and not options.anyway:
        print("nothing to measure: there is no CUDA device on this machine")
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        photos, _ = prepare(options.data, root, limit=options.limit)
        many = repeated(photos, options.repeats, root / "repeated")
        print(f"{many.counts['train']} training images at {options.size} px; {seen_now()}\n")
        print_rates(many, options, root)
        print_packing(photos, options, root)
        if (gpus := torch.cuda.device_count()) > 1:
            print_parallel(many, options, root, gpus)


if __name__ == "__main__":
    main()
