"""One training outside of any search: an experiment's own recipe, or a trial's again."""

import contextlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.backends import available_devices, lease_again, take_leases
from runner.errors import DiskRefused, NotFound, RunnerError, TrackingUnreachable, TrialFailed
from runner.experiment import (
    Experiment,
    Store,
    json_text,
    load_experiment,
    require_writable,
    write_whole,
)
from runner.study.environment import code_version, package_versions
from runner.study.logbook import EVALUATION
from runner.study.mlflow_mapping import STATUS, history_of
from runner.study.planning import inspect_here
from runner.study.reading import read_study
from runner.study.record import StudyRecord
from runner.study.trained import clear_dead, folder_in
from runner.study.trial_record import TrialRecord
from runner.study.underway import TAG_MARK, Mark, end_marked, under_way
from runner.tracking import TAG_KIND, TAG_OUTCOME, TAG_STUDY, Tracking, connect
from runner.trial import (
    WEIGHTS,
    Attempt,
    Ending,
    Job,
    Lease,
    Outcome,
    Printed,
    TrialSpec,
    derive_seed,
    objective_for,
    run_alone,
    saved_model,
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class _Training:
    """What is trained, where, and as what it is recorded.

    Attributes:
        experiment: Whose recipe.
        lease: Where.
        params: What a trial has beside the recipe.
        seed: The trial's.
        again: The trial that is trained again; None: none.
        record: Its study.
    """

    experiment: Experiment
    lease: Lease
    params: dict[str, Any]
    seed: int
    again: TrialRecord | None = None
    record: StudyRecord | None = None

    def spec(self, folder: Path) -> TrialSpec:
        """As a trial in a folder."""
        number = 0 if self.again is None else self.again.number
        segment = None if self.again is None else self.again.segment
        return TrialSpec(
            Attempt(number, 0), dict(self.params), self.seed, str(folder), segment=segment
        )

    @property
    def marked_in(self) -> Path | None:
        """Where the study's next command finds its mark; None where it is of no study."""
        return None if self.record is None else self.record.folder

    @property
    def mlflow_experiment(self) -> str:
        """The name of the MLflow experiment it is recorded in."""
        return self.experiment.tracking.experiment or self.experiment.name


def train(
    store: Store,
    name: str,
    *,
    overrides: Sequence[str] = (),
    trial: int | None = None,
    output: Path | None = None,
    is_half: bool = False,
    say: Say = print,
) -> dict[str, Any]:
    """Train once and record it as an MLflow run of its own.

    Args:
        store: The folder of local results; the weights are kept in it, under `trained/`, unless
            they go to `output`.
        name: The experiment, or with `trial` the study.
        overrides: Settings on top of the file.
        trial: Reproduce this trial: its parameters, seed, device and thread count.
        output: Where to write the best epoch's whole model, adapters merged.
        is_half: Write it in 16-bit floats.
        say: Takes one line an epoch.
    Returns:
        Outcome, value, best epoch, metrics by epoch, MLflow run id, weights file.
    Raises:
        TrialFailed: If the training failed; the run in MLflow has the traceback.
        TrackingUnreachable: If MLflow does not answer, found out before the training; or at its
            end, when the message has the value and says where the weights are.
        DiskRefused: If the result cannot be written, found out before the training where it can
            be.
    """
    with ExitStack() as stack:
        training = _prepare(store, name, overrides, trial, stack)
        _require_output(training, output)
        # Before torch looks for devices in this process.
        os.environ.update(training.lease.environment)
        tracking = _connect(store, training)
        place = store.trained / training.experiment.name
        clear_dead(place)
        end_marked(tracking, place)
        mark = stack.enter_context(under_way(training.marked_in or place))
        folder = stack.enter_context(folder_in(place, mark.name))
        ending, history = _run(store, training, folder, say)
        missing: RunnerError | None = None
        run_id = ""
        try:
            run_id = _record(tracking, training, mark, folder, ending, history)
        except (TrackingUnreachable, NotFound, DiskRefused) as error:
            missing = error
        weights = _delivered(store, training, folder, ending, output, is_half=is_half)
        if missing is not None:
            raise type(missing)(f"{missing}\n{_left(ending, weights)}") from missing
        if ending.outcome is not Outcome.COMPLETE:
            raise TrialFailed(f"{ending.outcome}: {ending.reason} (MLflow run {run_id})")
        _compare(training, ending, say)
        if output is not None:
            # It has them; the folder then has nothing that anybody was told of.
            (folder / WEIGHTS).unlink(missing_ok=True)
    return {
        "outcome": ending.outcome.value,
        "value": ending.value,
        "best_epoch": ending.best_step,
        "history": history,
        "run_id": run_id,
        "weights": None if weights is None else str(weights),
    }


def _prepare(
    store: Store, name: str, overrides: Sequence[str], number: int | None, stack: ExitStack
) -> _Training:
    if number is None:
        experiment = load_experiment(name, overrides)
        gpus = experiment.search.gpus_per_trial
        leases = take_leases(available_devices(1), slots=1, is_explicit=False, gpus_per_trial=gpus)
        stack.callback(leases.close)
        seed = derive_seed(experiment.seed, "trial", 0)
        return _Training(experiment, leases.leases[0], {}, seed)
    record = read_study(store, name)
    trials = record.trials()
    if not 0 <= number < len(trials):
        raise NotFound(f"the study {name!r} has trials 0 to {len(trials) - 1}, not {number}")
    # Where the command of an objective runs; nothing else depends on it.
    beside = record.attributes.get("facts", {}).get("folder")
    experiment = Experiment.from_resolved(
        record.attributes["experiment"], folder=Path(beside) if beside else None
    )
    again = trials[number]
    if again.segment is not None and again.segment.parent is not None:
        raise NotFound(
            f"trial {number} went on from the state of trial {again.segment.parent}, which is not "
            "kept; its weights are, where it is among the best"
        )
    # Sums in another order round differently: the same device and thread count, or not the same.
    held = lease_again(
        str(again.notes.get("device", "cpu")),
        threads=int(again.notes.get("threads", 1)),
        gpus=experiment.search.gpus_per_trial,
    )
    stack.callback(held.close)
    return _Training(experiment, held.leases[0], dict(again.params), again.seed, again, record)


def _require_output(training: _Training, output: Path | None) -> None:
    if output is None:
        return
    if training.experiment.is_custom:
        raise TrialFailed("task: custom has no weights that the runner knows; leave --output out")
    require_writable(output.absolute().parent)


def _connect(store: Store, training: _Training) -> Tracking:
    """MLflow, found to take the run before anything is trained for it."""
    tracking = connect(training.experiment.tracking.uri, store)
    with tracking.answering():
        tracking.experiment_id(training.mlflow_experiment)
    return tracking


def _run(
    store: Store, training: _Training, folder: Path, say: Say
) -> tuple[Ending, list[dict[str, Any]]]:
    """The ending, and the metrics by epoch; they also lie beside the weights."""
    inspect_here(training.experiment, store)
    channel = Printed(say, metric=training.experiment.metric)
    objective = objective_for(training.experiment, store)
    ending = run_alone(objective, Job((training.spec(folder),)), training.lease, channel)
    history = history_of({report.step: report for report in channel.reports})
    evaluation = {**(ending.evaluation or {}), "value": ending.value, "history": history}
    with contextlib.suppress(DiskRefused):
        # MLflow gets it too; the one of them that fails does not cost the other.
        write_whole(folder / EVALUATION, json_text(evaluation))
    return ending, history


def _delivered(
    store: Store,
    training: _Training,
    folder: Path,
    ending: Ending,
    output: Path | None,
    *,
    is_half: bool,
) -> Path | None:
    """Where the weights are that the user is told of; None where there are none."""
    if ending.outcome is not Outcome.COMPLETE:
        return None
    if training.experiment.is_custom:
        return saved_model(folder)
    if not ending.has_weights:
        raise DiskRefused(f"the training is done, its weights are {ending.notes['weights']}")
    if output is None:
        return folder / WEIGHTS
    from runner.trial import Bench

    recipe = training.experiment.recipe(training.params)
    try:
        bench = Bench(training.experiment, store)
        bench.save_kept(recipe, training.spec(folder), output, is_half=is_half)
    except DiskRefused as error:
        raise DiskRefused(f"{error}\n{_left(ending, folder / WEIGHTS)}") from error
    return output


def _left(ending: Ending, weights: Path | None) -> str:
    """What there is of a training that could not be recorded, or not delivered."""
    if ending.outcome is not Outcome.COMPLETE:
        return f"The training itself: {ending.outcome}: {ending.reason}"
    where = "" if weights is None else f"; its weights are in {weights}"
    return f"The training itself is done: value {ending.value} at epoch {ending.best_step}{where}"


def _compare(training: _Training, ending: Ending, say: Say) -> None:
    again = training.again
    if again is not None:
        same = "the same" if ending.value == again.value else f"not the same: {again.value}"
        say(f"trial {again.number} again: {ending.value}, in the study it is {same}")


def _record(
    tracking: Tracking,
    training: _Training,
    mark: Mark,
    folder: Path,
    ending: Ending,
    history: list[dict[str, Any]],
) -> str:
    """Make the training's run; if that breaks off, the next command ends the run."""
    evaluation = {**(ending.evaluation or {}), "history": history}
    tags = {
        TAG_KIND: "train",
        TAG_OUTCOME: ending.outcome.value,
        TAG_MARK: mark.name,
        "runner.seed": str(training.seed),
        "runner.code": code_version(),
        "runner.packages": ", ".join(f"{k} {v}" for k, v in package_versions().items()),
    }
    if training.record is not None:
        tags[TAG_STUDY] = training.record.study_id
    mark.is_left = True
    with tracking.answering():
        client = tracking.client
        experiment_id = tracking.experiment_id(training.mlflow_experiment)
        run_id = str(client.create_run(experiment_id, tags=tags, run_name="train").info.run_id)
        for key, value in training.experiment.settings(training.params).items():
            client.log_param(run_id, key, value)
        for row in history:
            metrics = {k: v for k, v in row.items() if k not in ("epoch", "time_ms")}
            for key, value in metrics.items():
                client.log_metric(run_id, key, value, row["time_ms"], row["epoch"])
        client.log_text(run_id, json_text(evaluation), EVALUATION)
        if ending.traceback:
            client.log_text(run_id, ending.traceback, "traceback.txt")
        if ending.has_weights:
            client.log_artifact(run_id, str(folder / WEIGHTS), "weights")
        client.set_terminated(run_id, STATUS[ending.outcome].value)
    mark.is_left = False
    return run_id
