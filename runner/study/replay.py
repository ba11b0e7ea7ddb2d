"""Reading a study's journal without Optuna, for those who only look.

Importing Optuna costs a quarter of a second, and its storage rebuilds every distribution of every
trial: 10,000 trials take it seconds. The file stays Optuna's, and what it means is Optuna's to
say: a test reads journals both ways, and whoever meets an operation that is not known here asks
Optuna instead.
"""

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from runner.study.trial_record import TrialRecord, segment_of
from runner.trial import Outcome


class _State(IntEnum):
    """Optuna's TrialState."""

    RUNNING = 0
    COMPLETE = 1
    PRUNED = 2
    FAIL = 3
    WAITING = 4


class _Operation(IntEnum):
    """Optuna's JournalOperation, as far as a study of ours has them."""

    CREATE_STUDY = 0
    SET_STUDY_USER_ATTR = 2
    SET_STUDY_SYSTEM_ATTR = 3
    CREATE_TRIAL = 4
    SET_TRIAL_STATE_VALUES = 6
    SET_TRIAL_INTERMEDIATE_VALUE = 7
    SET_TRIAL_USER_ATTR = 8
    SET_TRIAL_SYSTEM_ATTR = 9


_MAXIMIZE = 2
_FINISHED = frozenset({_State.COMPLETE, _State.PRUNED, _State.FAIL})
_IGNORED = frozenset({_Operation.SET_STUDY_SYSTEM_ATTR, _Operation.SET_TRIAL_SYSTEM_ATTR})


class UnknownOperation(Exception):
    """The journal has what only Optuna can read."""


@dataclass
class _Trial:
    """A trial while its operations are applied."""

    params: dict[str, Any]
    attrs: dict[str, Any]
    state: int
    value: float | None = None
    rungs: dict[int, float] = field(default_factory=dict)
    started: str | None = None
    ended: str | None = None


@dataclass
class Replayed:
    """A study as its journal had it when it was read.

    Attributes:
        is_maximized: Whether a larger value is better.
        attributes: The study's own attributes.
    """

    is_maximized: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)
    _trials: list[_Trial] = field(default_factory=list)
    _distributions: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many trials were asked for."""
        return len(self._trials)

    def trials(self) -> list[TrialRecord]:
        """Every trial, by number."""
        with _without_collection():
            return [_record_of(number, trial) for number, trial in enumerate(self._trials)]

    def trial(self, number: int) -> TrialRecord:
        """One trial."""
        return _record_of(number, self._trials[number])

    def apply(self, log: Mapping[str, Any]) -> None:
        """Apply an operation.

        Raises:
            UnknownOperation: If it is none of those that a study of ours has.
        """
        operation = log["op_code"]
        if operation == _Operation.CREATE_TRIAL:
            self._trials.append(self._created(log))
        elif operation == _Operation.SET_STUDY_USER_ATTR:
            self.attributes.update(log["user_attr"])
        elif operation == _Operation.CREATE_STUDY:
            self.is_maximized = log["directions"] == [_MAXIMIZE]
        elif "trial_id" in log and self._trials[log["trial_id"]].state in _FINISHED:
            return
        elif operation == _Operation.SET_TRIAL_STATE_VALUES:
            _set_state(self._trials[log["trial_id"]], log)
        elif operation == _Operation.SET_TRIAL_USER_ATTR:
            self._trials[log["trial_id"]].attrs.update(log["user_attr"])
        elif operation == _Operation.SET_TRIAL_INTERMEDIATE_VALUE:
            rungs = self._trials[log["trial_id"]].rungs
            rungs[int(log["step"])] = log["intermediate_value"]
        elif operation not in _IGNORED:
            raise UnknownOperation(f"operation {operation}")

    def _created(self, log: Mapping[str, Any]) -> _Trial:
        if "distributions" not in log:
            raise UnknownOperation("a trial whose parameters come one by one")
        written: dict[str, str] = log["distributions"]
        params = {
            name: self._external(written[name], value) for name, value in log["params"].items()
        }
        return _Trial(params, dict(log["user_attrs"]), log["state"])

    def _external(self, distribution: str, value: float) -> Any:
        """A parameter's value as people know it; Optuna writes the place of a choice."""
        known = self._distributions.get(distribution)
        if known is None:
            known = self._distributions[distribution] = json.loads(distribution)
        match known["name"]:
            case "FloatDistribution":
                return value
            case "IntDistribution":
                return int(value)
            case "CategoricalDistribution":
                return known["attributes"]["choices"][int(value)]
        raise UnknownOperation(f"distribution {known['name']}")


def replay(content: bytes) -> Replayed:
    """Read a journal, also while its driver writes to it: half a line at its end is ignored.

    Raises:
        UnknownOperation: If only Optuna can read it.
    """
    study = Replayed()
    whole = content[: content.rfind(b"\n")] if b"\n" in content else b""
    with _without_collection():
        try:
            logs = _logs(whole)
        except ValueError:
            # A power cut can leave a last line that is none; the next driver cuts it off.
            try:
                logs = _logs(whole[: whole.rfind(b"\n")])
            except ValueError as error:
                raise UnknownOperation(f"the journal is damaged: {error}") from error
        for log in logs:
            study.apply(log)
    return study


def _logs(lines: bytes) -> list[dict[str, Any]]:
    # As one document: line by line takes half as long again.
    logs: list[dict[str, Any]] = json.loads(b"[" + lines.replace(b"\n", b",") + b"]")
    return logs


@contextmanager
def _without_collection() -> Iterator[None]:
    """Look for no garbage among what is only being built: a third of the time to read."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _set_state(trial: _Trial, log: Mapping[str, Any]) -> None:
    trial.state = log["state"]
    if trial.state == _State.RUNNING:
        trial.started = log["datetime_start"]
    if trial.state in _FINISHED:
        trial.ended = log["datetime_complete"]
    if log["values"] is not None:
        trial.value = log["values"][0]


def _record_of(number: int, trial: _Trial) -> TrialRecord:
    attrs = trial.attrs
    ending = {} if trial.state == _State.RUNNING else (attrs.get("ending") or {})
    wave = attrs.get("wave")
    return TrialRecord(
        number=number,
        outcome=Outcome(ending["outcome"]) if ending else None,
        is_waiting=trial.state == _State.WAITING,
        value=trial.value if trial.state in _FINISHED else None,
        best_epoch=ending.get("best_step"),
        params=trial.params,
        rungs=trial.rungs,
        failed_at=attrs.get("failed_at", attrs.get("pruned_at")),
        origin=attrs.get("origin", "sampler"),
        seed=attrs.get("seed", 0),
        wave=(wave[0], wave[1]) if wave else (number, 1),
        attempt=attrs.get("attempt", -1),
        reason=ending.get("reason", ""),
        traceback=ending.get("traceback", ""),
        notes=ending.get("notes", {}),
        started=_local(trial.started),
        ended=_local(trial.ended),
        is_exclusive=attrs.get("exclusive", False),
        segment=segment_of(attrs),
        crashes=attrs.get("crashes", 0),
    )


def _local(text: str | None) -> datetime | None:
    """Local time without a zone, as Optuna has it."""
    if text is None:
        return None
    return datetime.fromisoformat(text).astimezone().replace(tzinfo=None)
