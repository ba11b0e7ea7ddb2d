"""MLflow's own server and UI on the right store: on 127.0.0.1, quiet, gone when we are."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from runner.errors import TrackingUnreachable
from runner.tracking.address import artifact_location, kind_of, knock, resolve_uri, without_secrets
from runner.tracking.attended import attended
from runner.tracking.first_use import ensure_schema, set_environment

if TYPE_CHECKING:
    from runner.experiment import Store

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 5000
# MLflow imports itself twice (its command, then uvicorn): 12 s on two busy cores.
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 5.0
_LOG_TAIL_LINES = 15
# Without it MLflow's UI opens on its view for language models, where training runs are hidden.
_VIEW = "workflowType=machine_learning"
# A proxy named in the environment does not lead to our own loopback address.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class UiServer:
    """A running MLflow server.

    Attributes:
        address: Where a browser or an MLflow client finds it.
        process: The child; the leader of its own process group, which ends with this process.
        log: What it prints.
    """

    address: str
    process: "subprocess.Popen[bytes]"
    log: Path


def start_ui(
    uri: str | None,
    store: "Store",
    *,
    port: int = DEFAULT_PORT,
    host: str = LOOPBACK,
    announce: Callable[[str], None] = print,
) -> int:
    """Serve the MLflow UI until Ctrl-C; for a tracking server, just say where it is.

    Args:
        uri: Tracking address as in `connect`.
        store: The folder of local results; the server's log goes there.
        port: Preferred port; if taken, any free one.
        host: Address to listen on. MLflow itself refuses requests for other host names than
            localhost's unless MLFLOW_SERVER_ALLOWED_HOSTS says more.
        announce: Takes the lines for the user.
    Returns:
        0, or the server's exit status if it ended by itself.
    Raises:
        TrackingUnreachable: If there is no usable store, or the server does not start.
    """
    meant = resolve_uri(uri, store)
    if kind_of(meant) in ("http", "https"):
        announce(f"MLflow UI: {without_secrets(meant)}")
        return 0
    store.root.mkdir(parents=True, exist_ok=True)
    log = store.root / "ui.log"
    artifacts = Path(artifact_location(meant, store) or store.artifacts)
    with _terminated_like_interrupted():
        try:
            with ui_server(meant, artifacts=artifacts, log=log, port=port, host=host) as server:
                announce(f"MLflow UI: {_first_page(server.address)}  (Ctrl-C ends it; log: {log})")
                if host not in (LOOPBACK, "localhost", "::1"):
                    announce(
                        "It asks nobody for a password: whoever reaches this port can read, "
                        "change and delete every run."
                    )
                return server.process.wait()
        except KeyboardInterrupt:
            return 0


@contextmanager
def ui_server(
    uri: str, *, artifacts: Path, log: Path, port: int = DEFAULT_PORT, host: str = LOOPBACK
) -> Iterator[UiServer]:
    """An MLflow server that answers, ended with the block.

    Args:
        uri: Address of the database; handed over by environment, so no password shows in `ps`.
        artifacts: Where clients of this server put artifacts, through it.
        log: File for its output, overwritten.
        port: Preferred port; if taken, any free one.
        host: Address to listen on.
    Raises:
        TrackingUnreachable: If it ends or does not answer in time; shows the log's end.
    """
    knock(uri)
    ensure_schema(uri)
    number = free_port(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{LOOPBACK if host == '0.0.0.0' else shown}:{number}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            attended(_command(artifacts, host, number)),
            env=_environment(uri),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        server = UiServer(address, process, log)
        _await_answer(server)
        yield server
    finally:
        _end(process)


def run_address(ui: str, experiment_id: str, run_id: str) -> str:
    """The page of a run in the MLflow UI.

    Args:
        ui: Address of the UI or of the tracking server.
        experiment_id: The MLflow experiment the run is in.
        run_id: The run.
    """
    return f"{ui.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}?{_VIEW}"


def runs_address(ui: str, experiment_id: str) -> str:
    """The page of the MLflow UI with the runs of an experiment, studies and their trials.

    Args:
        ui: Address of the UI or of the tracking server.
        experiment_id: The MLflow experiment.
    """
    return f"{ui.rstrip('/')}/#/experiments/{experiment_id}/runs?{_VIEW}"


def free_port(host: str, preferred: int) -> int:
    """The preferred port if nobody listens on it, else one that is free."""
    family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    for port in (preferred, 0):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                if port == 0:
                    raise
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("the loop returns or raises")


def _first_page(address: str) -> str:
    """The runs of the experiment changed last, or the front page if there is none yet."""
    asked = json.dumps({"max_results": 2, "order_by": ["last_update_time DESC"]}).encode()
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/experiments/search",
        data=asked,
        headers={"Content-Type": "application/json"},
    )
    with _DIRECT.open(request, timeout=10.0) as answer:
        found = json.load(answer).get("experiments", [])
    # MLflow makes an empty experiment 0 of its own.
    ours = [each["experiment_id"] for each in found if each["experiment_id"] != "0"]
    return runs_address(address, ours[0]) if ours else address


def _command(artifacts: Path, host: str, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", host, "--port", str(port), "--workers", "1"),
        *("--artifacts-destination", str(artifacts)),
    ]


def _environment(uri: str) -> dict[str, str]:
    set_environment()
    # Jobs are for judging language models; without them the server starts no queue processes.
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,
    }


def _await_answer(server: UiServer) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise _failed(server, f"ended with status {server.process.returncode}")
        try:
            _DIRECT.open(f"{server.address}/health", timeout=2.0).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise _failed(server, f"did not answer within {START_TIMEOUT_S:g} s")


def _failed(server: UiServer, what: str) -> TrackingUnreachable:
    lines = server.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    tail = "\n  ".join(without_secrets(line) for line in lines)
    return TrackingUnreachable(f"the MLflow server {what}; the end of {server.log}:\n  {tail}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the server with all processes it has started."""
    for order in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, order)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt inside the block, so that the server is ended too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
