"""Linear probes on features that somebody computed once, by hand: Optuna and MLflow as usual.

    python -m benchmarks.peers.by_hand REQUEST TRACKING_URI

Not what Optuna's documentation teaches, but what somebody may write who knows that the backbone
is frozen (keras.io, "Transfer learning & fine-tuning", its lightweight workflow; it holds without
augmentation and with every layer but the head frozen, and only then).
"""

import argparse
from pathlib import Path

import mlflow
import optuna
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.network import build
from benchmarks.peers.optuna_study import log, storage_of
from benchmarks.peers.plain_training import make_loaders
from benchmarks.peers.request import METRIC, Request
from benchmarks.peers.spaces import suggest


@torch.no_grad()
def features_of(request: Request) -> list[tuple[Tensor, Tensor]]:
    """Pooled features [N, D] and labels [N] of the training and the validation part."""
    model = build(request.photos).eval().to(memory_format=torch.channels_last)
    setattr(model, model.pretrained_cfg["classifier"], nn.Identity())
    found = []
    for loader in make_loaders(request.photos, 64, request.settings):
        rows = [(model(x.to(memory_format=torch.channels_last)), y) for x, y in loader]
        found.append((torch.cat([x for x, _ in rows]), torch.cat([y for _, y in rows])))
    return found


def main() -> None:
    """Search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("request", type=Path)
    parser.add_argument("uri")
    arguments = parser.parse_args()
    request = Request.load(arguments.request)
    mlflow.set_tracking_uri(arguments.uri)
    mlflow.set_experiment("by_hand")
    (train_x, train_y), (x, y) = features_of(request)

    def objective(trial: optuna.Trial) -> float:
        params = request.fixed | suggest(trial, request.space)
        torch.manual_seed(request.seed + trial.number)
        head = nn.Linear(train_x.shape[1], request.photos.classes)
        decay = params["weight_decay"]
        optimizer = torch.optim.AdamW(
            head.parameters(), lr=params["learning_rate"], weight_decay=decay
        )
        data = TensorDataset(train_x, train_y)
        loader = DataLoader(data, batch_size=params["batch_size"], shuffle=True)
        steps = params["epochs"] * len(loader)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        best = 0.0
        with mlflow.start_run(run_name=f"trial_{trial.number}", nested=True):
            mlflow.log_params(params)
            for epoch in range(1, params["epochs"] + 1):
                total = 0.0
                for batch, labels in loader:
                    optimizer.zero_grad()
                    loss = nn.functional.cross_entropy(head(batch), labels)
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                    total += loss.item() * len(labels)
                with torch.no_grad():
                    logits = head(x)
                accuracy = (logits.argmax(dim=1) == y).float().mean().item()
                val_loss = nn.functional.cross_entropy(logits, y).item()
                metrics = {"train_loss": total / len(train_y), "val_loss": val_loss}
                log(metrics | {METRIC: accuracy}, epoch, batched=True)
                best = max(best, accuracy)
        return best

    storage = storage_of(request.settings.storage, arguments.request.parent)
    study = optuna.create_study(storage=storage, direction="maximize")
    with mlflow.start_run(run_name="study"):
        study.optimize(objective, n_trials=request.trials)


if __name__ == "__main__":
    main()
