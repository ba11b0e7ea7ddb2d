"""Fine-tuning as PyTorch's own tutorial has it: ImageFolder, DataLoader workers, a plain loop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import create_transform, resolve_data_config
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from benchmarks.peers.network import build, freeze, frozen_to_eval
from benchmarks.peers.request import METRIC, Params, Photos, Settings

Loader = DataLoader[Any]


def train(photos: Photos, params: Params, settings: Settings, seed: int) -> Iterator[Params]:
    """Fine-tune once; gives the metrics of each epoch as soon as it has ended."""
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build(photos).to(device)
    freeze(model, params["freeze_depth"])
    if settings.channels_last:
        model = model.to(memory_format=torch.channels_last)
    train_loader, validation_loader = make_loaders(photos, params["batch_size"], settings)
    optimizer = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=params["learning_rate"],
        weight_decay=params["weight_decay"],
    )
    steps = params["epochs"] * len(train_loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    criterion = nn.CrossEntropyLoss()
    for _ in range(params["epochs"]):
        model.train()
        if settings.frozen_in_eval:
            frozen_to_eval(model)
        total = 0.0
        for images, labels in train_loader:
            images, labels = _placed(images, labels, device, settings)
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(labels)
        yield {
            "train_loss": total / photos.counts["train"],
            **evaluate(model, validation_loader, device, settings),
        }


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: Loader, device: torch.device, settings: Settings
) -> dict[str, float]:
    """Loss and accuracy on the whole validation part."""
    model.eval()
    loss, right, count = 0.0, 0, 0
    for images, labels in loader:
        images, labels = _placed(images, labels, device, settings)
        outputs = model(images)
        loss += nn.functional.cross_entropy(outputs, labels, reduction="sum").item()
        right += (outputs.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    return {"val_loss": loss / count, METRIC: right / count}


def make_loaders(photos: Photos, batch_size: int, settings: Settings) -> tuple[Loader, Loader]:
    """Loaders of JPEG files: resize, centre crop, normalise, by timm's own transform."""
    asked = {"img_size": photos.size, "crop_pct": photos.crop_fraction}
    known = timm.get_pretrained_cfg(photos.network).to_dict()
    wanted = resolve_data_config(asked, pretrained_cfg=known)
    transform = create_transform(**wanted, is_training=False)
    options = {
        "batch_size": batch_size,
        "num_workers": settings.loader_workers,
        "persistent_workers": settings.persistent_workers and settings.loader_workers > 0,
        "pin_memory": torch.cuda.is_available(),
    }
    parts = [
        ImageFolder(str(Path(photos.folder) / part), transform) for part in ("train", "validation")
    ]
    return DataLoader(parts[0], shuffle=True, **options), DataLoader(parts[1], **options)


def _placed(
    images: torch.Tensor, labels: torch.Tensor, device: torch.device, settings: Settings
) -> tuple[torch.Tensor, torch.Tensor]:
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    return images.to(device, memory_format=layout), labels.to(device)
