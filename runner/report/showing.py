"""A study's leaderboard on the terminal, for scripts, and as a page."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from runner.errors import TrackingUnreachable
from runner.experiment import Experiment, Store, write_whole, writing
from runner.report.export import leaderboard_csv, leaderboard_records
from runner.report.html import study_html
from runner.report.leaderboard import Leaderboard
from runner.report.publish import page_of
from runner.report.study import board_of
from runner.report.table import leaderboard_table, leaderboard_text
from runner.study import StudyRecord, known_run_ids
from runner.tracking import connect, read_trials


def show_leaderboard(
    record: StudyRecord, *, form: str, limit: int | None, page: Path | None
) -> None:
    """Print a study's leaderboard, and write its page where asked.

    Args:
        record: The study.
        form: "table", "csv" or "json"; the last two have the ids of the MLflow runs, empty where
            MLflow does not answer.
        limit: Print only the first rows.
        page: File for the HTML page; written whole or not at all.
    Raises:
        DiskRefused: If the page cannot be written.
    """
    has_runs = form in ("csv", "json") or page is not None
    board = board_of(record, _run_ids(record) if has_runs else {})
    if page is not None:
        _write_page(page, study_html(page_of(record), board))
    if form == "json":
        print(json.dumps(leaderboard_records(board)[:limit], indent=1))
    elif form == "csv":
        print(leaderboard_csv(board), end="")
    else:
        _print_table(board, limit)


def _write_page(page: Path, html: str) -> None:
    if page.is_symlink() or (page.exists() and not page.is_file()):
        # A pipe, /dev/stdout, or a link: what is there is not to be replaced by a file.
        with writing(page):
            page.write_text(html, encoding="utf-8")
    else:
        write_whole(page, html)


def _run_ids(record: StudyRecord) -> Mapping[int, str]:
    """The MLflow run of each trial; none where MLflow has to be asked and does not answer."""
    known = known_run_ids(record.folder)
    if known is not None:
        return known
    resolved = record.attributes.get("experiment")
    if resolved is None:
        return {}
    experiment = Experiment.from_resolved(resolved)
    try:
        tracking = connect(experiment.tracking.uri, Store.default(), is_written=False)
        name = experiment.tracking.experiment or experiment.name
        runs = read_trials(tracking, record.study_id, experiment=name)
    except TrackingUnreachable as error:
        print(f"runner: the leaderboard has no run ids: {error}", file=sys.stderr)
        return {}
    return {run.number: run.run_id for run in runs}


def _print_table(board: Leaderboard, limit: int | None) -> None:
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(leaderboard_table(board, limit=limit))
    else:
        print(leaderboard_text(board, limit=limit))
