"""One training outside of any search: an experiment's own recipe, or a trial's again."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from runner.backends import available_devices, take_leases
from runner.errors import NotFound, TrialFailed
from runner.experiment import Experiment, Store, load_experiment
from runner.study.environment import code_version, package_versions
from runner.study.logbook import EVALUATION, WEIGHTS
from runner.study.mlflow_mapping import STATUS, history_of
from runner.study.planning import inspect_here
from runner.study.reading import read_study
from runner.study.trial_record import TrialRecord
from runner.tracking import TAG_KIND, TAG_OUTCOME, connect
from runner.trial import (
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
)

Say = Callable[[str], None]


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
        store: The folder of local results.
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
    """
    with ExitStack() as stack:
        experiment, spec, lease, again = _prepare(store, name, overrides, trial, stack)
        # Before torch looks for devices in this process.
        os.environ.update(lease.environment)
        return _train(store, experiment, spec, lease, again, output, is_half, say)


def _train(
    store: Store,
    experiment: Experiment,
    spec: TrialSpec,
    lease: Lease,
    again: TrialRecord | None,
    output: Path | None,
    is_half: bool,
    say: Say,
) -> dict[str, Any]:
    if output is not None and experiment.is_custom:
        raise TrialFailed("task: custom has no weights that the runner knows; leave --output out")
    inspect_here(experiment, store)
    Path(spec.folder).mkdir(parents=True, exist_ok=True)
    channel = Printed(say, metric=experiment.metric)
    ending = run_alone(objective_for(experiment, store), Job((spec,)), lease, channel)
    history = history_of({report.step: report for report in channel.reports})
    run_id = _record(store, experiment, spec, ending, history)
    if ending.outcome is not Outcome.COMPLETE:
        raise TrialFailed(f"{ending.outcome}: {ending.reason} (MLflow run {run_id})")
    weights = Path(spec.folder) / WEIGHTS
    if output is not None:
        from runner.trial import Bench

        recipe = experiment.recipe(dict(spec.params))
        Bench(experiment, store).save_kept(recipe, spec, output, is_half=is_half)
    if again is not None:
        same = "the same" if ending.value == again.value else f"not the same: {again.value}"
        say(f"trial {again.number} again: {ending.value}, in the study it is {same}")
    return {
        "outcome": ending.outcome.value,
        "value": ending.value,
        "best_epoch": ending.best_step,
        "history": history,
        "run_id": run_id,
        "weights": str(output or weights) if ending.has_weights else None,
    }


def _prepare(
    store: Store, name: str, overrides: Sequence[str], number: int | None, stack: ExitStack
) -> tuple[Experiment, TrialSpec, Lease, TrialRecord | None]:
    folder = mkdtemp("-train")
    if number is None:
        experiment = load_experiment(name, overrides)
        gpus = experiment.search.gpus_per_trial
        leases = take_leases(available_devices(1), slots=1, is_explicit=False, gpus_per_trial=gpus)
        stack.callback(leases.close)
        seed = derive_seed(experiment.seed, "trial", 0)
        return experiment, TrialSpec(Attempt(0, 0), {}, seed, folder), leases.leases[0], None
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
    lease = Lease(0, (str(again.notes.get("device", "cpu")),), int(again.notes.get("threads", 1)))
    spec = TrialSpec(
        Attempt(number, 0), dict(again.params), again.seed, folder, segment=again.segment
    )
    return experiment, spec, lease, again


def _record(
    store: Store,
    experiment: Experiment,
    spec: TrialSpec,
    ending: Ending,
    history: list[dict[str, Any]],
) -> str:
    tracking = connect(experiment.tracking.uri, store)
    evaluation = {**(ending.evaluation or {}), "history": history}
    tags = {
        TAG_KIND: "train",
        TAG_OUTCOME: ending.outcome.value,
        "runner.seed": str(spec.seed),
        "runner.code": code_version(),
        "runner.packages": ", ".join(f"{k} {v}" for k, v in package_versions().items()),
    }
    with tracking.answering():
        client = tracking.client
        experiment_id = tracking.experiment_id(experiment.tracking.experiment or experiment.name)
        run_id = str(client.create_run(experiment_id, tags=tags, run_name="train").info.run_id)
        for key, value in experiment.settings(dict(spec.params)).items():
            client.log_param(run_id, key, value)
        for row in history:
            metrics = {k: v for k, v in row.items() if k not in ("epoch", "time_ms")}
            for key, value in metrics.items():
                client.log_metric(run_id, key, value, row["time_ms"], row["epoch"])
        client.log_text(run_id, json.dumps(evaluation), EVALUATION)
        if ending.traceback:
            client.log_text(run_id, ending.traceback, "traceback.txt")
        if ending.has_weights:
            client.log_artifact(run_id, str(Path(spec.folder) / WEIGHTS), "weights")
        client.set_terminated(run_id, STATUS[ending.outcome].value)
    return run_id
