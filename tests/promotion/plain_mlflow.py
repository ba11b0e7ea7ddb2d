"""Plain MLflow as somebody else would use it: a process without this project, and a server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_PREDICT = """
import base64, json, sys
from importlib.abc import MetaPathFinder

class Forbidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "runner":
            raise ImportError("runner is not to be imported here")

sys.meta_path.insert(0, Forbidden())
import mlflow, pandas
uri, model, rows = sys.argv[1:]
mlflow.set_tracking_uri(uri)
loaded = mlflow.pyfunc.load_model(model)
frame = pandas.DataFrame(json.load(open(rows)))
print("ANSWER", json.dumps(loaded.predict(frame).to_dict("records")))
"""


def predict_without_runner(
    uri: str, model: str, rows: Mapping[str, Sequence[Any]], folder: Path
) -> list[dict[str, Any]]:
    """Answers to rows (JSON values by column) in a process that cannot import this project."""
    file = folder / "rows.json"
    file.write_text(json.dumps(rows), "utf-8")
    command = [sys.executable, "-I", "-c", _PREDICT, uri, model, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    answer = next(line for line in done.stdout.splitlines() if line.startswith("ANSWER "))
    found: list[dict[str, Any]] = json.loads(answer.removeprefix("ANSWER "))
    return found


@contextmanager
def models_serve(model: Path) -> Iterator[str]:
    """`mlflow models serve` of a model's folder on 127.0.0.1; gives the address to ask."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model)]
    command += ["-h", "127.0.0.1", "-p", str(port), "--env-manager", "local", "-w", "1"]
    # MLflow starts uvicorn by name: what an activated environment would find.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = model.parent / "serve.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            cwd=model.parent,
            env={**os.environ, "PATH": path},
            start_new_session=True,
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/ping", server, log)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def ask(address: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request."""
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def _wait_until_ready(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the server did not start: {log.read_text()}")
