"""Writes what happens in a search to MLflow and beside each trial, off the training path."""

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runner.experiment import Experiment, discard, json_text, write_whole
from runner.study.environment import provenance_tags
from runner.study.mlflow_mapping import (
    TAG_ATTEMPT,
    ending_artifacts,
    ending_tags,
    history_of,
    is_told,
    segment_tags,
    status_of,
)
from runner.study.ranking import Ranking
from runner.study.record import StudyRecord, best_trials
from runner.study.run_ids import RunIds
from runner.study.storage import trial_folder
from runner.study.trial_record import TrialRecord
from runner.study.underway import end_dead
from runner.tracking import RunStatus, StudyRun, Trouble
from runner.trial import ARTIFACTS, MODEL, WEIGHTS, Ending, Outcome, Report

logger = logging.getLogger(__name__)

EVALUATION = "evaluation.json"

RecipeOf = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Logbook:
    """One search's diary.

    Args:
        study_run: The study's runs in MLflow; it queues, a thread of its own delivers.
        recipe_of: The whole recipe of a trial with given parameters, for the run's params.
        tags: Tags of every trial's run: fingerprints, versions, device.
        keep_weights: Of how many best trials the weights stay on disk.

    Attributes:
        late: Of how many trials `catch_up` told MLflow.
        elsewhere: Of how many MLflow lacks the history, because another machine has it.
    """

    def __init__(
        self,
        study_run: StudyRun,
        *,
        recipe_of: RecipeOf,
        tags: Mapping[str, str],
        keep_weights: int,
    ) -> None:
        self._study_run = study_run
        self._recipe_of = recipe_of
        self._tags = dict(tags)
        self._keep_weights = keep_weights
        self._ranking = Ranking(keep_weights, is_maximized=True)
        self.late = 0
        self.elsewhere = 0

    @property
    def trouble(self) -> Trouble | None:
        """Why MLflow takes nothing just now, if so."""
        return self._study_run.trouble

    def begin(self, trial: TrialRecord) -> None:
        """A trial begins or goes on; it has one run, whichever attempt this is."""
        self._study_run.open_trial(
            trial.number,
            name=f"trial {trial.number}",
            params=self._recipe_of(trial.params),
            tags={
                **self._tags,
                "runner.seed": str(trial.seed),
                "runner.origin": trial.origin,
                "runner.searched": json.dumps(dict(trial.params)),
                **segment_tags(trial),
            },
        )

    def report(self, number: int, report: Report) -> None:
        """One epoch's metrics."""
        self._study_run.log(number, report.metrics, step=report.step, timestamp_ms=report.time_ms)

    def keep(
        self, folder: Path, number: int, reports: Mapping[int, Report], ending: Ending
    ) -> dict[str, Any]:
        """Write a trial's evaluation and history beside it, before its end is told.

        A driver killed before MLflow had them finds them there (`catch_up`).

        Raises:
            DiskRefused: If they cannot be written; the trial's end is then not told, and the same
                command runs it again.
        """
        evaluation = {**(ending.evaluation or {}), "history": history_of(reports)}
        write_whole(trial_folder(folder, number) / EVALUATION, json_text(evaluation))
        return evaluation

    def end(self, folder: Path, trial: TrialRecord, evaluation: Mapping[str, Any] | None) -> None:
        """An attempt has ended and the study knows it.

        Args:
            folder: The study's.
            trial: As the study has it.
            evaluation: What `keep` gave; None where it is lost.
        """
        tags = ending_tags(trial)
        if not trial.is_waiting:
            # Before the run's end: a driver killed between the two sends them again.
            tags |= self._add_files(trial.number, trial_folder(folder, trial.number))
        artifacts = ending_artifacts(trial, evaluation)
        self._study_run.end_trial(
            trial.number, status=status_of(trial), tags=tags, artifacts=artifacts
        )
        if trial.outcome is Outcome.COMPLETE:
            dropped = self._ranking.add(trial)
            best = self._ranking.best
            if best is not None:
                self._study_run.log_study({"best_value": best}, step=trial.number)
            if dropped is not None:
                _drop_weights(trial_folder(folder, dropped))

    def catch_up(self, record: StudyRecord) -> None:
        """Bring MLflow up to the study after a driver died: nothing dead is left RUNNING."""
        self._ranking = Ranking(self._keep_weights, is_maximized=record.is_maximized)
        for trial in best_trials(record):
            if (dropped := self._ranking.add(trial)) is not None:
                _drop_weights(trial_folder(record.folder, dropped))
        for trial in record.trials():
            status = self._study_run.statuses.get(trial.number)
            tags = self._study_run.found_tags.get(trial.number, {})
            is_unknown = trial.outcome is None or (status is None and trial.is_waiting)
            if is_unknown or is_told(trial, status, tags):
                continue
            if _is_elsewhere(record, trial):
                self._end_without(trial, status)
                continue
            evaluation = read_evaluation(record.folder, trial.number)
            if status is not RunStatus.RUNNING:
                self.begin(trial)
            for row in (evaluation or {}).get("history", []):
                self.report(trial.number, _report_of(row))
            self.end(record.folder, trial, evaluation)
            self.late += 1

    def _end_without(self, trial: TrialRecord, status: RunStatus | None) -> None:
        """End the run of a trial whose history is not here, so that `is_told` stays false of it.

        A command on the machine that has the history then delivers it.
        """
        self.elsewhere += 1
        if status is status_of(trial):
            return
        if status is None:
            self.begin(trial)
        tags = {name: tag for name, tag in ending_tags(trial).items() if name != TAG_ATTEMPT}
        artifacts = ending_artifacts(trial, None)
        self._study_run.end_trial(
            trial.number, status=status_of(trial), tags=tags, artifacts=artifacts
        )

    def _add_files(self, number: int, folder: Path) -> dict[str, str]:
        """Send what a trial has left in its folder of artifacts; gives a tag with their size."""
        files = [path for path in sorted((folder / ARTIFACTS).rglob("*")) if path.is_file()]
        if not files:
            return {}
        for path in files:
            name = path.relative_to(folder).as_posix()
            self._study_run.add_artifact_file(number, path, name)
        size = f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"
        logger.info("artifacts of trial %d: %s", number, size)
        return {"runner.artifacts": size}


def open_logbook(experiment: Experiment, record: StudyRecord, study_run: StudyRun) -> Logbook:
    """A study's diary; what a dead driver left behind is put right first, in both places."""

    def recipe_of(params: Mapping[str, Any]) -> Mapping[str, Any]:
        return experiment.settings(params)

    logbook = Logbook(
        study_run,
        recipe_of=recipe_of,
        tags=provenance_tags(record.attributes.get("identity", {}).get("content", {})),
        keep_weights=experiment.tracking.keep_weights,
    )
    record.settle()
    end_dead(record.folder, uri=experiment.tracking.uri)
    run_ids = RunIds(record.folder)
    run_ids.begin(study_run.run_ids)
    study_run.on_run(run_ids.add)
    logbook.catch_up(record)
    if logbook.elsewhere != record.attributes.get("elsewhere", 0):
        record.set_attribute("elsewhere", logbook.elsewhere)
    return logbook


def _is_elsewhere(record: StudyRecord, trial: TrialRecord) -> bool:
    """Whether what a trial left at its end lies on another machine."""
    is_here = trial_folder(record.folder, trial.number).exists()
    return record.place.is_shared and not trial.is_waiting and not is_here


def read_evaluation(folder: Path, number: int) -> dict[str, Any] | None:
    """What a trial's attempt left as its evaluation; None where there is none, or a damaged one.

    It is not synced as it is written: after a power cut the file may be empty, or zeros.

    Args:
        folder: The study's.
        number: The trial.
    """
    path = trial_folder(folder, number) / EVALUATION
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it is no evaluation")
    except ValueError as error:
        logger.warning("%s is damaged (%s): trial %d goes without it", path, error, number)
        return None
    return found


def _drop_weights(folder: Path) -> None:
    """Remove the weights of a trial, or its model of its own kind."""
    for name in (WEIGHTS, MODEL):
        discard(folder / name)


def _report_of(row: Mapping[str, Any]) -> Report:
    metrics = {
        name: math.nan if value is None else value
        for name, value in row.items()
        if name not in ("epoch", "time_ms")
    }
    return Report(step=row["epoch"], metrics=metrics, time_ms=row["time_ms"])
