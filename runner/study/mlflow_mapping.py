"""How outcomes look in MLflow, and what each run is given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.experiment import json_text
from runner.study.storage import trial_log
from runner.study.trial_record import RESUMABLE, TrialRecord
from runner.tracking import TAG_OUTCOME, RunStatus
from runner.trial import Outcome, Report

TAG_ATTEMPT = "runner.attempt"
TAG_LOG = "runner.log"
STATUS = {
    Outcome.COMPLETE: RunStatus.FINISHED,
    Outcome.PRUNED: RunStatus.KILLED,
    Outcome.PAUSED: RunStatus.KILLED,
    Outcome.INTERRUPTED: RunStatus.KILLED,
    Outcome.LOST: RunStatus.KILLED,
    Outcome.FAILED: RunStatus.FAILED,
    Outcome.USER_ERROR: RunStatus.FAILED,
    Outcome.DIVERGED: RunStatus.FAILED,
    Outcome.OUT_OF_MEMORY: RunStatus.FAILED,
    Outcome.TIMED_OUT: RunStatus.FAILED,
}


def status_of(trial: TrialRecord) -> RunStatus:
    """What the run of a trial shows that has ended, for good or for now."""
    if trial.outcome is None:
        return RunStatus.RUNNING
    if trial.is_waiting:
        return RunStatus.KILLED
    return RunStatus.FAILED if trial.outcome in RESUMABLE else STATUS[trial.outcome]


def is_told(trial: TrialRecord, status: RunStatus | None, tags: Mapping[str, str]) -> bool:
    """Whether a run shows how its trial ended: the last attempt, and not one before it."""
    told = tags.get(TAG_OUTCOME), tags.get(TAG_ATTEMPT)
    return status is status_of(trial) and told == (str(trial.outcome), str(trial.attempt))


def ending_tags(trial: TrialRecord) -> dict[str, str]:
    """Tags of a run that has ended (for now): the outcome, the reason, facts about the run."""
    tags = {
        TAG_OUTCOME: str(trial.outcome),
        TAG_ATTEMPT: str(trial.attempt),
        # Below the study's folder, which may be another one on another machine.
        TAG_LOG: trial_log(Path(), trial.number).as_posix(),
    }
    if trial.value is not None:
        tags["runner.value"] = repr(trial.value)
    if trial.best_epoch is not None:
        tags["runner.best_epoch"] = str(trial.best_epoch)
    if trial.reason or trial.attempt:
        # Empty in place of why an attempt before it failed.
        tags["runner.reason"] = trial.reason
    notes = {name: value for name, value in trial.notes.items() if value is not None}
    return tags | {f"runner.{name}": str(value) for name, value in notes.items()}


def segment_tags(trial: TrialRecord) -> dict[str, str]:
    """Of a part of a longer training: which epochs it trains, and after which trial."""
    if trial.segment is None:
        return {}
    tags = {"runner.segment": f"epochs {trial.segment.begin + 1} to {trial.segment.end}"}
    if trial.segment.parent is not None:
        tags["runner.parent_trial"] = str(trial.segment.parent)
    return tags


def ending_artifacts(trial: TrialRecord, evaluation: Mapping[str, Any] | None) -> dict[str, str]:
    """Small text artifacts of a run that has ended."""
    artifacts = {}
    if evaluation is not None:
        artifacts["evaluation.json"] = json_text(evaluation, indent=1)
    if trial.traceback:
        artifacts["traceback.txt"] = trial.traceback
    return artifacts


def history_of(reports: Mapping[int, Report]) -> list[dict[str, Any]]:
    """Reports as plain JSON values, by epoch."""
    return [
        {"epoch": step, "time_ms": reports[step].time_ms, **reports[step].metrics}
        for step in sorted(reports)
    ]
