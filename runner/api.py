"""The runner's verbs as functions; the command line is a thin layer over them."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import NotFound, RunnerError
from runner.experiment import Experiment, Store, load_experiment
from runner.report import Goal, LiveView, PlainView, publish
from runner.report import sync as sync_study
from runner.study import (
    BackendName,
    Options,
    Search,
    Silent,
    StudyRecord,
    TrialRecord,
    best_trials,
    open_search,
    read_study,
    study_for_optuna,
)

if TYPE_CHECKING:
    import optuna

Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """A study after a search: its trials and how the search ended.

    Attributes:
        record: The durable record.
        stop_reason: Why the search ended before its budget; empty if it did not.
        is_interrupted: Whether somebody ended it (Ctrl-C, SIGTERM, `stop`).
        undelivered: What MLflow did not take at the end, and what to do; empty if it has all.
    """

    record: StudyRecord
    stop_reason: str = ""
    is_interrupted: bool = False
    undelivered: str = ""

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.record.name

    @property
    def trials(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return self.record.trials()

    @property
    def best(self) -> TrialRecord | None:
        """The best complete trial, if there is one."""
        return next(best_trials(self.record), None)


def search(
    experiment: str | Path | Experiment,
    *,
    overrides: Sequence[str] = (),
    new: bool = False,
    backend: str = "local",
    ray_address: str | None = None,
    show: str = "auto",
) -> Study:
    """Search an experiment's space, or continue the search where it stopped.

    Args:
        experiment: An experiment file, its bare name, or a loaded experiment.
        overrides: `key=value` settings on top, as after `--set`.
        new: Begin the next study under the same name; the old one is kept.
        backend: "local" (worker processes), "ray" (Ray Tune) or "inline" (this process, for
            debugging).
        ray_address: The Ray cluster; None: what the experiment says.
        show: "live" (a table that redraws itself), "plain" (a line an event), "none", or "auto"
            for whichever suits standard output.
    Raises:
        RunnerError: See `runner.errors`; nothing that was found before is lost.
    """
    loaded = as_experiment(experiment, overrides)
    view = _view(loaded, show)
    say = (lambda text: None) if view is None else (lambda text: print(text, flush=True))
    options = Options(
        new=new,
        backend=BackendName(backend),
        ray_address=ray_address,
        say=say,
        listener=Silent() if view is None else view,
    )
    with open_search(loaded, Store.default(), options) as opened:
        _introduce(opened, say)
        try:
            _run(opened, view)
        except RunnerError:
            _publish(opened)
            raise
        _publish(opened)
    feed = opened.feed
    return Study(opened.record, feed.stop_reason, feed.was_asked, opened.undelivered)


def _run(opened: Search, view: LiveView | PlainView | None) -> None:
    if view is None:
        opened.run()
        return
    view.remember(opened.record.trials())
    with view.shown():
        opened.run()


def _publish(opened: Search) -> None:
    with opened.bearing_outages():
        publish(opened.experiment, opened.record, opened.study_run, within_s=opened.patience_s)


def sync(study: str) -> str:
    """Deliver to MLflow what it lacks of a study, after an outage; says what that was.

    Raises:
        NotFound: If there is no such study, or it has no trial.
        StudyLocked: If it is being searched: its driver delivers by itself.
        TrackingUnreachable: If MLflow does not answer, or takes no more.
    """
    return sync_study(Store.default(), study)


def resume(study: str, *, show: str = "auto") -> Study:
    """Continue a study by its name, with the experiment it was last searched with.

    Raises:
        NotFound: If there is no such study.
    """
    record = read_study(Store.default(), study)
    return search(experiment_of(record), show=show)


def leaderboard(study: str) -> list[TrialRecord]:
    """A study's trials, the best first, then the others by number.

    Raises:
        NotFound: If there is no such study.
    """
    return ranked(read_study(Store.default(), study))


def optuna_storage(study: str) -> "optuna.storages.BaseStorage":
    """A study as it is now, for Optuna's own tools, such as `optuna.copy_study`.

    Its name there is the experiment's. Nothing can be written to it.

    Raises:
        NotFound: If there is no such study.
    """
    return study_for_optuna(Store.default(), study)


def ranked(record: StudyRecord) -> list[TrialRecord]:
    """Complete trials, the best first, then all others by number."""
    best = list(best_trials(record))
    numbers = {trial.number for trial in best}
    return best + [trial for trial in record.trials() if trial.number not in numbers]


def promote(study: str, **options: Any) -> Any:
    """Evaluate a trial on the test split, pass the gate, register it; see `promotion.promote`."""
    from runner.promotion import promote as promote_trial

    return promote_trial(Store.default(), study, **options)


def predict(model: str, inputs: Any, **options: Any) -> Any:
    """Predict with a registered model or any trial; see `promotion.predict`."""
    from runner.promotion import predict as predict_with

    return predict_with(Store.default(), model, inputs, **options)


def as_experiment(
    experiment: str | Path | Experiment, overrides: Sequence[str] = ()
) -> Experiment:
    """A loaded experiment from whatever names one.

    Raises:
        ExperimentError: If the file is wrong; every problem at once.
    """
    if isinstance(experiment, Experiment):
        return experiment
    return load_experiment(str(experiment), overrides)


def experiment_of(record: StudyRecord) -> Experiment:
    """The experiment a study was last searched with.

    Raises:
        NotFound: If the search ended before the study had one.
    """
    resolved: Mapping[str, Any] | None = record.attributes.get("experiment")
    if resolved is None:
        raise NotFound(
            f"the study {record.name!r} has no experiment yet: its search ended before the first "
            "trial; run the search again"
        )
    return Experiment.from_resolved(resolved)


def _view(experiment: Experiment, show: str) -> LiveView | PlainView | None:
    if show == "none":
        return None
    goal = Goal(
        experiment.name,
        experiment.metric,
        experiment.direction == "maximize",
        experiment.trials,
        experiment.search.time_s,
    )
    is_live = show == "live" or (show == "auto" and sys.stdout.isatty())
    return LiveView(goal) if is_live else PlainView(goal)


def _introduce(opened: Search, say: Say) -> None:
    details, record = opened.facts.details, opened.record
    leases = opened.leases
    each = f"{leases[0].threads} thread{'s' if leases[0].threads > 1 else ''}"
    where = f"{len(leases)} x {leases[0].shown} ({each} each)"
    say(f"{record.reference}: {details['summary']}; on {where}")
    for note in details["notes"]:
        say(note)
    if done := sum(trial.attempt >= 0 for trial in record.trials()):
        say(f"continuing after {done} trials")
    say(f"MLflow: {opened.study_run.shown_uri}")
