"""The study as one HTML page: nothing external, readable with three trials or ten thousand."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from string import Template

from runner.report.chart import chart, legend
from runner.report.leaderboard import (
    COMPLETE,
    Leaderboard,
    LeaderboardRow,
    duration_text,
    epoch_text,
    param_text,
    value_text,
)

_TONES = {
    COMPLETE: "good",
    "running": "run",
    "paused": "run",
    "pruned": "cut",
    "interrupted": "warn",
    "timed_out": "warn",
    "lost": "warn",
}
_FAILED_TONE = "bad"


@dataclass(frozen=True)
class StudyPage:
    """What the page says besides the leaderboard.

    Attributes:
        name: The study.
        description: From the experiment file; may be empty.
        facts: Label -> text, shown as cards after the best value, for example model or data.
        experiment: The resolved experiment.
        footer: One line at the end, for example version and command.
        run_address: Gives the address of an MLflow run; None writes ids without links.
    """

    name: str
    description: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    experiment: Mapping[str, object] = field(default_factory=dict)
    footer: str = ""
    run_address: Callable[[str], str] | None = None


def study_html(page: StudyPage, board: Leaderboard) -> str:
    """The whole page.

    Args:
        page: The study.
        board: Its ranked trials.
    """
    drawing = chart(board)
    return Template(_resource("page.html")).substitute(
        title=escape(f"{page.name} - study"),
        style=_resource("page.css"),
        script=_resource("page.js"),
        name=escape(page.name),
        description=_paragraph("description", escape(page.description)),
        cards="\n".join(_cards(page, board)),
        chart=_chart_section(board, drawing) if drawing else "",
        fixed=_fixed(board),
        chips=_chips(board),
        head=_head(board),
        body="\n".join(_rows(page, board)),
        experiment=escape(json.dumps(page.experiment, indent=2, default=str)),
        footer=escape(page.footer),
    )


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8").strip()


def _paragraph(kind: str, html: str) -> str:
    return f'<p class="{kind}">{html}</p>' if html else ""


def _cards(page: StudyPage, board: Leaderboard) -> list[str]:
    best = board.best
    goal = "highest" if board.is_maximized else "lowest"
    label = f"{goal} {board.metric}" + (f", trial {best.number}" if best else ": none yet")
    lead = value_text(best.value) if best else "&ndash;"
    facts = {"trials": f"{len(board.rows):,}", **page.facts}
    return [
        f'<div class="card lead"><b>{lead}</b><span>{escape(label)}</span></div>',
        *(
            f'<div class="card"><b>{escape(text)}</b><span>{escape(name)}</span></div>'
            for name, text in facts.items()
        ),
    ]


def _chart_section(board: Leaderboard, drawing: str) -> str:
    title = f"{escape(board.metric)} by trial"
    return (
        f'<section><h2>{title}</h2><div class="scroll">{drawing}</div>{legend(drawing)}</section>'
    )


def _fixed(board: Leaderboard) -> str:
    pairs = "".join(
        f"<code>{escape(name)}={escape(param_text(value))}</code>"
        for name, value in board.fixed.items()
    )
    return _paragraph("fixed", f"The same in every trial: {pairs}" if pairs else "")


def _tone(outcome: str) -> str:
    return _TONES.get(outcome, _FAILED_TONE)


def _chips(board: Leaderboard) -> str:
    counts = Counter(row.outcome for row in board.rows)
    if len(counts) < 2:
        return ""
    chips = "".join(
        f'<button type="button" aria-pressed="true" data-o="{escape(outcome)}">'
        f'<span class="o o-{_tone(outcome)}">{escape(outcome)} {count:,}</span></button>'
        for outcome, count in counts.most_common()
    )
    return f'<div class="chips" role="group" aria-label="Outcomes to show">{chips}</div>'


def _head(board: Leaderboard) -> str:
    numeric = ("trial", board.metric, "best epoch", "time")
    columns = [(name, name in numeric) for name in ("trial", "outcome", *numeric[1:])]
    columns += [(name, name in board.numeric) for name in board.varying]
    columns.append(("MLflow run", False))
    if _has_notes(board):
        columns.append(("note", False))
    return "".join(
        f'<th scope="col"{" class=n" if is_numeric else ""}>'
        f'<button type="button">{escape(name)}</button></th>'
        for name, is_numeric in columns
    )


def _has_notes(board: Leaderboard) -> bool:
    return any(row.note for row in board.rows)


def _rows(page: StudyPage, board: Leaderboard) -> list[str]:
    has_notes = _has_notes(board)
    return [_row(page, board, row, has_notes=has_notes) for row in board.rows]


def _row(page: StudyPage, board: Leaderboard, row: LeaderboardRow, *, has_notes: bool) -> str:
    outcome = escape(row.outcome)
    short = f"<code>{escape((row.run_id or '')[:8])}</code>"
    cells = [
        f'<td class=n data-v="{row.number}">{_run_link(page, row.run_id, str(row.number))}</td>',
        f'<td><span class="o o-{_tone(row.outcome)}">{outcome}</span></td>',
        _cell(value_text(row.value), sort_by=row.value if row.has_value else None, kind="n"),
        _cell(epoch_text(row), sort_by=row.best_epoch or row.epochs, kind="n"),
        _cell(duration_text(row.duration_s), sort_by=row.duration_s, kind="n"),
        *(
            _param_cell(row.params.get(name), is_numeric=name in board.numeric)
            for name in board.varying
        ),
        f"<td>{_run_link(page, row.run_id, short)}</td>",
    ]
    if has_notes:
        cells.append(_cell(row.note, kind="note"))
    top = " class=top" if row is board.best else ""
    return f'<tr{top} data-o="{outcome}">{"".join(cells)}</tr>'


def _cell(text: str, *, sort_by: float | None = None, kind: str = "") -> str:
    key = "" if sort_by is None else f' data-v="{sort_by!r}"'
    return f"<td{f' class={kind}' if kind else ''}{key}>{escape(text)}</td>"


def _param_cell(value: object, *, is_numeric: bool) -> str:
    kind = "n" if is_numeric else ""
    sort_by = value if isinstance(value, float) else None
    return _cell(param_text(value), sort_by=sort_by, kind=kind)


def _run_link(page: StudyPage, run_id: str | None, html: str) -> str:
    if run_id is None or page.run_address is None:
        return html
    address = escape(page.run_address(run_id))
    return f'<a href="{address}" title="MLflow run {escape(run_id)}">{html}</a>'
