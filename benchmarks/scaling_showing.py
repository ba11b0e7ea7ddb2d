"""The tables and the picture of `benchmarks/scaling.py`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scaling_case import PARTS
from benchmarks.waves import text
from runner.report.drawing import (
    ACCENT,
    BAD,
    GOOD,
    SOFT,
    drawing_style,
    empty_figure,
    plain_axes,
    save,
)

# How busy slots are to be kept.
BUSY = 0.95
SLOTS = (1, 8, 64, 512, 4096)
COLOURS = {"random": SOFT, "qmc": GOOD, "tpe": ACCENT, "cmaes": BAD}
# Of shorter searches the picture says nothing: their driver has hardly begun to work.
LONG = 1000

Case = Mapping[str, Any]


def show(found: Mapping[str, Sequence[Case]], *, picture: Path | None) -> None:
    """Print what has been measured, as Markdown, and draw it.

    Args:
        found: Cases by kind: driver, size, quality.
        picture: Where to draw, without a suffix; None: nowhere.
    """
    driver = sorted(
        found["driver"],
        key=lambda case: (case["sampler"], case["slots"], -case["asked_trial_s"]),
    )
    sizes = sorted(found["size"], key=lambda case: (case["sampler"], case["trials"]))
    quality = sorted(found["quality"], key=lambda case: (case["sampler"], case["slots"]))
    if driver:
        _table(_DRIVER, [_driver_row(case) for case in driver])
    if sizes:
        _table(_AT, [_at_row(case, size) for case in sizes for size in case["at_ms"]])
        _table(_SIZE, [_size_row(case) for case in sizes])
    if quality:
        _table(_QUALITY, [_quality_row(case) for case in quality])
    for seen in sorted({case["seen"] for cases in found.values() for case in cases}):
        print(seen)
    if picture is not None:
        print(_draw(picture, driver, sizes, quality))


def latest(case: Case) -> Mapping[str, float]:
    """What the driver worked for each of the last trials, ms: all slots were in use by then."""
    spent: Mapping[str, float] = case["at_ms"][str(case["trials"])]
    return spent


def needed_s(case: Case) -> float:
    """How long a trial must hold its slot for the slots to be busy nearly all the time.

    One driver serves all slots: while each trial costs it c seconds, S slots are busy for a share
    of at most T / (S c) with trials of T seconds.
    """
    return BUSY * case["slots"] * latest(case)["all"] / 1000


_DRIVER = ("sampler", "slots", "trials", "driver, ms a trial", *PARTS, "other")
_DRIVER += ("a trial held its slot, s", "slots busy", "the same without the end", "late")
_DRIVER += (f"{BUSY:.0%} busy with trials of, s", "peak memory, MB")


def _driver_row(case: Case) -> list[str]:
    spent = latest(case)
    return [
        case["sampler"],
        f"{case['slots']:,}",
        f"{case['trials']:,}",
        *(f"{spent[part]:.2f}" for part in ("all", *PARTS, "other")),
        f"{case['trial_s']:.1f}",
        f"{case['utilisation']:.1%}",
        f"{case['kept_busy']:.1%}",
        f"{case['late']:.1%}",
        f"{needed_s(case):.3g}",
        f"{case['peak_mb']:.0f}",
    ]


_AT = ("sampler", "slots", "trials in all", "at trial", "driver, ms a trial", *PARTS, "other")


def _at_row(case: Case, size: str) -> list[str]:
    spent = case["at_ms"][size]
    return [
        case["sampler"],
        f"{case['slots']:,}",
        f"{case['trials']:,}",
        f"{int(size):,}",
        *(f"{spent[part]:.2f}" for part in ("all", *PARTS, "other")),
    ]


_SIZE = ("sampler", "trials", "peak memory, MB", "of which imports", "journal, MB")
_SIZE += ("opening again, s", "leaderboard, s", "leaderboard --json, s")


def _size_row(case: Case) -> list[str]:
    return [
        case["sampler"],
        f"{case['trials']:,}",
        f"{case['peak_mb']:.0f}",
        f"{case['before_mb']:.0f}",
        f"{case['journal_mb']:.1f}",
        f"{case['again']['cpu_s']:.2f}",
        *(f"{cpu_s:.2f}" for cpu_s, _ in case["shown"].values()),
    ]


_QUALITY = ("sampler", "slots", "trials", "regret, all trials", "regret, 2 trial lengths")
_QUALITY += ("regret, 8 trial lengths", "time of all trials, s", "epochs trained")


def _quality_row(case: Case) -> list[str]:
    return [
        case["sampler"],
        f"{case['slots']:,}",
        f"{case['trials']:,}",
        text(np.array(case["regret"])),
        *(text(np.array(rows)) for rows in case["regret_after"].values()),
        f"{np.median(case['makespan_s']):,.0f}",
        f"{np.mean(case['epochs']):,.0f}",
    ]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def _draw(
    path: Path, driver: Sequence[Case], sizes: Sequence[Case], quality: Sequence[Case]
) -> Path:
    with drawing_style():
        figure = empty_figure(10.5, 3.4, "")
        left, middle, right = figure.subplots(1, 3)
        long = [case for case in driver if case["trials"] >= LONG]
        for sampler, cases in _by_sampler(long).items():
            cases = list({case["slots"]: case for case in reversed(cases)}.values())
            slots = [case["slots"] for case in cases]
            _line(left, slots, [needed_s(case) for case in cases], sampler)
        _name(left, f"Trials this long keep {BUSY:.0%} of the slots busy", "slots", "seconds")
        _tens(left, (0.01, 0.1, 1, 10, 100), axis="y")
        for sampler, cases in _by_sampler(sizes).items():
            at = cases[-1]["at_ms"]
            _line(middle, [int(size) for size in at], [at[s]["all"] for s in at], sampler)
        _name(middle, "Driver's processor time a trial", "trials", "ms")
        _tens(middle, (100, 1000, 10000, 100000), axis="x")
        middle.set_ylim(0, 1.1 * middle.get_ylim()[1])
        most = max((case["trials"] for case in quality), default=0)
        longest = [case for case in quality if case["trials"] == most]
        for sampler, cases in _by_sampler(longest).items():
            slots = [case["slots"] for case in cases]
            _line(right, slots, [np.mean(case["regret"]) for case in cases], sampler)
            after = [np.mean(list(case["regret_after"].values())[-1]) for case in cases]
            _line(right, slots, after, f"{sampler}, 8 lengths", style="--", colour=sampler)
        _name(
            right,
            f"Regret after {most:,} trials (dashed: 8 lengths)",
            "slots",
            "regret (1: a median setting)",
        )
        return save(figure, path)


def _by_sampler(cases: Sequence[Case]) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case["sampler"], []).append(case)
    return found


def _line(
    axes: Any,
    x: Sequence[float],
    y: Sequence[Any],
    label: str,
    *,
    style: str = "-",
    colour: str = "",
) -> None:
    axes.plot(x, y, style, marker="o", markersize=4, color=COLOURS[colour or label], label=label)


def _tens(axes: Any, ticks: Sequence[float], *, axis: str) -> None:
    """A logarithmic axis with ticks that are written out."""
    axes.set(**{f"{axis}scale": "log"})
    axes.set(**{f"{axis}ticks": ticks, f"{axis}ticklabels": [f"{tick:,}" for tick in ticks]})
    axes.tick_params(axis=axis, which="minor", length=0)


def _name(axes: Any, title: str, x: str, y: str) -> None:
    _tens(axes, SLOTS, axis="x")
    axes.set_title(title, fontsize=9, loc="left", color=SOFT)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    plain_axes(axes)
    if axes.lines:
        axes.legend(fontsize=8, frameon=False)
