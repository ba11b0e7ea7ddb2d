"""What asking in waves costs a search, and what a grace and a window of history do to it.

    python -m benchmarks.waves ../shared/data/lcbench_surrogate [--question waves|grace|history]

Searches by the runner's own sampling, pruning and queue, replayed on predicted learning curves
(see `benchmarks/surrogate.py`; needs `pip install onnxruntime`). Regret is normalised: 0 is the
best of 2,000 random settings, 1 the median one. Each task and seed is searched in every way, so
the differences are paired; intervals are 95 %, by resampling tasks and, within them, seeds.

`waves`: regret after 64 and 128 trials, by the number of trials asked for at once. A wave is
trained as one job, in step, as heads on shared features are. With it the random sampler, and the
baseline that trains every setting for one epoch and the best few to their end.
`grace`: after how many of a trial's epochs (`--epochs`) the first may be stopped (`--rungs`).
`history`: tpe that sees all trials, or the window of `runner/study/history.py`.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
from rich.console import Console
from rich.table import Table

from benchmarks.surrogate import (
    Plan,
    Surrogate,
    one_epoch_then_best,
    quicken_tpe,
    search,
)
from runner.study import history

WAVES = (1, 4, 8, 16, 32, 64)
KEPT = 4
RESAMPLED = 2000

# Regrets of one way to search, shape [tasks, seeds].
Regrets = np.ndarray
Way = Callable[[str, int], Sequence[float]]


def interval(values: Regrets) -> tuple[float, float]:
    """95 % interval of the mean over tasks and seeds, both drawn again."""
    rng = np.random.default_rng(0)
    tasks, seeds = values.shape
    means = []
    for _ in range(RESAMPLED):
        drawn = values[rng.integers(tasks, size=tasks)]
        means.append(drawn[:, rng.integers(seeds, size=seeds)].mean())
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def text(values: Regrets) -> str:
    low, high = interval(values)
    digits = 0 if abs(values.mean()) > 10 else 3
    return f"{values.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def measured(ways: dict[str, Way], tasks: Sequence[str], seeds: int) -> dict[str, Regrets]:
    """Every way's figures, shape [figures, tasks, seeds]."""
    found = {}
    for name, way in ways.items():
        began_s = time.monotonic()
        rows = [[way(task, seed) for seed in range(seeds)] for task in tasks]
        found[name] = np.moveaxis(np.array(rows), -1, 0)
        print(f"{name}: {time.monotonic() - began_s:.0f} s", flush=True)
    return found


def show(title: str, columns: Sequence[str], found: dict[str, Regrets]) -> None:
    """One row a way, and its difference to the first way."""
    table = Table("way", *columns, *(f"{column}, minus the first" for column in columns))
    table.title = title
    first = next(iter(found.values()))
    for name, figures in found.items():
        cells = [text(values) for values in figures]
        differences = [
            "" if figures is first else text(mine - its)
            for mine, its in zip(figures, first, strict=True)
        ]
        table.add_row(name, *cells, *differences)
    Console(width=220).print(table)


def waves(surrogate: Surrogate, tasks: Sequence[str], asked: argparse.Namespace) -> None:
    trials, pruner = asked.trials, asked.pruner

    def way(plan: Plan) -> Way:
        def figures(task: str, seed: int) -> list[float]:
            progress = search(surrogate, task, replaced(plan, seed))
            halves = progress[trials // 2 - 1], progress[-1]
            regrets = [surrogate.regret(task, plan.epochs, each.best) for each in halves]
            return [*regrets, float(progress[-1].epochs)]

        return figures

    def baseline(task: str, seed: int) -> list[float]:
        ends = [
            one_epoch_then_best(surrogate, task, Plan(trials=count, seed=seed), keep=KEPT)
            for count in (trials // 2, trials)
        ]
        regrets = [surrogate.regret(task, Plan().epochs, each.best) for each in ends]
        return [*regrets, float(ends[-1].epochs)]

    ways = {
        f"tpe, waves of {size}": way(Plan(wave=size, trials=trials, pruner=pruner))
        for size in WAVES
    }
    ways["random"] = way(Plan(sampler="random", wave=64, trials=trials, pruner=pruner))
    ways[f"one epoch, then the best {KEPT}"] = baseline
    columns = [f"regret, {trials // 2} trials", f"regret, {trials} trials", "epochs trained"]
    show(f"{pruner}, 52 epochs a trial", columns, measured(ways, tasks, asked.seeds))


def grace(surrogate: Surrogate, tasks: Sequence[str], asked: argparse.Namespace) -> None:
    trials, epochs = asked.trials, asked.epochs

    def way(plan: Plan) -> Way:
        def figures(task: str, seed: int) -> list[float]:
            progress = search(surrogate, task, replaced(plan, seed))
            found = [progress[count - 1] for count in (trials // 4, trials)]
            regrets = [surrogate.regret(task, epochs, each.best) for each in found]
            return [*regrets, float(found[-1].epochs)]

        return figures

    ways = {}
    for sampler in ("tpe", "random"):
        plan = Plan(sampler=sampler, epochs=epochs, trials=trials)
        for first in asked.rungs:
            ways[f"{sampler}, first rung after {first}"] = way(replace(plan, first_rung=first))
        ways[f"{sampler}, no early stopping"] = way(replace(plan, pruner="none"))
    columns = [f"regret, {trials // 4} trials", f"regret, {trials} trials", "epochs trained"]
    show(f"asha, {epochs} epochs a trial", columns, measured(ways, tasks, asked.seeds))


def window(surrogate: Surrogate, tasks: Sequence[str], asked: argparse.Namespace) -> None:
    trials = asked.trials

    def way(recent: int) -> Way:
        def figures(task: str, seed: int) -> list[float]:
            before, history.RECENT = history.RECENT, recent
            try:
                progress = search(surrogate, task, Plan(trials=trials, seed=seed, wave=16))
            finally:
                history.RECENT = before
            places = trials // 2 - 1, trials - 1
            return [surrogate.regret(task, Plan().epochs, progress[n].best) for n in places]

        return figures

    ways = {"all trials": way(trials + 1)}
    ways[f"best {history.BEST}, latest {history.RECENT}"] = way(history.RECENT)
    ways[f"best {history.BEST}, latest 68"] = way(68)
    columns = [f"regret, {trials // 2} trials", f"regret, {trials} trials"]
    show("tpe, asha, waves of 16", columns, measured(ways, tasks, asked.seeds))


def replaced(plan: Plan, seed: int) -> Plan:
    return replace(plan, seed=seed)


def numbers(text: str) -> list[int]:
    """Numbers between commas."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("surrogate", type=Path)
    parser.add_argument("--question", choices=("waves", "grace", "history"), default="waves")
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=128, help="a multiple of 128 for `waves`")
    parser.add_argument("--pruner", choices=("asha", "none"), default="asha")
    parser.add_argument("--epochs", type=int, default=10, help="of a trial, for `grace`")
    parser.add_argument("--rungs", type=numbers, default=[1, 2, 3], help="first ones, for `grace`")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    quicken_tpe()
    surrogate = Surrogate(options.surrogate)
    # Every third task by its number.
    tasks = surrogate.tasks[:: max(1, len(surrogate.tasks) // options.tasks)][: options.tasks]
    ask = {"waves": waves, "grace": grace, "history": window}[options.question]
    ask(surrogate, tasks, options)


if __name__ == "__main__":
    main()
