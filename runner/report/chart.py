"""Best value over time as an inline SVG: a dot a trial, a step line for the best so far."""

import math
from collections.abc import Sequence
from html import escape

from runner.report.leaderboard import COMPLETE, Leaderboard, LeaderboardRow, value_text

WIDTH, HEIGHT = 960, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 18, 46
# Above this many, dots are one path without tooltips: ten thousand elements make a page slow.
_MAX_SINGLE_DOTS = 600
_TICKS = 5
_TICK_CHARACTERS = 8


# Class in the drawing, class of the legend's mark, its text, what it marks with.
_LEGEND = (
    ('class="done"', "done", "", "complete"),
    ('class="cut"', "cut", "", "stopped early, at its last value"),
    ('class="cross', "cross", "&#x2715;", "no value"),
    ('class="best"', "best", "", "best so far"),
    ('class="dots done"', "done", "", "complete"),
    ('class="dots cut"', "grey", "", "stopped early, at its last value"),
)


def legend(drawing: str) -> str:
    """What the marks of a drawing mean: only those that are in it."""
    entries = (
        f'<span><i class="l-{mark}">{symbol}</i>{text}</span>'
        for trace, mark, symbol, text in _LEGEND
        if trace in drawing
    )
    return f'<p class="legend">{"".join(entries)}</p>'


def chart(board: Leaderboard) -> str:
    """The SVG element; empty if no trial has a value."""
    rows = sorted((row for row in board.rows if row.has_value), key=lambda row: row.number)
    if not rows:
        return ""
    last = max(row.number for row in board.rows)
    values = [row.value for row in rows if row.value is not None]
    scale = _Scale(last, *value_range(values, is_maximized=board.is_maximized))
    lost = [row.number for row in board.rows if not row.has_value and row.outcome != "running"]
    parts = [
        _grid(scale, board.metric),
        _crosses(scale, lost),
        _dots(scale, [row for row in rows if row.outcome != COMPLETE], "cut"),
        _best_line(scale, rows, is_maximized=board.is_maximized),
        _dots(scale, [row for row in rows if row.outcome == COMPLETE], "done"),
    ]
    label = f"{escape(board.metric)} of each trial, and the best so far"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        + "".join(parts)
        + "</svg>"
    )


def value_range(values: Sequence[float], *, is_maximized: bool) -> tuple[float, float]:
    """The range the axis shows: all good values, and bad ones unless they are far off.

    One diverged trial would press all others into a line; it is drawn at the edge instead.
    """
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    middle = ordered[len(ordered) // 2]
    # Where most trials share the best value, nothing says what is far off.
    if is_maximized and high > middle:
        low = max(low, middle - 3 * (high - middle))
    elif not is_maximized and low < middle:
        high = min(high, middle + 3 * (middle - low))
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


class _Scale:
    """Maps trial numbers and values to the drawing's units."""

    def __init__(self, last: int, low: float, high: float) -> None:
        self.last, self.low, self.high = max(last, 1), low, high

    def x(self, number: int) -> float:
        return round(LEFT + 8 + (WIDTH - LEFT - RIGHT - 16) * number / self.last, 1)

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def nice_ticks(low: float, high: float, *, count: int = _TICKS) -> list[float]:
    """Round numbers inside a range, about as many as asked for.

    Source: the usual 1-2-5 rule.
    """
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step)
    digits = 1 - math.floor(math.log10(step))
    return [round(index * step, digits) for index in range(first, math.floor(high / step) + 1)]


def tick_texts(ticks: Sequence[float]) -> list[str]:
    """Ticks as text: equally many decimals, or powers of ten where those would not fit."""
    decimals = max(
        (len(f"{tick:.10f}".rstrip("0").partition(".")[2]) for tick in ticks), default=0
    )
    plain = [f"{tick:.{decimals}f}" for tick in ticks]
    is_told_apart = len(set(plain)) == len(plain)
    if is_told_apart and max(map(len, plain), default=0) <= _TICK_CHARACTERS:
        return plain
    return [f"{tick:.3g}" for tick in ticks]


def _grid(scale: _Scale, metric: str) -> str:
    floor = HEIGHT - BOTTOM
    parts = []
    ticks = nice_ticks(scale.low, scale.high)
    for value, text in zip(ticks, tick_texts(ticks), strict=True):
        y = scale.y(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{text}</text>')
    for number in sorted({int(tick) for tick in nice_ticks(0, scale.last, count=8)}):
        x = scale.x(number)
        parts.append(f'<text x="{x}" y="{floor + 20}" text-anchor="middle">{number}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<path class="axis" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>')
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">trial</text>')
    parts.append(
        f'<text transform="rotate(-90 14 {floor / 2})" x="14" y="{floor / 2}" '
        f'text-anchor="middle">{escape(metric)}</text>'
    )
    return "".join(parts)


def _dots(scale: _Scale, rows: Sequence[LeaderboardRow], kind: str) -> str:
    places = [(scale.x(row.number), scale.y(row.value or 0.0)) for row in rows]
    if len(rows) > _MAX_SINGLE_DOTS:
        drawn = "".join(f"M{x:g} {y:g}h0" for x, y in places)
        return f'<path class="dots {kind}" d="{drawn}"/>'
    return "".join(
        f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="4"><title>trial {row.number}: '
        f"{value_text(row.value)} ({escape(row.outcome)})</title></circle>"
        for row, (x, y) in zip(rows, places, strict=True)
    )


def _crosses(scale: _Scale, numbers: Sequence[int]) -> str:
    """A mark on the axis for each trial without a value."""
    y = HEIGHT - BOTTOM
    if len(numbers) > _MAX_SINGLE_DOTS / 3:
        ticks = "".join(f"M{scale.x(n):g} {y - 4}v8" for n in numbers)
        return f'<path class="cross many" d="{ticks}"/>'
    marks = "".join(f"M{scale.x(n) - 3:g} {y - 3}l6 6m0 -6l-6 6" for n in numbers)
    return f'<path class="cross" d="{marks}"/>' if marks else ""


def _best_line(scale: _Scale, rows: Sequence[LeaderboardRow], *, is_maximized: bool) -> str:
    best: float | None = None
    drawn = ""
    for row in rows:
        if row.outcome != COMPLETE or row.value is None:
            continue
        is_better = best is None or (row.value > best if is_maximized else row.value < best)
        if is_better:
            best = row.value
            x, y = scale.x(row.number), scale.y(best)
            drawn += f"H{x:g}V{y:g}" if drawn else f"M{x:g} {y:g}"
    if best is None:
        return ""
    return f'<path class="best" d="{drawn}H{WIDTH - RIGHT}"/>'
