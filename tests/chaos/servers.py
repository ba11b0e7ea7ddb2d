"""A real PostgreSQL and a real MLflow server on it, which are killed and started again."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.tracking.ui import free_port
from tests.postgresql import PostgresServer, postgres_server

STARTS_WITHIN_S = 200.0
# For how long a killed server is away.
AWAY_S = (0.2, 8.0)


class Servers:
    """Both servers.

    Args:
        postgres: The database server, running.
        folder: For MLflow's artifacts and log.
    """

    def __init__(self, postgres: PostgresServer, folder: Path) -> None:
        self._postgres = postgres
        self._folder = folder
        self._port = free_port("127.0.0.1", 0)
        self._mlflow: subprocess.Popen[bytes] | None = None
        self._mending: threading.Thread | None = None
        self.start()

    @property
    def tracking(self) -> str:
        """MLflow's address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def storage(self) -> str:
        """The address of the database with the studies."""
        return self._postgres.address()

    @property
    def environment(self) -> dict[str, str]:
        """What tells a search of them."""
        return {"MLFLOW_TRACKING_URI": self.tracking, "RUNNER_STORAGE": self.storage}

    def start(self) -> None:
        """Start MLflow's server and wait until it answers."""
        with (self._folder / "mlflow.txt").open("ab") as log:
            self._mlflow = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                    *("--host", "127.0.0.1", "--port", str(self._port)),
                    *("--artifacts-destination", str(self._folder / "artifacts")),
                ],
                cwd=self._folder,
                env={
                    **os.environ,
                    "MLFLOW_BACKEND_STORE_URI": self._postgres.address("mlflow"),
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "mlflow.txt").read_text()
            time.sleep(0.2)

    def kill(self, generator: random.Random) -> str:
        """Kill one of the two, to be started again after a while; gives which."""
        self.mend()
        away_s = generator.uniform(*AWAY_S)
        if generator.random() < 0.5:
            self._postgres.kill()
            mend, killed = self._postgres.start, "PostgreSQL"
        else:
            self.end()
            mend, killed = self.start, "MLflow server"

        def later() -> None:
            time.sleep(away_s)
            mend()

        self._mending = threading.Thread(target=later)
        self._mending.start()
        return killed

    def mend(self) -> None:
        """Wait until both run."""
        if self._mending is not None:
            self._mending.join()
            self._mending = None

    def end(self) -> None:
        """Kill MLflow's server."""
        if self._mlflow is not None:
            os.killpg(self._mlflow.pid, signal.SIGKILL)
            self._mlflow.wait()
            self._mlflow = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.tracking}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Both servers, new and empty."""
    folder.mkdir(parents=True, exist_ok=True)
    with postgres_server() as postgres:
        both = Servers(postgres, folder)
        try:
            yield both
        finally:
            both.mend()
            both.end()
