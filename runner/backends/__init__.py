"""Where jobs run: the contract between a study and its workers, and its implementations."""

from runner.backends.contract import Backend, Feed, NoJob
from runner.backends.inline import InlineBackend
from runner.backends.leases import (
    Leases,
    available_devices,
    cuda_devices,
    named_devices,
    take_leases,
)
from runner.backends.local import LocalBackend
from runner.backends.simulated import Script, SimulatedBackend

__all__ = [
    "Backend",
    "Feed",
    "InlineBackend",
    "Leases",
    "LocalBackend",
    "NoJob",
    "Script",
    "SimulatedBackend",
    "available_devices",
    "cuda_devices",
    "named_devices",
    "take_leases",
]
