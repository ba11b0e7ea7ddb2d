"""The sides that fine-tune: ours by the command line, the peers by their own loops."""

import json
import secrets
import shutil
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measuring import ROOT, Side, read_trials, run, seen_now
from benchmarks.peers.request import METRIC, Request

OURS_METRIC = "validation/accuracy"
# The peers' recipe, where a request says nothing else.
PLAIN_RECIPE = {
    "augmentation": "none",
    "schedule": "cosine",
    "warmup": 0.0,
    "precision": "float32",
}


def ours_file(request: Request, folder: Path, changes: dict[str, Any]) -> Path:
    """Write the experiment file of a request.

    Args:
        request: What to search.
        folder: Where to write it.
        changes: Keys of the experiment's `search` that are not the request's.
    """
    photos = request.photos
    experiment = {
        "name": "benchmark",
        "seed": request.seed,
        "data": {
            "source": "folder",
            "path": photos.folder,
            "image_size": photos.size,
            "crop_fraction": photos.crop_fraction,
        },
        "model": {
            "name": photos.network,
            "weights": photos.weights,
            "arguments": photos.arguments,
        },
        "train": PLAIN_RECIPE | request.fixed,
        "search": {
            "space": request.space,
            "trials": request.trials,
            "first": request.first,
            "metric": "accuracy",
            "pruner": "none" if request.pruner == "none" else "asha",
            **changes,
        },
    }
    file = folder / "benchmark.yaml"
    # JSON is YAML.
    file.write_text(json.dumps(experiment, indent=1))
    return file


def ours(name: str, request: Request, folder: Path, changes: dict[str, Any]) -> Side:
    """The runner by its command line, on an experiment file in an empty folder."""
    file = ours_file(request, folder, changes)
    command = ["-m", "runner", "search", str(file), "--plain"]
    started, seconds = run(command, folder, {"RUNNER_HOME": str(folder / "home")})
    trials = read_trials(f"sqlite:///{folder / 'home' / 'mlflow.db'}", OURS_METRIC, started)
    return Side(name, seconds, trials, seen_now())


def peer(name: str, loop: str, request: Request, folder: Path) -> Side:
    """A peer's loop: a module of benchmarks.peers."""
    request.save(folder / "request.json")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    command = ["-m", f"benchmarks.peers.{loop}", str(folder / "request.json"), uri]
    started, seconds = run(command, folder, ray_environment())
    return Side(name, seconds, read_trials(uri, METRIC, started), seen_now())


def ray_environment() -> dict[str, str]:
    """Keeps Ray from writing a token into the home folder; nothing else is other than default."""
    return {"RAY_AUTH_TOKEN": secrets.token_hex(16)}


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def shortened(request: Request, trials: int) -> Request:
    """The same search with fewer trials."""
    return replace(request, trials=trials)


def base_parser(description: str, *, results: str, sides: Sequence[str]) -> ArgumentParser:
    """The options that the benchmarks on photos have in common."""
    parser = ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT.parent / "shared" / "data" / "cats_vs_dogs" / "dev",
        help="folder with a sub-folder a class; where absent, the bundled set is taken",
    )
    parser.add_argument("--sides", default=",".join(sides), help="which to run, by commas")
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "mlruns" / "benchmarks" / results,
        help="folder of what was measured; a side that is there is not run again",
    )
    parser.add_argument("--limit", type=int, help="most images a class, to try the script out")
    return parser


def chosen(text: str, sides: Sequence[str]) -> list[str]:
    """The names behind `--sides`.

    Raises:
        SystemExit: If there is no side of that name.
    """
    names = [name for name in text.split(",") if name]
    if strangers := [name for name in names if name not in sides]:
        raise SystemExit(f"no side {', '.join(strangers)}; there are {', '.join(sides)}")
    return names
