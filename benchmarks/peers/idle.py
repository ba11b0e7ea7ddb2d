"""Optuna and Ray Tune with an objective that does nothing, everything logged to MLflow.

    python -m benchmarks.peers.idle optuna|ray TRACKING_URI FOLDER [--trials 60] [--epochs 1] ...

Used by the benchmark `machinery`.
"""

import argparse
import os
from pathlib import Path
from typing import Any

SPACE: dict[str, Any] = {
    "learning_rate": {"float": [1e-5, 1e-1], "log": True},
    "weight_decay": {"float": [1e-6, 1e-1], "log": True},
    "dropout": {"float": [0.0, 0.5]},
    "batch_size": {"choice": [16, 32, 64]},
    "freeze_depth": {"int": [0, 8]},
}


def metrics_of(params: dict[str, Any]) -> dict[str, float]:
    """Numbers that depend on the parameters, so that a sampler has something to do."""
    loss = abs(params["learning_rate"] - 1e-3)
    return {"train_loss": loss, "val_loss": loss, "val_accuracy": 1 - loss}


def run_optuna(options: argparse.Namespace) -> None:
    """Optuna's loop with a nested MLflow run a trial."""
    import mlflow
    import optuna

    from benchmarks.peers.optuna_study import log, storage_of
    from benchmarks.peers.spaces import suggest

    mlflow.set_tracking_uri(options.uri)
    mlflow.set_experiment("idle")
    study = optuna.create_study(
        storage=storage_of(options.storage, options.folder), direction="maximize"
    )

    def objective(trial: optuna.Trial) -> float:
        params = suggest(trial, SPACE)
        metrics = metrics_of(params)
        with mlflow.start_run(run_name=f"trial_{trial.number}", nested=True):
            mlflow.log_params(params)
            for epoch in range(1, options.epochs + 1):
                log(metrics, epoch, batched=options.logging == "batched")
                trial.report(metrics["val_accuracy"], epoch)
        return metrics["val_accuracy"]

    with mlflow.start_run(run_name="study"):
        study.optimize(objective, n_trials=options.trials)


def run_ray(options: argparse.Namespace) -> None:
    """Ray Tune with its MLflow callback: a function at the defaults, or actors used again."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    from benchmarks.peers.spaces import ray_space

    def function(config: dict[str, Any]) -> None:
        for _ in range(options.epochs):
            tune.report(metrics_of(config))

    class Idle(tune.Trainable):
        """The same for an actor that is used again."""

        def setup(self, config: dict[str, Any]) -> None:
            self._config = config

        def step(self) -> dict[str, Any]:
            return metrics_of(self._config) | {"done": self.iteration + 1 == options.epochs}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._config = new_config
            return True

    ray.init(num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False)
    callback = MLflowLoggerCallback(tracking_uri=options.uri, experiment_name="idle")
    tuner = tune.Tuner(
        Idle if options.reuse_actors else function,
        param_space=ray_space(SPACE),
        tune_config=tune.TuneConfig(
            metric="val_accuracy",
            mode="max",
            num_samples=options.trials,
            reuse_actors=options.reuse_actors,
        ),
        run_config=tune.RunConfig(
            name="idle",
            storage_path=str(options.folder / "ray"),
            callbacks=[callback],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    if tuner.fit().num_errors:
        raise SystemExit("trials failed")


def main() -> None:
    """Search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=("optuna", "ray"))
    parser.add_argument("uri")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--storage", choices=("sqlite", "journal", "memory"), default="sqlite")
    parser.add_argument("--logging", choices=("plain", "batched"), default="plain")
    parser.add_argument("--reuse-actors", action="store_true")
    options = parser.parse_args()
    (run_optuna if options.peer == "optuna" else run_ray)(options)


if __name__ == "__main__":
    main()
