"""Joining the processes of a trial into one group of torch.distributed."""

import os
import socket
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from runner.errors import TrialLost

# Ranks wait for each other no longer than this: while one of them compiles (a minute or two), the
# others wait in an all-reduce. One that has died is noticed at once and in another way.
TIMEOUT_S = 600.0
# They are all there when they are told to join. One that cannot says nothing to those that wait.
JOIN_S = 60.0


def join_group(meeting: Path, *, rank: int, size: int, device: str) -> None:
    """Become one of the ranks of a group; returns when all have joined.

    They find each other through a file, so that nobody listens on the network, and talk over this
    machine's loopback, or as NCCL does between GPUs.

    Args:
        meeting: The file; made by the first, in a folder that all may write to.
        rank: Which this process is.
        size: How many there are.
        device: Where it computes.
    Raises:
        TrialLost: If one of them does not come.
    """
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    if loopback is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", loopback)
    is_cuda = device.startswith("cuda")
    store = dist.FileStore(str(meeting.absolute()), size)  # type: ignore[attr-defined]
    ranks = [f"rank {number}" for number in range(size)]
    store.set(ranks[rank], "is here")
    try:
        store.wait(ranks, timedelta(seconds=JOIN_S))
    except RuntimeError as error:
        raise TrialLost("a process of the trial has not come to train with the others") from error
    dist.init_process_group(
        "nccl" if is_cuda else "gloo",
        store=store,
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=TIMEOUT_S),
        device_id=torch.device(device) if is_cuda else None,
    )


def leave_group() -> None:
    """Be no rank any more, whatever has become of the others."""
    if dist.is_initialized():
        # Without this, NCCL would first wait for what others have not sent.
        abort_group()
        dist.destroy_process_group()


def abort_group() -> None:
    """End what waits for a rank that has gone; from another thread than the one that waits.

    Only NCCL needs it: gloo sees that the other end of its connection is closed.
    """
    group = dist.group.WORLD
    if group is not None and dist.get_backend(group) == "nccl":
        group.abort()
