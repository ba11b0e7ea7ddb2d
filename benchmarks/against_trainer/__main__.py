"""A search's winner against one plain transformers Trainer run on the same split.

    python -m benchmarks.against_trainer DATA [--tasks sst2,...] [--seeds 3] [--trials 10] \
        [--sizes 500,250,500]

DATA is a folder with the sets of sets.py as they are named there. For each task and seed, rows are
drawn into a file with a `split` column that both sides read: the same training, validation and
test examples. Ours searches with the runner's own command line, promotes the winner (which opens
the test part once) and is measured by the recorded look. The Trainer run has the settings of
plain.py; its best epoch on the same validation part is measured on the same test part.

A pair that was measured is kept in the folder, so the same command goes on where it stopped.

Printed: the test metric of both, mean over the seeds, with the 95 % interval of their paired
difference over the seeds (Student's t); and the 95 % interval of the paired difference in quality
per test example (share right; for numbers minus the absolute error), pooled over the seeds: a
bootstrap of examples within each seed.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student_t

from benchmarks.against_trainer.plain import plain_run
from benchmarks.against_trainer.sets import SETS, Sizes, draw

RESAMPLES = 10_000


@dataclass(frozen=True)
class Pair:
    """Both sides on one split.

    Attributes:
        ours, plain: Test metric.
        difference: Ours minus plain in quality, one value a test example.
        ours_s, plain_s: Wall-clock seconds, all trials and start-up included.
    """

    ours: float
    plain: float
    difference: list[float]
    ours_s: float
    plain_s: float


def search(experiment: Path, folder: Path, trials: int) -> tuple[dict[str, Any], float]:
    """Search and promote by the command line; the look's evaluation, and seconds."""
    home = {"RUNNER_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "runner"]
    changes = ["--set", f"search.trials={trials}"]
    started = time.monotonic()
    _run([*command, "search", str(experiment), "--plain", *changes], folder, home)
    seconds = time.monotonic() - started
    answer = _run([*command, "promote", experiment.stem, "--json"], folder, home)
    promotion = json.loads(answer)
    return look_of(folder / "home", promotion["look"]), seconds


def look_of(home: Path, run_id: str) -> dict[str, Any]:
    """What a look at the test part saw."""
    (path,) = home.rglob(f"{run_id}/artifacts/test_evaluation.json")
    content: dict[str, Any] = json.loads(path.read_text())["evaluation"]
    return content


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    import os

    answer = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)}: {answer.stdout[-2000:]}{answer.stderr[-2000:]}")
    return answer.stdout


def pair(name: str, data: Path, seed: int, folder: Path, *, trials: int, sizes: Sizes) -> Pair:
    """Both sides on the split of one seed."""
    kept = folder / "pair.json"
    if kept.exists():
        return Pair(**json.loads(kept.read_text()))
    experiment = draw(SETS[name], data, seed, folder, sizes)
    look, ours_s = search(experiment, folder, trials)
    started = time.monotonic()
    value, quality = plain_run(experiment, seed, folder)
    plain_s = time.monotonic() - started
    ours = {id_: float(q) for id_, q in look["quality"].items()}
    if ours.keys() != quality.keys():
        raise RuntimeError("the two sides were not tested on the same examples")
    difference = [ours[id_] - quality[id_] for id_ in sorted(ours)]
    found = Pair(look["values"][look["metric"]], value, difference, ours_s, plain_s)
    kept.write_text(json.dumps(asdict(found)))
    return found


def interval(pairs: list[Pair]) -> tuple[float, float]:
    """95 % interval of the mean difference, examples drawn anew within each seed."""
    generator = np.random.default_rng(0)
    means = [
        np.mean(generator.choice(p.difference, (RESAMPLES, len(p.difference))), axis=1)
        for p in pairs
    ]
    low, high = np.percentile(np.mean(means, axis=0), [2.5, 97.5])
    return float(low), float(high)


def over_seeds(pairs: list[Pair]) -> str:
    """Mean paired difference of the metric and the half-width of its 95 % interval."""
    each = np.array([p.ours - p.plain for p in pairs])
    if len(each) < 2:
        return f"{each.mean():+.3f}"
    half = student_t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / np.sqrt(len(each))
    return f"{each.mean():+.3f} ± {half:.3f}"


def row(name: str, pairs: list[Pair]) -> str:
    """One line of the table."""
    ours, plain = (np.array([getattr(p, side) for p in pairs]) for side in ("ours", "plain"))
    low, high = interval(pairs)
    each = ", ".join(f"{p.ours:.3f}/{p.plain:.3f}" for p in pairs)
    seconds = "/".join(
        f"{np.mean([getattr(p, s) for p in pairs]):.0f}" for s in ("ours_s", "plain_s")
    )
    return (
        f"| {name} | {SETS[name].metric} | {ours.mean():.3f} | {plain.mean():.3f} | {each} "
        f"| {over_seeds(pairs)} "
        f"| {np.mean([np.mean(p.difference) for p in pairs]):+.4f} [{low:+.4f}, {high:+.4f}] "
        f"| {seconds} |"
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--sizes", default="500,250,500", help="train,validation,test")
    parser.add_argument("--folder", type=Path, default=Path("against_trainer_runs"))
    options = parser.parse_args()
    sizes = Sizes(*map(int, options.sizes.split(",")))
    print("| task | metric | ours | plain | each seed, ours/plain | difference | in quality | s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in options.tasks.split(","):
        pairs = []
        for seed in range(options.seeds):
            folder = options.folder.absolute() / name / str(seed)
            folder.mkdir(parents=True, exist_ok=True)
            pairs.append(
                pair(name, options.data, seed, folder, trials=options.trials, sizes=sizes)
            )
        print(row(name, pairs), flush=True)


if __name__ == "__main__":
    main()
