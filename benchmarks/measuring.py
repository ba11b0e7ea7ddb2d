"""How a side is timed: a process of its own, from its start to its exit, and its MLflow runs.

Every side logs to MLflow, so every side's trials are read from there in the same way: when each
began and ended, and when each epoch's accuracy was measured, in seconds since the process was
started. Fresh folders each time: nothing is warm but the files' place in memory.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Trial:
    """One trial as MLflow has it.

    Attributes:
        params: Its parameters, as text.
        begin_s, end_s: When its run began and ended.
        reports: When each epoch's metric was measured, and the metric.
        tags: The runner's own.
    """

    params: dict[str, str]
    begin_s: float
    end_s: float
    reports: list[tuple[float, float]]
    tags: dict[str, str]


@dataclass(frozen=True)
class Side:
    """One side of a benchmark, measured.

    Attributes:
        name: Which.
        seconds: Wall-clock, from the start of its process to its exit.
        trials: In the order they began; empty where only the clock counts.
        seen: Date, commit and cores.
    """

    name: str
    seconds: float
    trials: list[Trial]
    seen: str = ""

    @property
    def start_s(self) -> float:
        """Seconds before the first trial began."""
        return min(trial.begin_s for trial in self.trials)

    @property
    def fixed_s(self) -> float:
        """Seconds in which no trial ran: starting, ending, and between trials."""
        busy_s, until_s = 0.0, 0.0
        for trial in sorted(self.trials, key=lambda trial: trial.begin_s):
            busy_s += max(0.0, trial.end_s - max(until_s, trial.begin_s))
            until_s = max(until_s, trial.end_s)
        return self.seconds - busy_s

    @property
    def best(self) -> float:
        """Best metric of any epoch of any trial."""
        return max(value for trial in self.trials for _, value in trial.reports)

    def reached_s(self, target: float) -> float | None:
        """When an epoch first had at least this metric; None if none had."""
        times = [at for trial in self.trials for at, value in trial.reports if value >= target]
        return min(times, default=None)


def run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Run a side's process; gives when it was started (seconds since 1970) and how long it took.

    Raises:
        SystemExit: If it fails; with the end of what it said.
    """
    log = folder / "output.log"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with log.open("w") as output:
        started, started_s = time.time(), time.perf_counter()
        answer = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        seconds = time.perf_counter() - started_s
    if answer.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return started, seconds


def read_trials(uri: str, metric: str, started: float) -> list[Trial]:
    """The trials in an MLflow store: runs that have the metric."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    trials, token = [], None
    while True:
        page = client.search_runs(ids, max_results=500, page_token=token)
        for found in page:
            if metric in found.data.metrics:
                history = client.get_metric_history(found.info.run_id, metric)
                trials.append(_trial(found, history, started))
        token = page.token
        if not token:
            return sorted(trials, key=lambda trial: trial.begin_s)


def _trial(found: Any, history: list[Any], started: float) -> Trial:
    return Trial(
        dict(found.data.params),
        found.info.start_time / 1000 - started,
        found.info.end_time / 1000 - started,
        sorted((point.timestamp / 1000 - started, point.value) for point in history),
        {k: v for k, v in found.data.tags.items() if k.startswith("runner.")},
    )


def seen_now() -> str:
    """Date, commit and machine, to stand beside a figure."""
    answer = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    busy = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0))
    return f"{date.today()}, {answer.stdout.strip()}, {cores} cores, load {busy:.1f} before"


class Kept:
    """Measured sides as JSON files in a folder, so that a benchmark goes on where it stopped."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def require_same(self, asked: str) -> None:
        """Refuse to put sides into one table that were asked different things.

        Raises:
            SystemExit: If the folder holds what was measured of another question.
        """
        path = self.folder / "asked.txt"
        if path.exists() and path.read_text() != asked:
            raise SystemExit(
                f"{self.folder} holds another question's figures ({path.read_text()}); asked now: "
                f"{asked}. Name another folder with --results"
            )
        path.write_text(asked)

    def get(self, name: str) -> Side | None:
        """A side that was measured before."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            return None
        values = json.loads(path.read_text())
        trials = [
            Trial(**trial | {"reports": [tuple(report) for report in trial["reports"]]})
            for trial in values.pop("trials")
        ]
        return Side(trials=trials, **values)

    def put(self, side: Side) -> None:
        """Keep a side."""
        temporary = self.folder / f"{side.name}.tmp"
        temporary.write_text(json.dumps(asdict(side), indent=1))
        temporary.replace(self.folder / f"{side.name}.json")
