"""What a Ray cluster has, and what of it one job takes."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ray

from runner.errors import NoSuchDevice
from runner.trial import Lease

# How long a look at the cluster's nodes is good for.
LOOK_EVERY_S = 2.0
# What is put beside a GPU where nobody says: loading and augmenting keep this many cores busy.
MAX_CPUS_PER_GPU = 8


@dataclass(frozen=True)
class Needs:
    """What one job takes of a node.

    Attributes:
        cpus: Cores; also its threads.
        gpus: GPUs, or the share of one.
        others: Further resources by Ray's names, an accelerator type among them.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    others: Mapping[str, float] = field(default_factory=dict)

    @property
    def bundle(self) -> dict[str, float]:
        """As Ray's placement groups take it."""
        named = {"CPU": self.cpus, "GPU": self.gpus, **self.others}
        return {name: amount for name, amount in named.items() if amount > 0}

    def fits(self, node: Mapping[str, float]) -> int:
        """How many such jobs a node holds."""
        return min(
            math.floor(node.get(name, 0.0) / amount + 1e-9) for name, amount in self.bundle.items()
        )

    def __str__(self) -> str:
        return ", ".join(f"{amount:g} {name}" for name, amount in self.bundle.items())


class Cluster:
    """The slots of a cluster: as many as its nodes hold just now, or as many as were asked for.

    Args:
        needs: What a job takes.
        slots: Jobs at once; None: as many as fit, which changes as nodes come and go.
    Raises:
        NoSuchDevice: If no node holds a single job.
    """

    def __init__(self, needs: Needs, *, slots: int | None = None) -> None:
        self.needs = needs
        self._slots = slots
        self._seen = 0
        self._seen_s = -math.inf
        if self.count() == 0:
            there = "; ".join(_described(node) for node in _nodes()) or "none"
            raise NoSuchDevice(
                f"no node of the Ray cluster holds a trial ({self.needs}); its nodes: {there}. "
                "Ask for less under `ray:`, or wait for a node"
            )

    def count(self) -> int:
        """Jobs that may run just now; see `Slots.count`."""
        now_s = time.monotonic()
        if now_s > self._seen_s + LOOK_EVERY_S:
            self._seen = sum(self.needs.fits(node) for node in _nodes())
            self._seen_s = now_s
        return self._seen if self._slots is None else min(self._slots, max(self._seen, 1))

    @property
    def summary(self) -> str:
        """For people: how many nodes, and what a trial takes."""
        count = len(_nodes())
        return f"{count} node{'s' if count > 1 else ''}, {self.needs} a trial"

    def lease(self, slot: int) -> Lease:
        """What the job in a slot holds; Ray shows it the GPUs of its own alone."""
        count = math.ceil(self.needs.gpus)
        devices = tuple(f"cuda:{number}" for number in range(count)) or ("cpu",)
        return Lease(slot, devices, max(1, math.floor(self.needs.cpus)))


def usual_needs(gpus_per_trial: int = 1) -> Needs:
    """What a job takes where nobody says: its GPUs and what falls to them of the cores.

    Args:
        gpus_per_trial: How many; where there are none, one is done without and several are not.
    """
    nodes = _nodes()
    gpus = sum(node.get("GPU", 0.0) for node in nodes)
    if gpus == 0:
        return Needs() if gpus_per_trial == 1 else Needs(gpus=gpus_per_trial)
    cpus = sum(node.get("CPU", 0.0) for node in nodes if node.get("GPU", 0.0) > 0)
    each = max(1.0, min(MAX_CPUS_PER_GPU, cpus // gpus))
    return Needs(cpus=each * gpus_per_trial, gpus=gpus_per_trial)


def _nodes() -> list[dict[str, float]]:
    """Resources of every node that is alive."""
    nodes: list[dict[str, Any]] = ray.nodes()
    return [node["Resources"] for node in nodes if node["Alive"]]


def _described(node: Mapping[str, float]) -> str:
    shown = {name: amount for name, amount in node.items() if name in ("CPU", "GPU")}
    return (
        ", ".join(f"{amount:g} {name}" for name, amount in shown.items()) or "neither CPU nor GPU"
    )
