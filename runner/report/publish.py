"""What a search leaves in MLflow at its end: leaderboard, pictures and weights of the best."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from runner.experiment import Direction, Experiment, Store, discard
from runner.report.examples import Examples
from runner.report.export import leaderboard_csv, leaderboard_records
from runner.report.html import StudyPage, study_html
from runner.report.leaderboard import Leaderboard, value_text
from runner.report.mistakes import Show
from runner.report.pictures import draw_pictures
from runner.report.study import board_of
from runner.study import (
    EVALUATION,
    WEIGHTS,
    StudyRecord,
    TrialRecord,
    best_trials,
    catching_up,
    choose_trial,
    read_evaluation,
    require_here,
    trial_folder,
)
from runner.tracking import StudyRun, connect, read_trials


def publish(
    experiment: Experiment,
    record: StudyRecord,
    study_run: StudyRun,
    *,
    within_s: float | None = None,
) -> None:
    """Write the leaderboard to the parent run, pictures and weights to the best trials' runs.

    Drawn after the last trial, so never on the training path. Weights move: once MLflow has
    them, the copies beside the trials are removed.

    Args:
        experiment: The study's.
        record: The study.
        study_run: Its runs in MLflow.
        within_s: See `StudyRun.flush`. An upload of weights may take longer than that without a
            word, so they are then left beside the trials; the next command moves them.
    Raises:
        TrackingUnreachable: If MLflow does not take it all; nothing is removed then.
    """
    asked = experiment.tracking
    moved = asked.keep_weights if within_s is None else 0
    best = list(best_trials(record))
    study_run.flush(within_s=within_s)
    board = board_of(record, study_run.run_ids)
    page = page_of(record)
    study_run.set_tags({"mlflow.note.content": _note(page, board)})
    study_run.add_artifacts(
        {
            "leaderboard.html": study_html(page, board),
            "leaderboard.csv": leaderboard_csv(board),
            "leaderboard.json": json.dumps(leaderboard_records(board), indent=1),
        }
    )
    show = _show(experiment, Store.default())
    with TemporaryDirectory() as name:
        folder = Path(name)
        for trial in best[: asked.pictures]:
            for path in _draw(experiment, record, trial, folder=folder, show=show):
                study_run.add_artifact_file(trial.number, path, f"pictures/{path.name}")
        kept = [trial_folder(record.folder, trial.number) / WEIGHTS for trial in best[:moved]]
        for trial, weights in zip(best, kept, strict=False):
            if weights.exists():
                study_run.add_artifact_file(trial.number, weights, f"weights/{WEIGHTS}")
        study_run.flush(within_s=within_s)
    for weights in kept:
        discard(weights)


def sync(store: Store, reference: str) -> str:
    """Deliver to MLflow what it lacks of a study; says what that was.

    Args:
        store: The folder of local results.
        reference: The study, by `name` (its newest) or `name:number`.
    Raises:
        NotFound: If there is no such study, or it has no trial.
        StudyLocked: If it is being searched: its driver delivers by itself.
        TrackingUnreachable: If MLflow does not answer, or takes no more.
    """
    with catching_up(store, reference) as late:
        publish(late.experiment, late.record, late.study_run)
    count = len(late.record.trials())
    trials = "trial" if count == 1 else "trials"
    said = (
        f"MLflow at {late.study_run.shown_uri} has all {count} {trials} of "
        f"{late.record.reference}; {late.trials} of them it had not, or not to their end"
    )
    if elsewhere := late.record.attributes.get("elsewhere"):
        said += f". It lacks the history of {elsewhere}: run the command where they were trained"
    return said


def _note(page: StudyPage, board: Leaderboard) -> str:
    """What the MLflow UI shows as the parent run's description."""
    lines = [page.description] if page.description else []
    if board.best is not None and board.best.value is not None:
        lines.append(
            f"Best: trial {board.best.number}, {board.metric} {value_text(board.best.value)}."
        )
    lines.append("The report is leaderboard.html under Artifacts.")
    return "\n\n".join(lines)


def page_of(record: StudyRecord) -> StudyPage:
    """What the HTML page says of a study besides its leaderboard."""
    resolved: Mapping[str, Any] = record.attributes.get("experiment") or {}
    details: Mapping[str, Any] = record.attributes.get("facts") or {}
    return StudyPage(
        name=record.reference,
        description=str(resolved.get("description", "")),
        facts=_cards(resolved, details),
        experiment=resolved,
        footer=f"python -m runner search {record.name}",
    )


def _cards(resolved: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, str]:
    """What was searched, and how: what the second pass says of it, or what can be told."""
    cards = {str(name): str(text) for name, text in details.get("cards", {}).items()}
    if not cards and "source" in details:
        # A study of before the second pass wrote cards.
        model = resolved["model"]
        cards["model"], cards["weights"] = model["name"], Path(model["weights"]).name
        cards["data"] = str(details["source"])
        cards["examples"] = " / ".join(
            str(details[part]) for part in ("train", "validation", "test")
        )
    search = resolved.get("search")
    if search and "search" not in cards:
        cards["search"] = f"{search['sampler']}, {search['pruner']}"
    return cards


def draw_into_run(store: Store, record: StudyRecord, number: int | None) -> str:
    """Draw a trial's pictures now and log them to its run; says where they are.

    Raises:
        NotFound: If there is no such trial, or it has no evaluation.
    """
    experiment = Experiment.from_resolved(record.attributes["experiment"])
    trial = choose_trial(record, number)
    tracking = connect(experiment.tracking.uri, store)
    runs = {run.number: run.run_id for run in read_trials(tracking, record.study_id)}
    show = _show(experiment, store)
    evaluation = trial_folder(record.folder, trial.number) / EVALUATION
    require_here(evaluation, f"the evaluation of trial {trial.number}")
    with TemporaryDirectory() as name, tracking.answering():
        for path in _draw(experiment, record, trial, folder=Path(name), show=show):
            tracking.client.log_artifact(runs[trial.number], str(path), "pictures")
    return f"drew the pictures of trial {trial.number} into run {runs[trial.number]}"


def _show(experiment: Experiment, store: Store) -> Show | None:
    """What shows examples; an objective of one's own has none that are known."""
    return None if experiment.is_custom else Examples(experiment, store)


def _draw(
    experiment: Experiment,
    record: StudyRecord,
    trial: TrialRecord,
    *,
    folder: Path,
    show: Show | None,
) -> list[Path]:
    evaluation = read_evaluation(record.folder, trial.number)
    if evaluation is None:
        return []
    title = f"{record.reference}, trial {trial.number}"
    return draw_pictures(
        {"task": experiment.task, **evaluation},
        folder / str(trial.number),
        show=show,
        title=title,
        directions=_directions(experiment),
    )


def _directions(experiment: Experiment) -> dict[str, Direction]:
    """Which way the metrics of a task are better, the one that is searched on included."""
    return {**experiment.form.metrics, experiment.metric: experiment.direction}
