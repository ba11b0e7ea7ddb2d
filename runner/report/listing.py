"""Small tables for the terminal: aligned columns, studies."""

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from runner.report.leaderboard import value_text
from runner.study import StudySummary


def study_rows(studies: Sequence[StudySummary]) -> list[dict[str, Any]]:
    """Studies as plain JSON values."""
    return [{**study.__dict__, "folder": str(study.folder)} for study in studies]


def study_table(studies: Sequence[StudySummary]) -> str:
    """Studies as aligned text."""
    if not studies:
        return "no studies yet; python -m runner search resnet_cats.yaml begins one"
    rows = [("study", "state", "trials", "complete", "best", "MB")]
    for study in studies:
        state = "searching" if study.is_searching else "archived" if study.is_archived else ""
        best = value_text(study.best)
        counts = (str(study.trials), str(study.complete))
        rows.append((study.reference, state, *counts, best, f"{study.megabytes:.1f}"))
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns of equal width; a wide character counts as the two it takes."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
