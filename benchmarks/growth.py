"""Does a search slow down as it grows? Driver time a trial, the leaderboard, and more workers.

    python -m benchmarks.growth [--trials 10,100,1000,10000] [--mlflow-trials 10,100,1000]
        [--workers 1,2,4,8] [--sampler tpe]

One study grows from nothing, by the runner's own feed over a journal on disk; its trials do
nothing but report three epochs and come to rungs. Around each size, over the last trials before
it, the driver's time is taken apart: `ask` is the sampler's, `tell` the sampler's and the
journal's, `other` all else (queue, rungs, events, their one sync). `cpu` is the driver thread's
own processor time, `wall` has its waits for the disk and for MLflow's thread. At each size
`python -m runner leaderboard` is run as a process of its own, start-up included.

Then trials that sleep are run by real worker processes, with MLflow: wall-clock against the
number of workers, beside what sleeping alone would take.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console
from rich.table import Table

from benchmarks.sleeping import Sleeping
from runner.backends import LocalBackend, SimulatedBackend
from runner.experiment import ChoiceParameter, FloatParameter, IntParameter, Space, Store
from runner.study import Silent, StudyFeed, StudyRecord
from runner.study.budget import Budget
from runner.study.logbook import Logbook
from runner.study.pruning import make_judge
from runner.study.rules import Rules
from runner.study.run_ids import RunIds
from runner.study.rungs import Rungs
from runner.study.sampling import Sampling
from runner.tracking import RunStatus, StudyRun, connect
from runner.trial import Ending, Lease, Outcome, Report, TrialSpec

SPACE = Space(
    {
        "x0": FloatParameter(0.0, 1.0),
        "learning_rate": FloatParameter(1e-5, 1e-1, log=True),
        "weight_decay": FloatParameter(1e-6, 1e-1, log=True),
        "batch_size": IntParameter(8, 128, log=True),
        "optimizer": ChoiceParameter(("adamw", "sgd")),
        "epochs": IntParameter(3, 9),
    }
)
# A size's figures are means over the tenth of its trials before it, but no fewer than these
# trials and no more.
LOOKED_AT = (10, 100)
SLEEP_S = 0.25
SLEEPING_TRIALS = 48


class Clock:
    """Processor and wall time by what it was spent on."""

    def __init__(self) -> None:
        self.spent_ms: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            cpu_s, wall_s = time.thread_time(), time.perf_counter()
            try:
                return call(*args, **named)
            finally:
                cpu, wall = self.spent_ms[name]
                cpu += 1000 * (time.thread_time() - cpu_s)
                self.spent_ms[name] = cpu, wall + 1000 * (time.perf_counter() - wall_s)

        return run

    def watch(self, name: str, owner: object, *methods: str) -> None:
        for method in methods:
            setattr(owner, method, self.timed(name, getattr(owner, method)))


class Nothing:
    """A script of trials that take no time."""

    def reports(self, spec: TrialSpec) -> Iterable[tuple[float, Report]]:
        for epoch in range(1, 4):
            value = float(spec.params["x0"]) * (1 - 0.1 / epoch)
            metrics = {"validation/accuracy": value, "train/loss": 1 - value}
            yield 1.0, Report(epoch, metrics, time.time_ns() // 1_000_000)

    def ending(self, spec: TrialSpec, reports: list[Report]) -> Ending:
        return Ending(Outcome.COMPLETE, float(spec.params["x0"]), 1)


class Unlogged(Logbook):
    """MLflow off: what is written beside the trial stays."""

    trouble = None

    def begin(self, *_: object) -> None: ...

    def report(self, *_: object) -> None: ...

    def end(self, *_: object) -> None: ...


def open_feed(record: StudyRecord, sampler: str, logbook: Logbook, trials: int) -> StudyFeed:
    return StudyFeed(
        record,
        sampling=Sampling(SPACE, sampler, seed=0, direction="maximize"),
        judge=make_judge(Rungs("asha"), name="growth", max_epochs=9, is_maximized=True),
        budget=Budget(trials, None),
        rules=Rules(
            metric="accuracy",
            seed=0,
            first=(),
            trial_time_s=None,
            max_failures=5,
            epochs_of=lambda params: int(params["epochs"]),
        ),
        logbook=logbook,
        listener=Silent(),
    )


def grown(
    home: Path, sizes: list[int], sampler: str, study_run: StudyRun | None
) -> list[dict[str, Any]]:
    """Figures at each size of one study that grows."""
    folder = Store(home).studies / "growth" / "1"
    record = StudyRecord.open(folder, direction="maximize")
    RunIds(folder).begin({})
    kind = Unlogged if study_run is None else Logbook
    logbook = kind(study_run, recipe_of=dict, tags={"runner.code": "x"}, keep_weights=5)  # type: ignore[arg-type]
    feed = open_feed(record, sampler, logbook, 0)
    clock, figures = Clock(), []
    clock.watch("ask", feed._sampling, "ask")
    clock.watch("tell", feed._sampling, "tell")
    clock.watch("tell", record, "close")
    clock.watch("all", feed, "next", "report", "end", "cancellations")
    for size in sizes:
        looked_at = min(max(size // 10, LOOKED_AT[0]), LOOKED_AT[1])
        for trials in (size - looked_at, size):
            before = dict(clock.spent_ms)
            begun = feed.budget.trials or 0
            feed.budget.trials = trials
            SimulatedBackend(Nothing(), slots=1).run(feed)
            count = trials - begun
        spent = {
            name: tuple(
                (now - then) / count
                for now, then in zip(both, before.get(name, (0, 0)), strict=True)
            )
            for name, both in clock.spent_ms.items()
        }
        figures.append({"size": size, **spent, **leaderboard_s(home)})
    return figures


def leaderboard_s(home: Path) -> dict[str, tuple[float, float]]:
    """Processor and wall seconds of the command, start-up included: the better of two."""
    environment = {**os.environ, "RUNNER_HOME": str(home)}
    found = {}
    for name, words in (("leaderboard", []), ("leaderboard --json", ["--json"])):
        command = [sys.executable, "-m", "runner", "leaderboard", "growth", *words]
        taken = []
        for _ in range(2):
            began_s, cpu_s = time.perf_counter(), _children_cpu_s()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            taken.append((_children_cpu_s() - cpu_s, time.perf_counter() - began_s))
        found[name] = min(taken)
    return found


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(title: str, figures: list[dict[str, Any]]) -> None:
    parts = ("ask", "tell", "other", "all")
    commands = ("leaderboard", "leaderboard --json")
    table = Table(
        "trials",
        *(f"{part}, ms cpu (wall)" for part in parts),
        *(f"{command}, s cpu (wall)" for command in commands),
    )
    table.title = title
    for row in figures:
        row["other"] = tuple(
            whole - ask - tell
            for whole, ask, tell in zip(row["all"], row["ask"], row["tell"], strict=True)
        )
        cells = [f"{row[name][0]:.2f} ({row[name][1]:.2f})" for name in (*parts, *commands)]
        table.add_row(str(row["size"]), *cells)
    Console(width=180).print(table)


def sleeping_s(workers: int, home: Path, study_run: StudyRun) -> float:
    """Seconds of some sleeping trials, from the first that is handed out."""
    record = StudyRecord.open(home / "study" / str(workers), direction="maximize")
    logbook = Logbook(study_run, recipe_of=dict, tags={}, keep_weights=5)
    feed = open_feed(record, "random", logbook, SLEEPING_TRIALS)
    leases = [Lease(slot=slot) for slot in range(workers)]
    backend = LocalBackend(Sleeping(SLEEP_S), leases, logs=home / "logs")
    try:
        backend.inspect()
        began_s = time.perf_counter()
        backend.run(feed)
        study_run.flush()
        return time.perf_counter() - began_s
    finally:
        backend.close()


def show_workers(workers: list[int], open_run: Callable[[str], StudyRun]) -> None:
    table = Table("workers", "seconds", "sleep alone, s", "share of it")
    table.title = f"{SLEEPING_TRIALS} trials that sleep for {SLEEP_S} s, MLflow on"
    for count in workers:
        with tempfile.TemporaryDirectory() as folder:
            taken_s = sleeping_s(count, Path(folder), open_run(f"workers {count}"))
        alone_s = -(-SLEEPING_TRIALS // count) * SLEEP_S
        table.add_row(str(count), f"{taken_s:.2f}", f"{alone_s:.2f}", f"{alone_s / taken_s:.0%}")
    Console(width=160).print(table)


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",") if word]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=numbers, default=[10, 100, 1000, 10000])
    parser.add_argument("--mlflow-trials", type=numbers, default=[10, 100, 1000])
    parser.add_argument("--workers", type=numbers, default=[1, 2, 4, 8])
    parser.add_argument("--sampler", default="tpe")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "mlruns")
        tracking = connect(store.tracking_uri, store)
        study_runs: list[StudyRun] = []

        def open_run(name: str) -> StudyRun:
            nothing: Mapping[str, str] = {}
            study_runs.append(
                tracking.open_study(
                    name,
                    study_id=name,
                    run_name=name,
                    tags=nothing,
                    params=nothing,
                    artifacts=nothing,
                )
            )
            return study_runs[-1]

        if options.trials:
            home = Path(folder) / "off"
            figures = grown(home, options.trials, options.sampler, None)
            show(f"{options.sampler}, MLflow off", figures)
        if options.mlflow_trials:
            home = Path(folder) / "on"
            figures = grown(home, options.mlflow_trials, options.sampler, open_run("growth"))
            show(f"{options.sampler}, MLflow on", figures)
        if options.workers:
            show_workers(options.workers, open_run)
        for study_run in study_runs:
            study_run.close(RunStatus.FINISHED)


if __name__ == "__main__":
    main()
