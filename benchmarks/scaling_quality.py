"""What more slots cost a search: regret on predicted learning curves, by trials and by time.

A search on many slots is sooner done, but the sampler has heard of fewer trials when it is asked,
and successive halving has seen fewer at a rung. An epoch takes a second, of some trials up to half
as much more or less.
"""

from pathlib import Path
from typing import Any

import optuna

from benchmarks.surrogate import LONGEST, Plan, Progress, Surrogate, quicken_tpe, search

# When a search is looked at: after so many times what a trial takes that is not stopped.
LENGTHS = (2, 8)


def measured_quality(
    folder: Path, *, sampler: str, slots: int, trials: int, tasks: int, seeds: int
) -> dict[str, Any]:
    """Regrets of one sampler on so many slots.

    Args:
        folder: Where the surrogate lies.
        sampler: Its name.
        slots: How many.
        trials: Of a search.
        tasks: How many of the surrogate's, evenly over them.
        seeds: Searches of each task.

    Returns:
        Of each task and seed: `regret` after all trials, `regret_after` so many lengths of a
        trial, `makespan_s` and `epochs` (trained, in all).
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    quicken_tpe()
    surrogate = Surrogate(folder)
    chosen = surrogate.tasks[:: max(1, len(surrogate.tasks) // tasks)][:tasks]
    found: dict[str, Any] = {"regret": [], "makespan_s": [], "epochs": []}
    found["regret_after"] = {length: [] for length in LENGTHS}
    for task in chosen:
        plans = [
            Plan(sampler=sampler, trials=trials, slots=slots, unevenness=0.5, seed=seed)
            for seed in range(seeds)
        ]
        searches = [search(surrogate, task, plan) for plan in plans]

        def regrets(best: list[float], task: str = task) -> list[float]:
            return [surrogate.regret(task, LONGEST, value) for value in best]

        found["regret"].append(regrets([ends[-1].best for ends in searches]))
        found["makespan_s"].append([ends[-1].at_s for ends in searches])
        found["epochs"].append([ends[-1].epochs for ends in searches])
        for length, rows in found["regret_after"].items():
            rows.append(regrets([best_by(ends, length * LONGEST) for ends in searches]))
    return {"sampler": sampler, "slots": slots, "trials": trials, **found}


def best_by(ends: list[Progress], at_s: float) -> float:
    """The best value that a search had by then; 0 before a trial was complete."""
    return max((progress.best for progress in ends if progress.at_s <= at_s), default=0.0)
