"""Connecting to Ray: a cluster that is there, or one on this machine for as long as the search.

The one on this machine listens on the loopback alone, and asks for a token.
"""

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import ray
from ray._private import ray_constants
from ray._raylet import Config  # type: ignore[attr-defined]

from runner.backends.process import KEEP_MEMORY, spinning
from runner.backends.ray.cluster import Cluster, Needs, usual_needs
from runner.errors import RunnerError
from runner.experiment import RaySettings, first_line
from runner.trial import Lease

logger = logging.getLogger(__name__)

ADDRESS_VARIABLE = "RAY_ADDRESS"
AUTHENTICATION_VARIABLE = "RAY_AUTH_MODE"
# Ray reports its use to its makers unless told not to; nobody has asked the user here.
USAGE_VARIABLE = "RAY_USAGE_STATS_ENABLED"
_TOKEN = (
    "Give this driver the one of the cluster: RAY_AUTH_MODE=token, and the token in "
    "RAY_AUTH_TOKEN or in ~/.ray/auth_token"
)
_OPEN = (
    "asks for no token: whoever reaches its ports can run programs on its machines, as you. Start "
    "it with RAY_AUTH_MODE=token"
)
_PROBE_TIMEOUT_S = 5.0
_QUIET = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}


def known_address(asked: str | None) -> str | None:
    """The address of the cluster that is meant; None: Ray is started on this machine alone.

    Raises:
        RunnerError: For Ray Client's addresses, whose driver is not on the cluster.
    """
    address = asked or os.environ.get(ADDRESS_VARIABLE) or None
    if address is not None and address.startswith("ray://"):
        raise RunnerError(
            f"{address}: a search runs on a machine of the cluster, not through Ray Client. Start "
            "it there with --ray-address auto, or send it with `ray job submit`"
        )
    return address


@contextmanager
def cluster_here(asked: RaySettings, leases: Sequence[Lease]) -> Iterator[Cluster]:
    """Ray on this machine, on leased devices alone.

    Args:
        asked: What one trial takes; where it says nothing, what a lease holds.
        leases: The devices.
    """
    gpus = [lease for lease in leases if lease.devices[0].startswith("cuda")]
    visible = ",".join(lease.environment["CUDA_VISIBLE_DEVICES"] for lease in gpus)
    threads = leases[0].threads
    gpus_each = len(leases[0].devices) if gpus else 0
    usual = Needs(cpus=threads, gpus=gpus_each)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible
    try:
        with _connected(
            asked,
            usual,
            address="local",
            num_cpus=threads * len(leases),
            num_gpus=gpus_each * len(gpus),
        ) as cluster:
            yield cluster
    finally:
        _put_back("CUDA_VISIBLE_DEVICES", before)


@contextmanager
def cluster_at(
    address: str, asked: RaySettings, *, slots: int | None, gpus_per_trial: int = 1
) -> Iterator[Cluster]:
    """A Ray cluster that is there.

    Args:
        address: host:port, or auto.
        asked: What one trial takes.
        slots: Jobs at once; None: as many as fit.
        gpus_per_trial: GPUs of one trial, all on one node, where it asks for no share of one.
    Raises:
        RunnerError: If nothing answers there, or it wants a token that this driver has not.
        NoSuchDevice: If no node holds a trial.
    """
    with _connected(
        asked, None, slots=slots, gpus_per_trial=gpus_per_trial, address=address
    ) as cluster:
        yield cluster


@contextmanager
def _connected(
    asked: RaySettings,
    usual: Needs | None,
    *,
    slots: int | None = None,
    gpus_per_trial: int = 1,
    **how: Any,
) -> Iterator[Cluster]:
    if ray.is_initialized():
        # A notebook's own connection is used, and left open.
        yield Cluster(_needs(asked, usual, gpus_per_trial), slots=slots)
        return
    os.environ.setdefault(USAGE_VARIABLE, "0")
    with _authentication_kept():
        _begin(how, _environment(asked, usual))
        if os.environ.get(AUTHENTICATION_VARIABLE, "disabled").lower() == "disabled":
            is_here = how["address"] == "local"
            logger.warning("Ray %s %s", "here" if is_here else f"at {how['address']}", _OPEN)
        try:
            yield Cluster(_needs(asked, usual, gpus_per_trial), slots=slots)
        finally:
            ray.shutdown()


def _begin(how: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
    where: AbstractContextManager[None] = (
        _on_loopback() if how["address"] == "local" else nullcontext()
    )
    try:
        with where:
            ray.init(**_QUIET, **how, runtime_env=environment)
    except ray.exceptions.AuthenticationError as error:
        raise RunnerError(f"Ray at {how['address']} wants a token. {_TOKEN}") from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        text = first_line(error)
        raise RunnerError(
            f"Ray at {how['address']} cannot be used: {text}{_refusal(how['address'])}"
        ) from error


@contextmanager
def _on_loopback() -> Iterator[None]:
    """What Ray starts in this block has the address 127.0.0.1, and listens there alone.

    Otherwise it takes this machine's address in the network, even if it is told another, and
    listens on all of them. On macOS and Windows Ray does this by itself.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    # Of Ray's own switches the only one that reaches every process; a test looks at the sockets.
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _authentication_kept() -> Iterator[None]:
    """Ray turns its authentication on in this process's environment; here it is put back.

    Who connects to another cluster afterwards is asked anew whether that has a token.
    """
    before = os.environ.get(AUTHENTICATION_VARIABLE)
    try:
        yield
    finally:
        if os.environ.get(AUTHENTICATION_VARIABLE) != before:
            _put_back(AUTHENTICATION_VARIABLE, before)
            # Ray reads it once.
            Config.initialize("")


def _put_back(variable: str, before: str | None) -> None:
    if before is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = before


def _refusal(address: str) -> str:
    """What it means that Ray did not connect though something listens; Ray does not say."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_PROBE_TIMEOUT_S).close()
    except (OSError, ValueError):
        return ""
    return f". Something listens there: if it is Ray, it may want another token. {_TOKEN}"


def _needs(asked: RaySettings, usual: Needs | None, gpus_per_trial: int) -> Needs:
    known = usual or usual_needs(gpus_per_trial)
    others = dict(asked.resources)
    if asked.accelerator is not None:
        # How Ray asks for a type: any node that has it has one of these.
        others[f"accelerator_type:{asked.accelerator}"] = 0.001
    return Needs(
        known.cpus if asked.cpus is None else asked.cpus,
        known.gpus if asked.gpus is None else asked.gpus,
        others,
    )


def _environment(asked: RaySettings, usual: Needs | None) -> Mapping[str, Any]:
    """Ray's runtime environment: what a local worker has, and what was asked."""
    own = dict(asked.runtime_env)
    return {**own, "env_vars": {**spinning(), **KEEP_MEMORY, **own.get("env_vars", {})}}
