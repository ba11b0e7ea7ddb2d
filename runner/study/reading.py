"""Reading studies: what any command does first, a dead driver's traces put right on the way."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.errors import NotFound, StudyLocked, TrackingUnreachable
from runner.experiment import Experiment, Store
from runner.study.logbook import open_logbook
from runner.study.record import StudyRecord, best_trials
from runner.study.storage import (
    ARCHIVED,
    existing_study_folder,
    is_left_behind,
    is_locked,
    study_lock,
    study_numbers,
)
from runner.study.trial_record import TrialRecord
from runner.tracking import TAG_STUDY, RunStatus, connect

logger = logging.getLogger(__name__)


def read_study(store: Store, reference: str) -> StudyRecord:
    """A study to look at, by `name` (its newest) or `name:number`.

    Side effects: if its last driver died, what that left behind is put right, in the study and
    in MLflow: after any command nothing dead looks alive, and every trial that ended has its run.

    Raises:
        NotFound: If there is no such study.
    """
    folder = existing_study_folder(store.studies, reference)
    if is_left_behind(folder):
        _put_right(store, folder)
    return StudyRecord.read(folder)


def _put_right(store: Store, folder: Path) -> None:
    try:
        with study_lock(folder):
            record = StudyRecord.reopen(folder)
            record.settle()
            _catch_up(store, record)
    except StudyLocked:
        # A driver has begun this very moment; it does the same.
        return
    except TrackingUnreachable as error:
        logger.warning("MLflow still shows dead trials as running: %s", error)


def _catch_up(store: Store, record: StudyRecord) -> None:
    resolved = record.attributes.get("experiment")
    if resolved is None:
        return
    experiment = Experiment.from_resolved(resolved)
    tracking = connect(experiment.tracking.uri, store)
    if record.trials():
        study_run = tracking.open_study(
            experiment.tracking.experiment or experiment.name,
            study_id=record.study_id,
            run_name=f"{record.name}:{record.folder.name}",
            tags={},
            params={},
            artifacts={},
        )
        open_logbook(experiment, record, study_run)
        found = study_run.found_status
        study_run.close(RunStatus.KILLED if found in (None, RunStatus.RUNNING) else found)
    with tracking.answering():
        # A parent without trials, and a look at the test split that was cut short.
        client = tracking.client
        running = f"tags.`{TAG_STUDY}` = '{record.study_id}' AND attributes.status = 'RUNNING'"
        for run in client.search_runs(tracking.experiment_ids(), running):
            client.set_terminated(run.info.run_id, status=RunStatus.KILLED)


def choose_trial(record: StudyRecord, number: int | None) -> TrialRecord:
    """A study's trial by number, or its best.

    Raises:
        NotFound: If there is none, or it has no value.
    """
    if number is None:
        best = next(best_trials(record), None)
        if best is None:
            raise NotFound(f"the study {record.name!r} has no complete trial yet")
        return best
    trials = record.trials()
    if not 0 <= number < len(trials):
        raise NotFound(
            f"the study {record.name!r} has trials 0 to {len(trials) - 1}, not {number}"
        )
    return trials[number]


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
