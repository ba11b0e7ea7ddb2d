"""One study of a given size, searched on the simulated clock by a process of its own.

    python -m benchmarks.scaling_case FOLDER --sampler random --slots 64 --trials 10000

Everything is the runner's own: feed, sampling, rungs, and the journal on disk. Only the training
is not there: a trial is nine reports, evenly over its time, of a curve that its parameters give;
MLflow is off. The times of trials differ by up to a half either way, so that slots do not march in
step. The driver's own processor time passes on the simulated clock too. `--again` opens the study
in that folder a second time, as a search that goes on does, and measures only that.

It prints one JSON object. What it takes to simulate is none of it: the clock of the driver runs
only while the feed is asked. `benchmarks/scaling.py` runs the cases and shows them.
"""

import argparse
import json
import math
import random
import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna

from benchmarks.growth import SPACE, Clock, Unlogged
from runner.backends import SimulatedBackend
from runner.study import Silent, StudyFeed, StudyRecord
from runner.study.budget import Budget
from runner.study.pruning import make_judge
from runner.study.rules import Rules
from runner.study.rungs import rungs_of
from runner.study.sampling import Sampling
from runner.study.storage import JOURNAL
from runner.trial import Ending, Outcome, Report, TrialSpec

EPOCHS = 9
# Figures at a size are means over the last tenth of the trials before it, but of no more than so
# many.
LOOKED_AT = 1000
PARTS = ("ask", "rungs", "tell", "journal", "files")


class Curves:
    """A script of trials, and how far the search had come when each of them began.

    Args:
        trial_s: How long a trial takes that is not stopped, on average.
        clock: What the driver's time was spent on.
        marks: Trials at whose begin the clock is read.
    """

    def __init__(self, trial_s: float, clock: Clock, marks: Iterable[int]) -> None:
        self._trial_s = trial_s
        self._clock = clock
        self._marks = set(marks)
        self.spent: dict[int, dict[str, float]] = {}

    def reports(self, spec: TrialSpec) -> Iterable[tuple[float, Report]]:
        number = spec.key.trial
        if number in self._marks:
            self.spent[number] = _read(self._clock)
        best, slowness = _quality(spec.params)
        epoch_s = self._trial_s / EPOCHS * random.Random(number).uniform(0.5, 1.5)
        for epoch in range(1, EPOCHS + 1):
            value = best * (1 - math.exp(-epoch / slowness))
            metrics = {"validation/accuracy": value, "train/loss": 1 - value}
            yield epoch_s, Report(epoch, metrics, 0)

    def ending(self, spec: TrialSpec, reports: list[Report]) -> Ending:
        return Ending(Outcome.COMPLETE, reports[-1].metrics["validation/accuracy"], EPOCHS)


def _quality(params: Any) -> tuple[float, float]:
    """What a setting reaches, and in how many epochs it comes two thirds of the way."""
    rate = abs(math.log10(params["learning_rate"]) + 3)
    best = 1 - 0.2 * rate - 0.1 * abs(params["x0"] - 0.7)
    return best, 1 + rate + params["batch_size"] / 64


def opened(folder: Path, sampler: str, trials: int, clock: Clock) -> StudyFeed:
    """The feed of a study in a folder, new or gone on with, its parts under the clock."""
    record = StudyRecord.open(folder, direction="maximize")
    record.settle()
    judge = make_judge(
        rungs_of("asha", grace=None, train_examples=None, longest=EPOCHS),
        name="scaling",
        max_epochs=EPOCHS,
        is_maximized=True,
    )
    logbook = Unlogged(None, recipe_of=dict, tags={}, keep_weights=5)  # type: ignore[arg-type]
    sampling = Sampling(SPACE, sampler, seed=0, direction="maximize")
    feed = StudyFeed(
        record,
        sampling=sampling,
        judge=judge,
        budget=Budget(trials, None),
        rules=Rules(
            metric="accuracy",
            seed=0,
            first=(),
            trial_time_s=None,
            max_failures=5,
            epochs_of=lambda _: EPOCHS,
        ),
        logbook=logbook,
        listener=Silent(),
    )
    clock.watch("ask", sampling, "ask")
    clock.watch("tell", sampling, "tell", "report")
    clock.watch("rungs", judge, "failed", "tell")
    writing = ("add_all", "begin", "add_rung", "close", "set_attribute", "sync")
    clock.watch("journal", record, *writing)
    clock.watch("files", logbook, "keep")
    clock.watch("all", feed, "next", "report", "end", "cancellations")
    return feed


def searched(options: argparse.Namespace) -> dict[str, Any]:
    """Search, and say what it took."""
    folder, clock = options.folder, Clock()
    sizes = [size for size in options.sizes if size < options.trials] + [options.trials]
    marks = {size: (size - min(size // 10, LOOKED_AT), size - 1) for size in sizes}
    before_mb = peak_mb()
    feed = opened(folder, options.sampler, options.trials, clock)
    unused = _read(clock)
    curves = Curves(options.trial_s, clock, (mark for pair in marks.values() for mark in pair))
    backend = SimulatedBackend(
        curves, slots=options.slots, driver_clock=lambda: clock.spent_ms["all"][0] / 1000
    )
    began_s = time.process_time()
    backend.run(feed)
    return {
        "sampler": options.sampler,
        "slots": options.slots,
        "trials": options.trials,
        "asked_trial_s": options.trial_s,
        "trial_s": (backend.busy_s - backend.late_s) / options.trials,
        "utilisation": (backend.busy_s - backend.late_s) / (options.slots * backend.now_s),
        "kept_busy": (backend.busy_s - backend.late_s) / (backend.busy_s + backend.waited_s),
        "late": backend.late_s / (backend.busy_s + backend.waited_s),
        "makespan_s": backend.now_s,
        "cpu_s": time.process_time() - began_s,
        "whole_ms": _between(unused, _read(clock), options.trials),
        "at_ms": {
            size: _between(curves.spent[first], curves.spent[last], last - first)
            for size, (first, last) in marks.items()
        },
        "before_mb": before_mb,
        "peak_mb": peak_mb(),
        "journal_mb": (folder / JOURNAL).stat().st_size / 1e6,
    }


def _read(clock: Clock) -> dict[str, float]:
    return {part: clock.spent_ms[part][0] for part in (*PARTS, "all")}


def _between(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, float]:
    """Processor time a trial, ms, of what was spent between two readings of the clock."""
    spent = {part: (ms - before[part]) / count for part, ms in after.items()}
    other = spent["all"] - sum(spent[part] for part in PARTS)
    return {**spent, "other": other}


def gone_on(options: argparse.Namespace) -> dict[str, Any]:
    """Open a study that is there, and say what it took."""
    before_mb, began_s = peak_mb(), time.process_time()
    opened(options.folder, options.sampler, options.trials, Clock())
    return {"cpu_s": time.process_time() - began_s, "mb": peak_mb() - before_mb}


def peak_mb() -> float:
    """Most memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the study's; made if there is none")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--trial-s", type=float, default=60.0, help="of one that is not stopped")
    parser.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], default=[])
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(json.dumps(gone_on(options) if options.again else searched(options)))


if __name__ == "__main__":
    main()
