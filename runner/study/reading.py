"""Reading studies: what any command does first, a dead driver's traces put right on the way."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.errors import StudyLocked, TrackingUnreachable
from runner.experiment import Experiment, Store
from runner.study.record import StudyRecord, best_trials
from runner.study.storage import (
    ARCHIVED,
    existing_study_folder,
    is_locked,
    study_lock,
    study_numbers,
)
from runner.tracking import TAG_OUTCOME, TAG_STUDY, RunStatus, connect, read_trials

logger = logging.getLogger(__name__)


def read_study(store: Store, reference: str) -> StudyRecord:
    """A study to look at, by `name` (its newest) or `name:number`.

    Side effects: if no driver is alive but trials are marked running, they are marked
    interrupted, in the study and in MLflow: after any command nothing dead looks alive.

    Raises:
        NotFound: If there is no such study.
    """
    folder = existing_study_folder(store.studies, reference)
    record = StudyRecord.read(folder)
    if any(t.state == "running" for t in record.trials()) and not is_locked(folder):
        _reap(store, folder, direction="maximize" if record.is_maximized else "minimize")
        record = StudyRecord.read(folder)
    return record


def _reap(store: Store, folder: Path, *, direction: str) -> None:
    try:
        with study_lock(folder):
            record = StudyRecord.open(folder, direction=direction)
            record.settle()
            _reap_runs(store, record)
    except StudyLocked:
        # A driver has begun this very moment; it does the same.
        return
    except TrackingUnreachable as error:
        logger.warning("MLflow still shows dead trials as running: %s", error)


def _reap_runs(store: Store, record: StudyRecord) -> None:
    resolved = record.attributes.get("experiment")
    if resolved is None:
        return
    tracking = connect(Experiment.from_resolved(resolved).tracking.uri, store)
    with tracking.answering():
        client = tracking.client
        for run in read_trials(tracking, record.study_id):
            if run.status == RunStatus.RUNNING:
                trial = record.trial(run.number)
                client.set_tag(run.run_id, TAG_OUTCOME, str(trial.outcome))
        # The parent too, and a look at the test split that was cut short.
        running = f"tags.`{TAG_STUDY}` = '{record.study_id}' AND attributes.status = 'RUNNING'"
        for run_id in [
            r.info.run_id for r in client.search_runs(tracking.experiment_ids(), running)
        ]:
            client.set_terminated(run_id, status=RunStatus.KILLED)


@dataclass(frozen=True)
class StudySummary:
    """One line about a study.

    Attributes:
        reference: `name:number`, by which commands find it.
        folder: Where it lies.
        is_searching: Whether a driver is alive.
        is_archived: Whether it was put away.
        trials: How many there are, and `complete` how many ran to their end.
        best: The best value so far.
        megabytes: Size of its folder.
    """

    reference: str
    folder: Path
    is_searching: bool
    is_archived: bool
    trials: int
    complete: int
    best: float | None
    megabytes: float


def list_studies(store: Store) -> Iterator[StudySummary]:
    """Every study of a store, by name and number."""
    names = sorted(entry.name for entry in store.studies.glob("*") if entry.is_dir())
    for name in names:
        for number in study_numbers(store.studies, name):
            yield _summary(store.studies / name / str(number))


def _summary(folder: Path) -> StudySummary:
    record = StudyRecord.read(folder)
    best = next(best_trials(record), None)
    sizes = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return StudySummary(
        reference=f"{folder.parent.name}:{folder.name}",
        folder=folder,
        is_searching=is_locked(folder),
        is_archived=(folder / ARCHIVED).exists(),
        trials=len(record.trials()),
        complete=sum(1 for _ in best_trials(record)),
        best=best.value if best is not None else None,
        megabytes=sum(sizes) / 1e6,
    )
