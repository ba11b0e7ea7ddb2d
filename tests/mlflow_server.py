"""A real MLflow server that is killed and started again at the same address."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from runner.tracking.ui import free_port

STARTS_WITHIN_S = 200.0


class MlflowServer:
    """Runs from the moment it is made.

    Args:
        folder: For artifacts and the log; made here.
        uri: The database's address; None: a file in the folder.

    Attributes:
        address: Where it answers.
    """

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._uri = uri or f"sqlite:///{folder / 'mlflow.db'}"
        self._port = free_port("127.0.0.1", 0)
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = self._folder / "mlflow.txt"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                    *("--host", "127.0.0.1", "--port", str(self._port)),
                    *("--artifacts-destination", str(self._folder / "artifacts")),
                ],
                cwd=self._folder,
                env={
                    **os.environ,
                    "MLFLOW_BACKEND_STORE_URI": self._uri,
                    # As `runner ui` does: eight processes of queues that nothing here uses.
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill it and all its processes, if it runs."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
