"""Optuna with MLflow's nested runs, as their documentation has it.

    python -m benchmarks.peers.optuna_loop REQUEST TRACKING_URI

Used by the benchmarks; writes study and storage beside the request.
"""

import argparse
import multiprocessing
from pathlib import Path

import mlflow
import optuna
import torch

from benchmarks.peers.optuna_study import log, pruner_of, storage_of
from benchmarks.peers.plain_training import train
from benchmarks.peers.request import METRIC, Request
from benchmarks.peers.spaces import suggest

STUDY = "fine_tuning"


def optimize(request: Request, folder: Path, parent: str, *, worker: int = 0) -> None:
    """Run trials in this process until there are enough."""
    settings = request.settings
    if settings.processes > 1:
        torch.set_num_threads(max(1, multiprocessing.cpu_count() // settings.processes))

    def objective(trial: optuna.Trial) -> float:
        if trial.number >= request.trials:
            # The callback looks after a trial: another process may have begun the last one since.
            trial.study.stop()
            raise optuna.TrialPruned
        params = request.fixed | suggest(trial, request.space)
        best = 0.0
        name = f"trial_{trial.number}"
        with mlflow.start_run(run_name=name, nested=True, parent_run_id=parent):
            mlflow.log_params(params)
            epochs = train(request.photos, params, settings, request.seed + trial.number)
            for epoch, metrics in enumerate(epochs, start=1):
                log(metrics, epoch, batched=settings.batched_logging)
                best = max(best, metrics[METRIC])
                trial.report(metrics[METRIC], epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
        return best

    study = optuna.load_study(
        study_name=STUDY,
        storage=storage_of(settings.storage, folder),
        sampler=optuna.samplers.TPESampler(seed=request.seed + worker),
        pruner=pruner_of(request.pruner),
    )
    if settings.processes == 1:
        study.optimize(objective, n_trials=request.trials)
    else:
        # Trials that another process is still running count as well.
        counted = tuple(optuna.trial.TrialState[n] for n in ("COMPLETE", "PRUNED", "RUNNING"))
        enough = optuna.study.MaxTrialsCallback(request.trials, states=counted)
        study.optimize(objective, callbacks=[enough])


def work(path: Path, uri: str, parent: str, worker: int) -> None:
    """Another process of the same study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(STUDY)
    optimize(Request.load(path), path.parent, parent, worker=worker)


def main() -> None:
    """Search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("request", type=Path)
    parser.add_argument("uri")
    arguments = parser.parse_args()
    request, folder = Request.load(arguments.request), arguments.request.parent
    mlflow.set_tracking_uri(arguments.uri)
    mlflow.set_experiment(STUDY)
    storage = storage_of(request.settings.storage, folder)
    study = optuna.create_study(study_name=STUDY, storage=storage, direction="maximize")
    for params in request.first:
        study.enqueue_trial(params)
    with mlflow.start_run(run_name="study") as parent:
        run_id = parent.info.run_id
        context = multiprocessing.get_context("spawn")
        others = [
            context.Process(target=work, args=(arguments.request, arguments.uri, run_id, worker))
            for worker in range(1, request.settings.processes)
        ]
        for process in others:
            process.start()
        optimize(request, folder, run_id)
        for process in others:
            process.join()
            if process.exitcode:
                raise SystemExit(process.exitcode)


if __name__ == "__main__":
    main()
