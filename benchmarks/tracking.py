"""What tracking costs: milliseconds a trial, for the training path and for the writer's thread.

    python benchmarks/tracking.py [--trials 200] [--uri http://127.0.0.1:5000]

A trial here is 10 parameters, 5 epochs of 6 metrics, and one tag at its end. `driver` is what the
search waits for; `delivered` is the time until MLflow holds it, from the writer's own thread.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from runner.experiment import Store
from runner.tracking import StudyRun, Tracking, connect

EPOCHS = 5
PARAMS = {f"parameter_{i}": str(i) for i in range(10)}
METRICS = {f"metric_{i}": i / 8 for i in range(6)}


@contextmanager
def stopwatch(times_ms: dict[str, float], name: str, count: int) -> Iterator[None]:
    """Add the milliseconds a trial of a block to a table."""
    started_s = time.perf_counter()
    yield
    times_ms[name] = times_ms.get(name, 0.0) + (time.perf_counter() - started_s) * 1000 / count


def open_study(tracking: Tracking, study_id: str) -> StudyRun:
    return tracking.open_study(
        "benchmark", study_id=study_id, run_name=study_id, tags={}, params={}, artifacts={}
    )


def ours(tracking: Tracking, trials: int, *, with_artifact: bool) -> dict[str, float]:
    """The runner's way: queued, coalesced, written by one thread."""
    study = open_study(tracking, f"ours, artifact: {with_artifact}")
    study.flush()
    artifacts = {"evaluation.json": "{}" * 500} if with_artifact else {}
    times_ms: dict[str, float] = {}
    with stopwatch(times_ms, "delivered", trials):
        with stopwatch(times_ms, "driver", trials):
            for number in range(trials):
                study.open_trial(number, name=f"trial {number}", params=PARAMS, tags={})
                for epoch in range(EPOCHS):
                    study.log(number, METRICS, step=epoch)
                study.end_trial(
                    number, status="FINISHED", tags={"runner.outcome": "x"}, artifacts=artifacts
                )
        study.flush()
    study.close("FINISHED")
    return times_ms


def reopening(tracking: Tracking) -> dict[str, float]:
    """The cost of finding a study and all its runs again."""
    started_s = time.perf_counter()
    study = open_study(tracking, "ours, artifact: False")
    count = len(study.run_ids)
    study.close("FINISHED")
    return {"driver": (time.perf_counter() - started_s) * 1000 / count}


def one_by_one(tracking: Tracking, trials: int) -> dict[str, float]:
    """The plain way: a call a value, on the training path."""
    client = tracking.client
    experiment_id = tracking.experiment_ids("benchmark")[0]
    times_ms: dict[str, float] = {}
    with stopwatch(times_ms, "driver", trials):
        for number in range(trials):
            run_id = client.create_run(experiment_id, run_name=f"trial {number}").info.run_id
            for name, value in PARAMS.items():
                client.log_param(run_id, name, value)
            for epoch in range(EPOCHS):
                for name, metric in METRICS.items():
                    client.log_metric(run_id, name, metric, step=epoch)
            client.set_tag(run_id, "runner.outcome", "x")
            client.set_terminated(run_id)
    return times_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--uri", help="a tracking server; default: a new local store")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started_s = time.perf_counter()
        store = Store(Path(folder) / "mlruns")
        tracking = connect(arguments.uri or store.tracking_uri, store)
        connect_s = time.perf_counter() - started_s
        ways: dict[str, Callable[[], dict[str, float]]] = {
            "runner": lambda: ours(tracking, arguments.trials, with_artifact=False),
            "runner, with one artifact": lambda: ours(
                tracking, arguments.trials, with_artifact=True
            ),
            "runner, finding the study again": lambda: reopening(tracking),
            "a call a value": lambda: one_by_one(tracking, max(1, arguments.trials // 10)),
        }
        table = Table("way", "driver, ms a trial", "delivered, ms a trial")
        for name, way in ways.items():
            times_ms = way()
            delivered = times_ms.get("delivered", times_ms["driver"])
            table.add_row(name, f"{times_ms['driver']:.2f}", f"{delivered:.1f}")
    Console().print(table)
    print(f"connect, first use of a new store: {connect_s:.1f} s")


if __name__ == "__main__":
    main()
