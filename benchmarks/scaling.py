r"""How far one driver goes: from 1 to 4,096 slots and from 100 to 100,000 trials.

    python -m benchmarks.scaling driver --results FOLDER [--samplers random,qmc,tpe]
        [--slots 1,8,64,512,4096] [--trials 10000] [--trial-s 60]
    python -m benchmarks.scaling size --results FOLDER [--samplers random] [--slots 64]
        [--trials 1000,10000,100000]
    python -m benchmarks.scaling quality --results FOLDER \
        --surrogate ../shared/data/lcbench_surrogate
    python -m benchmarks.scaling show --results FOLDER [--picture docs/pictures/scaling]

`driver` searches on the simulated clock with more and more slots, each case in a process of its
own (`benchmarks/scaling_case.py`): how busy the slots are, and what the driver works for a trial.
`size` does so with more and more trials, and then opens each study again and shows its
leaderboard. `quality` searches on predicted learning curves (`benchmarks/surrogate.py`) with more
and more slots: regret after as many trials, and after as long a time. Each case's figures are kept
in the folder as one JSON file, and what is there is not measured again; `show` prints the tables
of what is there and draws it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth import leaderboard_s
from benchmarks.measuring import ROOT, seen_now
from benchmarks.scaling_quality import measured_quality
from benchmarks.scaling_showing import show
from runner.experiment import Store

SIZES = "100,1000,10000,100000"


class Figures:
    """Figures of cases as JSON files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def of(self, name: str, measure: Callable[[], Mapping[str, Any]]) -> None:
        """Measure a case, unless it has been."""
        path = self._folder / f"{name}.json"
        if path.exists():
            return
        seen = seen_now()
        found = {**measure(), "seen": seen}
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(found, indent=1))
        temporary.replace(path)
        print(f"{name}: {seen}", flush=True)

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Every case of a kind."""
        return [
            json.loads(path.read_text()) for path in sorted(self._folder.glob(f"{kind}-*.json"))
        ]


def case(folder: Path, *words: object) -> dict[str, Any]:
    """What a case's own process says.

    Raises:
        SystemExit: If it fails; with what it said.
    """
    command = [sys.executable, "-m", "benchmarks.scaling_case", str(folder), *map(str, words)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{answer.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def driver(options: argparse.Namespace, figures: Figures) -> None:
    """More and more slots."""
    for sampler in options.samplers:
        for slots in options.slots:
            for trials in options.trials:
                words = ["--sampler", sampler, "--slots", slots, "--trials", trials]
                words += ["--trial-s", options.trial_s, "--sizes", SIZES]

                def measure(words: Sequence[object] = words) -> dict[str, Any]:
                    with tempfile.TemporaryDirectory() as folder:
                        return case(Path(folder) / "growth" / "1", *words)

                figures.of(f"driver-{sampler}-{slots}-{trials}-{options.trial_s:g}", measure)


def size(options: argparse.Namespace, figures: Figures) -> None:
    """More and more trials, and what a study of that size costs to open and to show."""
    for sampler in options.samplers:
        for slots in options.slots:
            for trials in options.trials:
                words = ["--sampler", sampler, "--slots", slots, "--trials", trials]
                words += ["--sizes", SIZES]

                def measure(words: Sequence[object] = words) -> dict[str, Any]:
                    with tempfile.TemporaryDirectory() as name:
                        home = Path(name)
                        folder = Store(home).studies / "growth" / "1"
                        found = case(folder, *words)
                        found["again"] = case(folder, *words, "--again")
                        # What `leaderboard` asks MLflow for otherwise.
                        (folder / "runs.txt").touch()
                        return {**found, "shown": leaderboard_s(home)}

                figures.of(f"size-{sampler}-{slots}-{trials}", measure)


def quality(options: argparse.Namespace, figures: Figures) -> None:
    """Regret against the number of slots."""
    for sampler in options.samplers:
        for slots in options.slots:
            for trials in options.trials:
                figures.of(
                    f"quality-{sampler}-{slots}-{trials}",
                    lambda sampler=sampler, slots=slots, trials=trials: measured_quality(
                        options.surrogate,
                        sampler=sampler,
                        slots=slots,
                        trials=trials,
                        tasks=options.tasks,
                        seeds=options.seeds,
                    ),
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", choices=("driver", "size", "quality", "show"))
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--samplers", type=lambda text: text.split(","))
    parser.add_argument("--slots", type=_numbers)
    parser.add_argument("--trials", type=_numbers)
    parser.add_argument("--trial-s", type=float, default=60.0, help="of one that is not stopped")
    parser.add_argument("--surrogate", type=Path)
    parser.add_argument("--tasks", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--picture", type=Path, help="where to draw it, without a suffix")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    figures = Figures(options.results)
    defaults = {
        "driver": (["random", "qmc", "tpe"], [1, 8, 64, 512, 4096], [10000]),
        "size": (["random"], [64], [1000, 10000, 100000]),
        "quality": (["tpe", "random"], [1, 8, 64, 512], [512]),
        "show": ([], [], []),
    }[options.question]
    options.samplers = options.samplers or defaults[0]
    options.slots = options.slots or defaults[1]
    options.trials = options.trials or defaults[2]
    if options.question == "show":
        kinds = {kind: figures.all(kind) for kind in ("driver", "size", "quality")}
        show(kinds, picture=options.picture)
        return
    {"driver": driver, "size": size, "quality": quality}[options.question](options, figures)


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    main()
