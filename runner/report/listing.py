"""Small tables for the terminal: studies, predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

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
        best = "" if study.best is None else f"{study.best:.4f}"
        counts = (str(study.trials), str(study.complete))
        rows.append((study.reference, state, *counts, best, f"{study.megabytes:.1f}"))
    return aligned(rows)


def prediction_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Predictions as aligned text: image, label, probability."""
    shown = [("image", "label", "probability")]
    shown += [(str(r["image"]), str(r["label"]), f"{r['probability']:.4f}") for r in rows]
    return aligned(shown)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
