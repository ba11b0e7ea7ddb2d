"""The leaderboard: trials ranked, and which of their settings are worth a column."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

COMPLETE = "complete"
# Best first: a finished result, one that may still come, one cut short, one that never will be.
_OUTCOME_ORDER = {COMPLETE: 0, "running": 1, "paused": 1, "waiting": 1, "pruned": 2}
_LAST = 3


@dataclass(frozen=True)
class LeaderboardRow:
    """One trial.

    Attributes:
        number: The trial's number in its study.
        outcome: How it ended, or `running`.
        value: Value of the searched metric; for a pruned trial its last rung's; None without one.
        epochs: Epochs run.
        best_epoch: Epoch of the value, counted from 1.
        duration_s: Time it has taken.
        params: Its hyperparameters; a conditional one may be missing.
        run_id: Its MLflow run.
        note: Why it failed, or what is remarkable, in a few words.
        loss: Validation loss of its best epoch, by which equal values are ranked; infinite where
            nobody has measured it.
    """

    number: int
    outcome: str
    value: float | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    duration_s: float | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    run_id: str | None = None
    note: str = ""
    loss: float = math.inf

    @property
    def has_value(self) -> bool:
        """Whether there is a value that can be compared."""
        return self.value is not None and math.isfinite(self.value)


@dataclass(frozen=True)
class Leaderboard:
    """Ranked trials of one study.

    Attributes:
        rows: Best first: complete trials by value, then running, pruned by value, the rest.
        metric: Name of the value.
        is_maximized: Whether more is better.
        varying: Parameters that differ between trials, in the order of the search space.
        fixed: Parameters that are the same in every trial.
    """

    rows: tuple[LeaderboardRow, ...]
    metric: str
    is_maximized: bool
    varying: tuple[str, ...]
    fixed: Mapping[str, object]

    @property
    def best(self) -> LeaderboardRow | None:
        """The best complete trial."""
        first = self.rows[0] if self.rows else None
        if first is None or first.outcome != COMPLETE or not first.has_value:
            return None
        return first

    @cached_property
    def has_notes(self) -> bool:
        """Whether any trial has something remarkable about it."""
        return any(row.note for row in self.rows)

    @cached_property
    def numeric(self) -> frozenset[str]:
        """Varying parameters that are numbers wherever they are set."""
        return frozenset(
            name
            for name in self.varying
            if all(_is_number(row.params.get(name)) for row in self.rows)
        )


def rank(rows: Iterable[LeaderboardRow], *, metric: str, is_maximized: bool) -> Leaderboard:
    """The leaderboard of some trials.

    Args:
        rows: Trials in any order.
        metric: Name of the value.
        is_maximized: Whether more is better.
    """
    sign = -1.0 if is_maximized else 1.0

    def place(row: LeaderboardRow) -> tuple[int, bool, float, float, int]:
        value = sign * row.value if row.value is not None and row.has_value else 0.0
        outcome = _OUTCOME_ORDER.get(row.outcome, _LAST)
        return outcome, not row.has_value, value, row.loss, row.number

    ranked = tuple(sorted(rows, key=place))
    varying, fixed = split_params(ranked)
    return Leaderboard(ranked, metric, is_maximized, varying, fixed)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def split_params(rows: Iterable[LeaderboardRow]) -> tuple[tuple[str, ...], dict[str, object]]:
    """Parameters that differ between rows, and the value of those that do not.

    A parameter that some rows lack differs.
    """
    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row.params)
    fixed: dict[str, object] = {}
    for name in names:
        # By text: 1 and True are different settings.
        texts = (repr(row.params[name]) if name in row.params else None for row in rows)
        first = next(texts)
        if all(text == first for text in texts):
            fixed[name] = rows[0].params[name]
    return tuple(name for name in names if name not in fixed), fixed


def value_text(value: float | None) -> str:
    """A metric's value with as many digits as can matter, whatever its unit: five, or four
    decimals below ten.
    """
    if value is None:
        return ""
    size = abs(value)
    if not math.isfinite(value):
        return str(value)
    if size == 0 or 1e-3 <= size < 1e7:
        decimals = 4 - max(0, math.floor(math.log10(size))) if size else 4
        return f"{value:.{max(decimals, 0)}f}"
    return f"{value:.4g}"


def param_text(value: object) -> str:
    """A hyperparameter's value, floats to three digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value)


def epoch_text(row: LeaderboardRow) -> str:
    """`3/5`: the best epoch of those run."""
    if row.epochs is None:
        return ""
    return str(row.epochs) if row.best_epoch is None else f"{row.best_epoch}/{row.epochs}"


def duration_text(duration_s: float | None) -> str:
    """A duration in the two largest units that matter, for example `1 h 05 min`."""
    if duration_s is None:
        return ""
    if duration_s < 9.95:
        return f"{duration_s:.1f} s"
    seconds = round(duration_s)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"
