"""What a search has left, in the study and in MLflow, in a form that can be compared."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.experiment import Store
from runner.study import StudyRecord, trial_folder
from runner.study.place import existing_place
from runner.study.shelf import shelf_of
from runner.tracking import RunStatus, TrialRun, connect, read_trials

# What is measured and not computed differs from one run to the next.
COMPARED = ("validation/", "train/loss")


@dataclass(frozen=True)
class SeenTrial:
    """A trial, as the study and as MLflow have it."""

    state: str
    params: Mapping[str, Any]
    value: float | None
    best_epoch: int | None
    rungs: Mapping[int, float]
    status: str
    outcome: str | None
    together: str | None
    metrics: Mapping[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True)
class Seen:
    """A study."""

    status: str
    trials: tuple[SeenTrial, ...]


def see(home: Path, name: str, *, uri: str | None, storage: str | None) -> tuple[Seen, list[str]]:
    """What there is of an ended search, and what is wrong with it by itself.

    Args:
        home: The store's folder.
        name: The study's.
        uri: Where MLflow is; None: in the store.
        storage: The database with the studies; None: the store.
    """
    store = Store(home, storage)
    record = StudyRecord.read(existing_place(shelf_of(store), name))
    tracking = connect(uri or store.tracking_uri, store)
    runs: dict[int, TrialRun] = {}
    wrong = []
    for run in read_trials(tracking, record.study_id):
        if run.number in runs:
            wrong.append(f"trial {run.number} has two runs")
        runs[run.number] = run
    trials = []
    for trial in record.trials():
        run = runs.pop(trial.number, None)
        if run is None:
            wrong.append(f"trial {trial.number} has no run")
            continue
        metrics = {}
        for metric in sorted(run.metrics):
            if metric.startswith(COMPARED):
                points = tracking.metric_history(run.run_id, metric)
                doubled = [step for step, n in Counter(p.step for p in points).items() if n > 1]
                if doubled:
                    wrong.append(f"trial {trial.number}: {metric} twice at {doubled}")
                metrics[metric] = tuple((point.step, point.value) for point in points)
        trials.append(
            SeenTrial(
                trial.state,
                dict(trial.params),
                trial.value,
                trial.best_epoch,
                dict(trial.rungs),
                run.status,
                run.tags.get("runner.outcome"),
                run.tags.get("runner.trained_together"),
                metrics,
            )
        )
    wrong += [f"a run of trial {number}, which the study does not have" for number in runs]
    parent = _parent_status(tracking, record.study_id)
    wrong += _left_over(record)
    return Seen(parent, tuple(trials)), wrong


def alive(home: Path, name: str, *, uri: str | None, storage: str | None) -> Iterator[str]:
    """What of a study that nobody searches still looks as if it ran."""
    store = Store(home, storage)
    record = StudyRecord.read(existing_place(shelf_of(store), name))
    for trial in record.trials():
        if trial.state == "running":
            yield f"trial {trial.number} is running in the study"
    tracking = connect(uri or store.tracking_uri, store)
    running = f"tags.`runner.study_id` = '{record.study_id}' AND attributes.status = 'RUNNING'"
    for run in tracking.client.search_runs(tracking.experiment_ids(), running):
        yield f"the run {run.info.run_name!r} is RUNNING in MLflow"


def differences(ours: Seen, whole: Seen, *, tolerance: float) -> Iterator[str]:
    """In what a search differs from one that was not interrupted."""
    if ours.status != whole.status:
        yield f"the parent run is {ours.status}, not {whole.status}"
    if len(ours.trials) != len(whole.trials):
        yield f"{len(ours.trials)} trials, not {len(whole.trials)}"
    for number, (here, there) in enumerate(zip(ours.trials, whole.trials, strict=False)):
        for name in ("state", "params", "best_epoch", "status", "outcome"):
            if (is_now := getattr(here, name)) != (was := getattr(there, name)):
                yield f"trial {number}: {name} is {is_now!r}, not {was!r}"
        if not _is_close(here.value, there.value, tolerance):
            yield f"trial {number}: value is {here.value!r}, not {there.value!r}"
        if here.metrics.keys() != there.metrics.keys():
            yield f"trial {number}: metrics {sorted(here.metrics)}, not {sorted(there.metrics)}"
        for metric in here.metrics.keys() & there.metrics.keys():
            yield from (
                f"trial {number}: {metric} {problem}"
                for problem in _unequal(here.metrics[metric], there.metrics[metric], tolerance)
            )


def _unequal(
    ours: tuple[tuple[int, float], ...], whole: tuple[tuple[int, float], ...], tolerance: float
) -> Iterator[str]:
    if [step for step, _ in ours] != [step for step, _ in whole]:
        yield f"has steps {[step for step, _ in ours]}, not {[step for step, _ in whole]}"
        return
    for (step, value), (_, wanted) in zip(ours, whole, strict=True):
        if not _is_close(value, wanted, tolerance):
            yield f"at {step} is {value!r}, not {wanted!r}"


def _is_close(value: float | None, wanted: float | None, tolerance: float) -> bool:
    if value is None or wanted is None or tolerance == 0.0:
        return value == wanted
    return math.isclose(value, wanted, rel_tol=tolerance, abs_tol=tolerance)


def _parent_status(tracking: Any, study_id: str) -> str:
    wanted = f"tags.`runner.study_id` = '{study_id}' AND tags.`runner.kind` = 'study'"
    runs = tracking.client.search_runs(tracking.experiment_ids(), wanted)
    return ", ".join(RunStatus(run.info.status) for run in runs)


def _left_over(record: StudyRecord) -> Iterator[str]:
    """Files that an ended study has no use for."""
    for trial in record.trials():
        folder = trial_folder(record.folder, trial.number)
        for path in folder.rglob("*"):
            if path.suffix == ".tmp" or path.name == "checkpoint.pt":
                yield f"{path.relative_to(record.folder)} is left over"
    for path in record.folder.glob("*.tmp"):
        yield f"{os.fspath(path.name)} is left over"
