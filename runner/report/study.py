"""A study's rows, its lines on screen and its values for scripts."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from runner.experiment import Experiment
from runner.report.leaderboard import Leaderboard, LeaderboardRow, rank
from runner.report.live import LEFT, SHOWN_FAILURES, short
from runner.report.table import leaderboard_text
from runner.study import StudyRecord, TrialRecord, best_trials, lineage, trial_log

SHOWN_AT_THE_END = 5


def board_of(record: StudyRecord, run_ids: Mapping[int, str] | None = None) -> Leaderboard:
    """The leaderboard of a study."""
    known = run_ids or {}
    rows = [_row(trial, known.get(trial.number)) for trial in record.trials()]
    return rank(rows, metric=metric_of(record), is_maximized=record.is_maximized)


def metric_of(record: StudyRecord) -> str:
    """The validation metric a study is searched on."""
    resolved = record.attributes.get("experiment") or {}
    return str(resolved.get("search", {}).get("metric", "value"))


def _row(trial: TrialRecord, run_id: str | None) -> LeaderboardRow:
    duration_s = None
    if trial.started is not None and trial.outcome is not None:
        duration_s = trial.notes.get("train_s")
    return LeaderboardRow(
        number=trial.number,
        outcome=str(trial.outcome) if trial.outcome else trial.state,
        value=trial.value,
        epochs=trial.notes.get("epochs"),
        best_epoch=trial.best_epoch,
        duration_s=duration_s,
        params=trial.params,
        run_id=run_id,
        note=_note_of(trial),
        loss=trial.loss,
    )


def _note_of(trial: TrialRecord) -> str:
    """Why it failed and where below the study's folder its log is, or what part it is."""
    if trial.outcome is None or trial.outcome in LEFT or not trial.reason:
        return trial.reason or _segment_text(trial)
    return _with_log(trial.reason, trial_log(Path(), trial.number))


def _with_log(reason: str, log: Path) -> str:
    """A reason with the log's place, unless it has that: a dead worker's does."""
    return reason if "its log is" in reason else f"{reason}; its log is {log.as_posix()}"


def _segment_text(trial: TrialRecord) -> str:
    """Which part of a longer training a trial is."""
    if trial.segment is None:
        return ""
    parent = trial.segment.parent
    after = "" if parent is None else f", after trial {parent}"
    return f"epochs {trial.segment.begin + 1} to {trial.segment.end}{after}"


def schedule_lines(record: StudyRecord) -> list[str]:
    """Of a population: the settings that led to the best trial, in turn."""
    best = next(best_trials(record), None)
    if best is None or best.segment is None:
        return []
    line = lineage(record.trials(), best.number)
    lines = [f"schedule of trial {best.number}:"]
    for trial in line:
        assert trial.segment is not None
        epochs = f"epochs {trial.segment.begin + 1} to {trial.segment.end}"
        lines.append(f"  {epochs} (trial {trial.number}): {short(trial.params)}")
    return lines


def trial_values(trial: TrialRecord) -> dict[str, Any]:
    """A trial as plain JSON values."""
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "best_epoch": trial.best_epoch,
        "params": dict(trial.params),
        "origin": trial.origin,
        "segment": None if trial.segment is None else asdict(trial.segment),
        "seed": trial.seed,
        "reason": trial.reason,
        "notes": dict(trial.notes),
    }


def status_values(record: StudyRecord) -> dict[str, Any]:
    """How a study is doing, as plain JSON values."""
    trials = record.trials()
    experiment = _experiment(record)
    states = [trial.state for trial in trials]
    return {
        "study": record.reference,
        "is_searching": record.place.standing().is_locked,
        "trials": len(trials),
        "trials_budget": None if experiment is None else experiment.trials,
        "states": {state: states.count(state) for state in dict.fromkeys(states)},
        "seconds_used": record.attributes.get("seconds_used", 0.0),
        "best": next((trial_values(t) for t in best_trials(record)), None),
        "running": [trial_values(t) for t in trials if t.state == "running"],
    }


def summary_lines(record: StudyRecord, stop_reason: str) -> list[str]:
    """What a person wants to know at the end of a search, or in the middle."""
    values = status_values(record)
    states = ", ".join(f"{count} {state}" for state, count in values["states"].items())
    budget = values["trials_budget"]
    state = "being searched" if values["is_searching"] else "not running"
    lines = [
        f"{values['study']} ({state}): {values['trials']} of {budget} trials ({states}) in "
        f"{values['seconds_used']:.0f} s"
    ]
    if stop_reason:
        lines.append(f"stopped: {stop_reason}")
    for trial in values["running"]:
        lines.append(f"running: trial {trial['number']}  {short(trial['params'])}")
    lines += _failure_lines(record)
    if values["best"] is not None:
        lines += ["", leaderboard_text(board_of(record), limit=SHOWN_AT_THE_END)]
        lines += schedule_lines(record)
    if record.attributes.get("undelivered"):
        lines += ["", f"MLflow lacks some of it:  python -m runner sync {record.reference}"]
    if elsewhere := record.attributes.get("elsewhere"):
        lines += [
            "",
            f"MLflow lacks the history of {elsewhere} trials that another machine ran: "
            f"there,  python -m runner sync {record.reference}",
        ]
    lines += ["", *_next_steps(record, values)]
    return lines


def _failure_lines(record: StudyRecord) -> list[str]:
    """The last failures, each with its log."""
    log_of = partial(trial_log, record.folder)
    bad = [t for t in record.trials() if t.outcome is not None and t.outcome not in LEFT]
    shown = [
        (trial, _with_log(trial.reason or "for no known reason", log_of(trial.number)))
        for trial in bad[-SHOWN_FAILURES:]
    ]
    lines = [f"{trial.state}: trial {trial.number}: {said}" for trial, said in shown]
    rest = len(bad) - SHOWN_FAILURES
    return [*lines, f"and {rest} more, see the leaderboard's notes"] if rest > 0 else lines


def _next_steps(record: StudyRecord, values: Mapping[str, Any]) -> list[str]:
    name = record.name
    steps = [f"leaderboard:  python -m runner leaderboard {name}"]
    if not values["is_searching"] and values["best"] is not None:
        steps.append(f"promote:      python -m runner promote {name}")
    steps.append("browse:       python -m runner ui")
    return steps


def _experiment(record: StudyRecord) -> Experiment | None:
    resolved = record.attributes.get("experiment")
    return None if resolved is None else Experiment.from_resolved(resolved)
