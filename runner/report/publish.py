"""What a search leaves in MLflow at its end: leaderboard, pictures and weights of the best."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from runner.experiment import Experiment, Store
from runner.report.export import leaderboard_csv, leaderboard_records
from runner.report.html import StudyPage, study_html
from runner.report.leaderboard import Leaderboard
from runner.report.pictures import draw_pictures
from runner.report.study import board_of
from runner.study import (
    EVALUATION,
    WEIGHTS,
    Search,
    StudyRecord,
    TrialRecord,
    best_trials,
    choose_trial,
    trial_folder,
)
from runner.tracking import connect, read_trials

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)


def publish(search: Search) -> None:
    """Write the leaderboard to the parent run, pictures and weights to the best trials' runs.

    Drawn after the last trial, so never on the training path. Weights move: once MLflow has
    them, the copies beside the trials are removed.
    """
    asked = search.experiment.tracking
    best = list(best_trials(search.record))
    search.study_run.flush()
    board = board_of(search.record, search.study_run.run_ids)
    page = page_of(search.record)
    search.study_run.set_tags({"mlflow.note.content": _note(page, board)})
    search.study_run.add_artifacts(
        {
            "leaderboard.html": study_html(page, board),
            "leaderboard.csv": leaderboard_csv(board),
            "leaderboard.json": json.dumps(leaderboard_records(board), indent=1),
        }
    )
    with TemporaryDirectory() as folder:
        for trial in best[: asked.pictures]:
            for path in _draw(search.experiment, search.record, trial, Path(folder)):
                search.study_run.add_artifact_file(trial.number, path, f"pictures/{path.name}")
        kept = [
            trial_folder(search.record.folder, trial.number) / WEIGHTS
            for trial in best[: asked.keep_weights]
        ]
        for trial, weights in zip(best, kept, strict=False):
            if weights.exists():
                search.study_run.add_artifact_file(trial.number, weights, f"weights/{WEIGHTS}")
        search.study_run.flush()
    for weights in kept:
        weights.unlink(missing_ok=True)


def _note(page: StudyPage, board: Leaderboard) -> str:
    """What the MLflow UI shows as the parent run's description."""
    lines = [page.description] if page.description else []
    if board.best is not None and board.best.value is not None:
        lines.append(f"Best: trial {board.best.number}, {board.metric} {board.best.value:.4f}.")
    lines.append("The report is leaderboard.html under Artifacts.")
    return "\n\n".join(lines)


def page_of(record: StudyRecord) -> StudyPage:
    """What the HTML page says of a study besides its leaderboard."""
    resolved: Mapping[str, Any] = record.attributes.get("experiment", {})
    details: Mapping[str, Any] = record.attributes.get("facts", {})
    facts = {}
    if details:
        facts = {
            "model": str(resolved["model"]["name"]),
            "weights": Path(resolved["model"]["weights"]).name,
            "data": str(details["source"]),
            "images": f"{details['train']} / {details['validation']} / {details['test']}",
            "search": f"{resolved['search']['sampler']}, {resolved['search']['pruner']}",
        }
    return StudyPage(
        name=f"{record.name}:{record.folder.name}",
        description=str(resolved.get("description", "")),
        facts=facts,
        experiment=resolved,
        footer=f"python -m runner search {record.name}",
    )


def draw_into_run(store: Store, record: StudyRecord, number: int | None) -> str:
    """Draw a trial's pictures now and log them to its run; says where they are.

    Raises:
        NotFound: If there is no such trial, or it has no evaluation.
    """
    experiment = Experiment.from_resolved(record.attributes["experiment"])
    trial = choose_trial(record, number)
    tracking = connect(experiment.tracking.uri, store)
    runs = {run.number: run.run_id for run in read_trials(tracking, record.study_id)}
    with TemporaryDirectory() as folder, tracking.answering():
        for path in _draw(experiment, record, trial, Path(folder)):
            tracking.client.log_artifact(runs[trial.number], str(path), "pictures")
    return f"drew the pictures of trial {trial.number} into run {runs[trial.number]}"


def _draw(
    experiment: Experiment, record: StudyRecord, trial: TrialRecord, folder: Path
) -> list[Path]:
    path = trial_folder(record.folder, trial.number) / EVALUATION
    if not path.exists():
        return []
    title = f"{record.name}:{record.folder.name}, trial {trial.number}"
    return draw_pictures(
        json.loads(path.read_text()),
        folder / str(trial.number),
        image=_image_by_id(experiment),
        title=title,
    )


def _image_by_id(experiment: Experiment) -> "Callable[[str], Image]":
    """Gives the picture of an example id; the data are opened at the first."""
    known: dict[str, Any] = {}

    def image(example_id: str) -> "Image":
        if not known:
            from runner.data import open_source

            file = experiment.source_file
            base = file.parent if file is not None else Path.cwd()
            source = open_source(experiment.data, base=base, cache=Store.default().cache)
            known["source"] = source
            known["index"] = {e.id: n for n, e in enumerate(source.examples)}
        picture: Image = known["source"].image(known["index"][example_id])
        return picture

    return image


def show_leaderboard(
    record: StudyRecord, *, form: str, limit: int | None, page: Path | None
) -> None:
    """Print a study's leaderboard, and write its page where asked.

    Args:
        record: The study.
        form: "table", "csv" or "json".
        limit: Print only the first rows.
        page: File for the HTML page.
    """
    board = board_of(record)
    if page is not None:
        page.write_text(study_html(page_of(record), board), encoding="utf-8")
    if form == "json":
        print(json.dumps(leaderboard_records(board)[:limit], indent=1))
    elif form == "csv":
        print(leaderboard_csv(board), end="")
    else:
        _print_table(board, limit)


def _print_table(board: Leaderboard, limit: int | None) -> None:
    import sys

    from runner.report.table import leaderboard_table, leaderboard_text

    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(leaderboard_table(board, limit=limit))
    else:
        print(leaderboard_text(board, limit=limit))
