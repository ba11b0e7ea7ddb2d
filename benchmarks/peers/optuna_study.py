"""The pieces of an Optuna study that need no torch: storage, pruner, MLflow logging."""

from pathlib import Path

import mlflow
import optuna

from benchmarks.peers.request import Params


def storage_of(kind: str, folder: Path) -> optuna.storages.BaseStorage:
    """Optuna's storage: "sqlite", "journal" or "memory"."""
    if kind == "sqlite":
        return optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    if kind == "journal":
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.log"))
        return optuna.storages.JournalStorage(backend)
    return optuna.storages.InMemoryStorage()


def pruner_of(name: str) -> optuna.pruners.BasePruner:
    """Successive halving at its own defaults, or none."""
    if name == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.SuccessiveHalvingPruner()


def log(metrics: Params, epoch: int, *, batched: bool) -> None:
    """The metrics of one epoch, to MLflow's active run."""
    if batched:
        mlflow.log_metrics(metrics, step=epoch)
    else:
        for name, value in metrics.items():
            mlflow.log_metric(name, value, step=epoch)
