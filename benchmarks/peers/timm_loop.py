"""Full fine-tuning as timm's train.py does it, on one device.

    python -m benchmarks.peers.timm_loop FOLDER MODEL OUTPUT [--batch-size 128] [--best] ...

timm's wheel has no train.py, so its loop is written here with timm's own parts: create_dataset and
create_loader (prefetcher, loader workers), create_optimizer_v2, channels_last, autocast and
NativeScaler. As there, bfloat16 needs no loss scaling: the scaler is used for float16 alone. The
options are those of `train.py DATA --model M --opt adamw --amp --amp-dtype bfloat16
--channels-last --workers N --scale 0.7 1.0 --color-jitter 0`, and with --best also
`--torchcompile --opt-kwargs fused=True`.

Writes the images a second of each epoch as JSON to OUTPUT.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.utils import NativeScaler
from torch import Tensor, nn

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
Step = Callable[[Tensor, Tensor], None]


def make_loader(options: argparse.Namespace, device: torch.device) -> Any:
    """timm's loader of the training part."""
    dataset = create_dataset("", root=str(options.folder / "train"), is_training=True)
    return create_loader(
        dataset,
        input_size=(3, options.size, options.size),
        batch_size=options.batch_size,
        is_training=True,
        scale=(0.7, 1.0),
        color_jitter=0.0,
        num_workers=options.workers,
        pin_memory=device.type == "cuda",
        device=device,
        use_prefetcher=device.type == "cuda",
    )


def make_step(options: argparse.Namespace, device: torch.device, classes: int) -> Step:
    """One optimiser step on a batch."""
    model = timm.create_model(options.model, num_classes=classes).to(device)
    model = model.to(memory_format=torch.channels_last).train()
    faster = {"fused": True} if options.best and device.type == "cuda" else {}
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.01, **faster)
    dtype = DTYPES[options.dtype]
    autocast = partial(torch.autocast, device_type=device.type, dtype=dtype)
    scaler = NativeScaler(device.type) if dtype is torch.float16 else None
    network = torch.compile(model) if options.best else model
    criterion = nn.CrossEntropyLoss()

    def step(images: Tensor, targets: Tensor) -> None:
        images = images.to(device).contiguous(memory_format=torch.channels_last)
        with autocast():
            loss = criterion(network(images), targets.to(device))
        optimizer.zero_grad()
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler(loss, optimizer, parameters=model.parameters())

    return step


def epoch_rate(step: Step, loader: Any, device: torch.device) -> float:
    """Images a second of one epoch, loading included."""
    seen, started_s = 0, time.perf_counter()
    for images, targets in loader:
        step(images, targets)
        seen += len(targets)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return seen / (time.perf_counter() - started_s)


def main() -> None:
    """Train and write the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="has train/ with a folder a class")
    parser.add_argument("model")
    parser.add_argument("output", type=Path)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="bfloat16")
    parser.add_argument("--best", action="store_true")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    loader = make_loader(options, device)
    step = make_step(options, device, len(loader.dataset.reader.class_to_idx))
    rates = [epoch_rate(step, loader, device) for _ in range(options.epochs)]
    options.output.write_text(json.dumps(rates))


if __name__ == "__main__":
    main()
