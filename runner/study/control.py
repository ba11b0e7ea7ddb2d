"""What other terminals may ask of a study: stop it, try a setting, put it away, delete it."""

import shutil
import time
from collections.abc import Mapping
from typing import Any

from runner.errors import NotFound, StudyError
from runner.experiment import PBT, Experiment, Space, Store
from runner.study.reading import read_study
from runner.study.record import StudyRecord

STOP_WITHIN_S = 60.0


def stop(store: Store, reference: str, *, trial: int | None = None) -> str:
    """Ask a running search to end, or one of its trials; says what happens now.

    Raises:
        NotFound: If nothing of that name is being searched, or that trial is not running.
    """
    place = read_study(store, reference).place
    if not place.standing().is_locked:
        raise NotFound(f"the study {reference!r} is not being searched")
    if trial is None:
        place.post("stop-study", {})
        deadline = time.monotonic() + STOP_WITHIN_S
        while (is_locked := place.standing().is_locked) and time.monotonic() < deadline:
            time.sleep(0.2)
        return "stopping" if is_locked else "stopped; the same command continues it"
    running = [t.number for t in StudyRecord.read(place).trials() if t.state == "running"]
    if trial not in running:
        raise NotFound(f"trial {trial} is not running; running are {running or 'none'}")
    place.post("stop-trial", {"number": trial})
    return f"trial {trial} will be pruned before its next batch"


def enqueue(store: Store, reference: str, params: Mapping[str, Any]) -> str:
    """Leave a setting that the study's driver tries next; says when.

    Raises:
        NotFound: If there is no such study.
        StudyError: If the setting is not in the study's space; the message says why.
    """
    record = read_study(store, reference)
    space = space_of(record)
    search = record.attributes["experiment"]["search"]
    if search["sampler"] == PBT:
        raise StudyError(
            "a population takes no setting once it has begun; write it into `search.first` and "
            "begin with --new"
        )
    problems = space.check_point(params)
    if problems:
        raise StudyError("this setting cannot be tried:\n" + "\n".join(problems))
    record.place.post("enqueue", {"params": dict(space.as_point(params))})
    budget = int(search["trials"])
    if sum(trial.attempt >= 0 for trial in record.trials()) >= budget:
        return (
            f"kept, but the study has used its {budget} trials: search again with "
            f"--set search.trials={budget + 1} to have it tried"
        )
    if record.place.standing().is_locked:
        return "the search will try it next"
    return "it will be tried when the study is searched again"


def space_of(record: StudyRecord) -> Space:
    """A study's search space, bound to its model."""
    resolved = record.attributes.get("experiment")
    if resolved is None:
        raise NotFound(f"the study {record.name!r} has no experiment yet; run its search first")
    space = Experiment.from_resolved(resolved).space
    depth = record.attributes.get("max_freeze_depth")
    return space if depth is None else space.bind(depth)


def archive(store: Store, reference: str) -> str:
    """Put a study away: the next search under its name begins a new one; nothing is removed."""
    record = read_study(store, reference)
    with record.place.lock():
        record.place.archive()
    return f"archived {record.reference}; the next search begins a new study"


def delete(store: Store, reference: str) -> str:
    """Remove a study and its folder. Its MLflow runs stay; `mlflow gc` is for those."""
    record = read_study(store, reference)
    with record.place.lock():
        record.place.forget()
        shutil.rmtree(record.folder)
    return f"deleted {record.reference}; its MLflow runs are kept"
