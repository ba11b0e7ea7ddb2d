"""Where jobs run: the contract between a study and its workers, and its implementations."""

from runner.backends.contract import Backend, Feed, NoJob
from runner.backends.given import MAX_DEATHS_IN_A_ROW
from runner.backends.inline import InlineBackend
from runner.backends.leases import (
    Leases,
    available_devices,
    cuda_devices,
    device_like,
    lease_again,
    named_devices,
    take_leases,
)
from runner.backends.life import Silence
from runner.backends.local import LocalBackend
from runner.backends.simulated import Script, SimulatedBackend

__all__ = [
    "MAX_DEATHS_IN_A_ROW",
    "Backend",
    "Feed",
    "InlineBackend",
    "Leases",
    "LocalBackend",
    "NoJob",
    "Script",
    "Silence",
    "SimulatedBackend",
    "available_devices",
    "cuda_devices",
    "device_like",
    "lease_again",
    "named_devices",
    "take_leases",
]
