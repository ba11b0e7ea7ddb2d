"""Getting hold of a trial's best weights: kept beside it, kept in MLflow, or made again."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.backends import lease_again
from runner.errors import DiskRefused, NotFound, TrialFailed
from runner.experiment import Experiment, Store
from runner.study import WEIGHTS, StudyRecord, TrialRecord, choose_trial, trial_folder
from runner.tracking import Tracking, read_trials
from runner.trial import Attempt, Job, Outcome, Printed, TrialSpec, objective_for, run_alone

Say = Callable[[str], None]
# Where a search leaves the weights of its best trials in their MLflow runs.
WEIGHTS_ARTIFACT = f"weights/{WEIGHTS}"


@dataclass(frozen=True)
class Candidate:
    """A trial with its weights at hand.

    Attributes:
        experiment: What was asked.
        record: The study.
        trial: The trial.
        run_id: Its MLflow run.
        weights: A safetensors file of its best epoch.
    """

    experiment: Experiment
    record: StudyRecord
    trial: TrialRecord
    run_id: str
    weights: Path


def get_candidate(
    store: Store,
    tracking: Tracking,
    record: StudyRecord,
    number: int | None,
    *,
    scratch: Path,
    say: Say,
) -> Candidate:
    """A trial with its weights, trained again if they were not kept.

    Args:
        store: The folder of local results.
        tracking: MLflow, which may have the weights.
        record: The study.
        number: The trial; None for the best.
        scratch: Folder for weights that do not lie beside the trial; the caller removes it.
        say: Takes lines of news.
    Raises:
        NotFound: If there is no such trial, or it never finished an epoch.
        TrialFailed: If it cannot be trained again.
        DiskRefused: If there is no room for its weights.
    """
    trial = choose_trial(record, number)
    experiment = Experiment.from_resolved(record.attributes["experiment"])
    run_id = run_of(tracking, record, trial.number)
    weights = trial_folder(record.folder, trial.number) / WEIGHTS
    if not weights.exists():
        weights = _from_mlflow(tracking, run_id, scratch) or _make_again(
            store, experiment, trial, scratch=scratch, say=say
        )
    return Candidate(experiment, record, trial, run_id, weights)


def run_of(tracking: Tracking, record: StudyRecord, number: int) -> str:
    """The MLflow run of a trial.

    Raises:
        NotFound: If it has none.
    """
    for run in read_trials(tracking, record.study_id):
        if run.number == number:
            return run.run_id
    raise NotFound(
        f"trial {number} of {record.name!r} has no run in MLflow at {tracking.shown_uri}"
    )


def _from_mlflow(tracking: Tracking, run_id: str, scratch: Path) -> Path | None:
    try:
        return tracking.download_artifact(run_id, WEIGHTS_ARTIFACT, scratch / "kept")
    except NotFound:
        return None


def _make_again(
    store: Store, experiment: Experiment, trial: TrialRecord, *, scratch: Path, say: Say
) -> Path:
    """Train a trial again; the same seed, device and thread count give the same weights."""
    if trial.outcome is not Outcome.COMPLETE:
        raise NotFound(
            f"trial {trial.number} ended as {trial.state}, so it has no weights; choose a "
            "complete one (see the leaderboard)"
        )
    if trial.segment is not None and trial.segment.parent is not None:
        raise NotFound(
            f"the weights of trial {trial.number} were not kept, and it cannot be trained again: "
            f"it went on from the state of trial {trial.segment.parent}, which is gone; choose "
            "another one"
        )
    about = f" (about {trial.notes['train_s']:.0f} s)" if "train_s" in trial.notes else ""
    say(f"the weights of trial {trial.number} were not kept: training it again{about}")
    folder = scratch / "again"
    folder.mkdir()
    spec = TrialSpec(
        Attempt(trial.number, 0),
        dict(trial.params),
        trial.seed,
        str(folder),
        segment=trial.segment,
    )
    with contextlib.closing(
        lease_again(
            str(trial.notes["device"]),
            threads=int(trial.notes["threads"]),
            gpus=experiment.search.gpus_per_trial,
        )
    ) as held:
        lease = held.leases[0]
        # Before torch looks for devices in this process.
        os.environ.update(lease.environment)
        ending = run_alone(
            objective_for(experiment, store),
            Job((spec,)),
            lease,
            Printed(say, metric=experiment.metric),
        )
    if ending.outcome is not Outcome.COMPLETE:
        raise TrialFailed(
            f"training trial {trial.number} again: {ending.outcome}: {ending.reason}"
        )
    if not ending.has_weights:
        raise DiskRefused(f"trial {trial.number}, trained again: {ending.notes['weights']}")
    if ending.value != trial.value:
        say(f"this time its value is {ending.value}, in the study it is {trial.value}")
    return folder / WEIGHTS
