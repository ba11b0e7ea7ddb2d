"""What a trial costs that does nothing: the machinery alone, everything logged to MLflow.

    python -m benchmarks.machinery [--trials 60,140] [--slow-trials 6,14] [--epochs 1]

The objective reports `--epochs` times and returns; ours is `task: custom` with a function. Five
parameters are searched, three metrics an epoch are logged to a fresh SQLite store of MLflow, one
run a trial. Each side runs twice as a process of its own, with both numbers of trials: from the
difference comes what one more trial costs, from the rest what is paid once (imports, making
databases, starting workers, the end). Samplers are each tool's own default: TPE for ours and
Optuna, random for Ray Tune. Nothing is stopped early.

Ray Tune at its defaults starts a process a trial; it gets `--slow-trials`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.measuring import run, seen_now
from benchmarks.peers.idle import SPACE
from benchmarks.sides import fresh, ray_environment

OBJECTIVE = """
def objective(trial):
    loss = abs(trial.params["learning_rate"] - 1e-3)
    for epoch in range(1, trial.params["epochs"] + 1):
        trial.report(epoch, loss=loss, accuracy=1 - loss, **{"train/loss": loss})
"""
OPTUNA = {
    "Optuna, sqlite, log_metric": [],
    "Optuna, journal file, log_metrics": ["--storage", "journal", "--logging", "batched"],
    "Optuna, in memory (not durable), log_metrics": [
        *("--storage", "memory", "--logging", "batched"),
    ],
}
RAY = {"Ray Tune, defaults": [], "Ray Tune, reuse_actors": ["--reuse-actors"]}


def backends() -> list[str]:
    """The names of our backends, as `--backend` takes them."""
    from runner.study import BackendName

    return [str(name) for name in BackendName]


def ours_s(backend: str, trials: int, epochs: int, folder: Path) -> float:
    """Seconds of our command."""
    (folder / "idle.py").write_text(OBJECTIVE)
    experiment = {
        "name": "idle",
        "task": "custom",
        "objective": "idle.py:objective",
        "params": {"epochs": epochs},
        "search": {
            "space": SPACE,
            "trials": trials,
            "metric": "accuracy",
            "direction": "maximize",
            "pruner": "none",
        },
    }
    (folder / "idle.yaml").write_text(json.dumps(experiment))
    command = ["-m", "runner", "search", "idle.yaml", "--plain", "--backend", backend]
    environment = {"RUNNER_HOME": str(folder / "home"), **ray_environment()}
    return run(command, folder, environment)[1]


def peer_s(peer: str, words: Sequence[str], trials: int, epochs: int, folder: Path) -> float:
    """Seconds of a peer's loop."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    count = ["--trials", str(trials), "--epochs", str(epochs)]
    command = ["-m", "benchmarks.peers.idle", peer, uri, str(folder), *count, *words]
    return run(command, folder, ray_environment())[1]


def seconds_of(name: str, trials: int, epochs: int, folder: Path) -> float:
    """Seconds of one side with so many trials."""
    if name in OPTUNA:
        return peer_s("optuna", OPTUNA[name], trials, epochs, folder)
    if name in RAY:
        return peer_s("ray", RAY[name], trials, epochs, folder)
    return ours_s(name.removeprefix("ours, "), trials, epochs, folder)


Seconds = dict[int, list[float]]


def sizes_of(name: str, options: argparse.Namespace) -> list[int]:
    """The two numbers of trials of a side."""
    sizes: list[int] = options.slow_trials if name == "Ray Tune, defaults" else options.trials
    return sizes


def measure(names: Sequence[str], options: argparse.Namespace, root: Path) -> dict[str, Seconds]:
    """Every side in turn, round after round: a machine that slows down does so for all."""
    seen: dict[str, Seconds] = {
        name: {trials: [] for trials in sizes_of(name, options)} for name in names
    }
    for number in range(options.rounds):
        for name, seconds in seen.items():
            for trials in seconds:
                folder = fresh(root / "side")
                seconds[trials].append(seconds_of(name, trials, options.epochs, folder))
            print(f"round {number + 1}, {name}: {seconds}", file=sys.stderr, flush=True)
    return seen


def row(name: str, seconds: Seconds) -> str:
    """One line of the table: medians over the rounds."""
    (low, few), (high, many) = seconds.items()
    few_s, many_s = median(few), median(many)
    each_s = (many_s - few_s) / (high - low)
    return (
        f"| {name} | {low}, {high} | {few_s:.1f}, {many_s:.1f} | {1000 * each_s:.1f} "
        f"| {few_s - low * each_s:.1f} |"
    )


def pair(text: str) -> list[int]:
    """Two numbers of trials, the smaller first."""
    low, high = sorted(int(part) for part in text.split(","))
    return [low, high]


def main() -> None:
    """Measure and print the table."""
    names = [*(f"ours, {backend}" for backend in backends()), *OPTUNA, *RAY]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=pair, default=[60, 140], metavar="N,M")
    parser.add_argument("--slow-trials", type=pair, default=[6, 14], metavar="N,M")
    parser.add_argument("--epochs", type=int, default=1, help="reports of a trial")
    parser.add_argument("--rounds", type=int, default=1, help="the median of so many is shown")
    parser.add_argument("--only", default="", help="sides whose name has this in it")
    options = parser.parse_args()
    print(f"{options.epochs} reports a trial; {seen_now()}\n")
    with tempfile.TemporaryDirectory() as root:
        seen = measure([name for name in names if options.only in name], options, Path(root))
    print("| side | trials | s | ms for one more trial | s once |\n|---|---|---|---|---|")
    for name, seconds in seen.items():
        print(row(name, seconds))


if __name__ == "__main__":
    main()
