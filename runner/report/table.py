"""The leaderboard for a terminal, and for what is not one."""

from typing import TYPE_CHECKING

from runner.report.leaderboard import (
    COMPLETE,
    Leaderboard,
    LeaderboardRow,
    duration_text,
    epoch_text,
    param_text,
    value_text,
)
from runner.report.listing import aligned

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {
    COMPLETE: "green",
    "running": "cyan",
    "paused": "cyan",
    "waiting": "cyan",
    "pruned": "dim",
    "interrupted": "yellow",
    "timed_out": "yellow",
    "lost": "yellow",
}
_FAILED_STYLE = "red"
_NUMERIC = frozenset({"trial", "best epoch", "time"})


def headings(board: Leaderboard) -> list[str]:
    """Column headings; a column that would be empty everywhere is left out."""
    names = ["trial", "outcome", board.metric, "best epoch", "time", *board.varying]
    return [*names, "note"] if board.has_notes else names


def cells(board: Leaderboard, row: LeaderboardRow) -> list[str]:
    """The texts of one row, under `headings`."""
    texts = [
        str(row.number),
        row.outcome,
        value_text(row.value),
        epoch_text(row),
        duration_text(row.duration_s),
        *(param_text(row.params.get(name)) for name in board.varying),
    ]
    return [*texts, row.note] if board.has_notes else texts


def fixed_line(board: Leaderboard) -> str:
    """One line with the parameters that do not vary; empty if all do."""
    if not board.fixed:
        return ""
    pairs = ", ".join(f"{name}={param_text(value)}" for name, value in board.fixed.items())
    return f"same in every trial: {pairs}"


def leaderboard_table(board: Leaderboard, *, limit: int | None = None) -> "Table":
    """The leaderboard for a terminal.

    Args:
        board: Ranked trials.
        limit: Rows to show; None shows all.
    """
    from rich.table import Table
    from rich.text import Text

    shown = board.rows[:limit]
    table = Table(
        title=fixed_line(board) or None,
        title_style="dim",
        title_justify="left",
        caption=_rest_line(board, len(shown)) or None,
        caption_justify="left",
        header_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    numeric = _NUMERIC | {board.metric} | board.numeric
    for name in headings(board):
        is_number = name in numeric
        table.add_column(
            Text(name),
            justify="right" if is_number else "left",
            overflow="fold" if name == "note" else "ellipsis",
            no_wrap=name != "note",
        )
    best = board.best
    for row in shown:
        style = _STYLES.get(row.outcome, _FAILED_STYLE)
        texts = [Text(text) for text in cells(board, row)]
        texts[1].stylize(style)
        table.add_row(*texts, style="bold" if row is best else None)
    return table


def leaderboard_text(board: Leaderboard, *, limit: int | None = None) -> str:
    """The leaderboard as plain text of any width: for a file, a pipe or a log.

    Args:
        board: Ranked trials.
        limit: Rows to show; None shows all.
    """
    shown = board.rows[:limit]
    lines = aligned([headings(board), *(cells(board, row) for row in shown)])
    return "\n".join(filter(None, [fixed_line(board), lines, _rest_line(board, len(shown))]))


def _rest_line(board: Leaderboard, shown: int) -> str:
    rest = len(board.rows) - shown
    return f"... and {rest} more" if rest > 0 else ""
