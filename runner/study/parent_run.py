"""The study's own run in MLflow: what it says, and MLflow brought up to the study."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from runner.errors import DiskRefused, NotFound, TrackingUnreachable
from runner.experiment import Experiment, Store
from runner.study.environment import provenance_tags
from runner.study.logbook import open_logbook
from runner.study.place import existing_place
from runner.study.record import StudyRecord
from runner.study.shelf import shelf_of
from runner.study.underway import TAG_MARK, living
from runner.tracking import TAG_STUDY, Line, RunStatus, StudyRun, Tracking, connect

logger = logging.getLogger(__name__)


def open_run(line: Line | Tracking, experiment: Experiment, record: StudyRecord) -> StudyRun:
    """A study's runs in MLflow, with what the study is on the parent run.

    Raises:
        TrackingUnreachable: If MLflow does not answer.
    """
    return line.open_study(
        experiment.tracking.experiment or experiment.name,
        study_id=record.study_id,
        run_name=record.reference,
        tags=provenance_tags(record.attributes.get("identity", {}).get("content", {})),
        params={
            "task": experiment.task,
            **_subject(experiment, record.attributes.get("facts", {})),
            "metric": experiment.metric,
            "sampler": experiment.search.sampler,
            "pruner": experiment.search.pruner,
            "seed": experiment.seed,
        },
        artifacts={
            "experiment.json": json.dumps(experiment.resolved(), indent=1),
            "search_space.json": json.dumps(experiment.space.to_dict(), indent=1),
        },
        spool=record.folder,
    )


def _subject(experiment: Experiment, details: dict[str, Any]) -> dict[str, str]:
    """What is trained on what, as parameters of the parent run."""
    if experiment.is_custom:
        return dict(details.get("cards", {}))
    return {
        "model": experiment.model.name,
        "weights": experiment.model.weights,
        "data": str(details.get("source", "")),
    }


@dataclass(frozen=True)
class Late:
    """A study that MLflow has been brought up to.

    Attributes:
        experiment: What was asked.
        record: The study.
        study_run: Its runs in MLflow.
        trials: Of how many trials MLflow had no run, or one that did not show their end.
    """

    experiment: Experiment
    record: StudyRecord
    study_run: StudyRun
    trials: int


@contextmanager
def catching_up(store: Store, reference: str) -> Iterator[Late]:
    """A study that nobody searches, with all that it holds in MLflow; see `caught_up`.

    Raises:
        NotFound: If there is no such study, or it has no trial.
        StudyLocked: If it is being searched.
        TrackingUnreachable: If MLflow does not answer, or takes no more.
    """
    place = existing_place(shelf_of(store), reference)
    with place.lock():
        record = StudyRecord.reopen(place)
        record.settle()
        if not record.trials():
            raise NotFound(f"the study {record.reference!r} has no trial yet")
        with caught_up(store, record) as late:
            yield late
        if record.attributes.get("undelivered"):
            record.set_attribute("undelivered", "")
            record.sync()


@contextmanager
def caught_up(store: Store, record: StudyRecord) -> Iterator[Late]:
    """MLflow with all that a study holds; whoever enters may add to it. The caller has the lock.

    On leaving the parent run has the end that the last driver gave it, and no run of the study
    is left running.

    Raises:
        TrackingUnreachable: If MLflow does not answer, or takes no more.
    """
    experiment = Experiment.from_resolved(record.attributes["experiment"])
    tracking = connect(experiment.tracking.uri, store)
    study_run = open_run(tracking, experiment, record)
    try:
        logbook = open_logbook(experiment, record, study_run)
        yield Late(experiment, record, study_run, logbook.late)
    finally:
        study_run.close(_ended_as(record, study_run))
    end_strays(tracking, record)


def put_right(store: Store, record: StudyRecord) -> None:
    """Have nothing that is dead look alive, in the study and in MLflow. The caller has the lock.

    Raises:
        TrackingUnreachable: If MLflow does not answer, or takes no more; the study is right.
    """
    record.settle()
    resolved = record.attributes.get("experiment")
    if resolved is None:
        return
    if record.trials():
        with caught_up(store, record):
            return
    tracking = connect(Experiment.from_resolved(resolved).tracking.uri, store)
    end_strays(tracking, record)


@contextmanager
def warned() -> Iterator[None]:
    """Where MLflow cannot be put right now, the log says so, and the next command tries again."""
    try:
        yield
    except (TrackingUnreachable, DiskRefused) as error:
        logger.warning("MLflow still shows dead trials as running: %s", error)


def end_strays(tracking: Tracking, record: StudyRecord) -> None:
    """End every run of a study that looks alive, but for a promotion that is under way."""
    running = f"tags.`{TAG_STUDY}` = '{record.study_id}' AND attributes.status = 'RUNNING'"
    alive = living(record.folder)
    with tracking.answering():
        found = tracking.client.search_runs(tracking.experiment_ids(), running)
        # Also one that began since, or has ended meanwhile: its run is its own to end.
        alive |= living(record.folder)
        for run in found:
            if run.data.tags.get(TAG_MARK) not in alive:
                tracking.client.set_terminated(run.info.run_id, status=RunStatus.KILLED)


def _ended_as(record: StudyRecord, study_run: StudyRun) -> RunStatus:
    ended = record.attributes.get("ended")
    if ended is not None:
        return RunStatus(ended)
    found = study_run.found_status
    return RunStatus.KILLED if found in (None, RunStatus.RUNNING) else found
