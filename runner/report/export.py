"""The leaderboard for machines: JSON-able rows and CSV."""

import csv
import io
import math

from runner.report.leaderboard import Leaderboard, LeaderboardRow

COLUMNS = (
    "rank",
    "number",
    "outcome",
    "value",
    "epochs",
    "best_epoch",
    "duration_s",
    "run_id",
    "note",
)
# A spreadsheet runs a cell that starts like this.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def leaderboard_records(board: Leaderboard) -> list[dict[str, object]]:
    """One JSON-able dictionary a trial, best first; a value that is not finite is None."""
    return [_record(rank, row) for rank, row in enumerate(board.rows, start=1)]


def leaderboard_csv(board: Leaderboard) -> str:
    """CSV with a header; all parameters as `params.<name>` columns, fixed ones included."""
    names = (*board.varying, *board.fixed)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"params.{name}" for name in names)])
    for rank, row in enumerate(board.rows, start=1):
        record = _record(rank, row)
        values = [record[column] for column in COLUMNS]
        writer.writerow(map(_harmless, [*values, *(row.params.get(name) for name in names)]))
    return text.getvalue()


def _record(rank: int, row: LeaderboardRow) -> dict[str, object]:
    return {
        "rank": rank,
        "number": row.number,
        "outcome": row.outcome,
        "value": row.value if row.has_value else None,
        "epochs": row.epochs,
        "best_epoch": row.best_epoch,
        "duration_s": row.duration_s,
        "params": {name: _finite(value) for name, value in row.params.items()},
        "run_id": row.run_id,
        "note": row.note,
    }


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _harmless(value: object) -> object:
    is_formula = isinstance(value, str) and value.startswith(_FORMULA_STARTS)
    return f"'{value}" if is_formula else value
