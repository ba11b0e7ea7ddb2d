"""A real PostgreSQL and a real MLflow server on it, which are killed and started again."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mlflow_server import MlflowServer
from tests.postgresql import PostgresServer, postgres_server

# For how long a killed server is away.
AWAY_S = (0.2, 8.0)


class Servers:
    """Both servers, running.

    Args:
        postgres: The database server.
        mlflow: The one that writes to it.
    """

    def __init__(self, postgres: PostgresServer, mlflow: MlflowServer) -> None:
        self._postgres = postgres
        self._mlflow = mlflow
        self._mending: threading.Thread | None = None

    @property
    def tracking(self) -> str:
        """MLflow's address."""
        return self._mlflow.address

    @property
    def storage(self) -> str:
        """The address of the database with the studies."""
        return self._postgres.address()

    @property
    def environment(self) -> dict[str, str]:
        """What tells a search of them."""
        return {"MLFLOW_TRACKING_URI": self.tracking, "RUNNER_STORAGE": self.storage}

    def kill(self, generator: random.Random) -> str:
        """Kill one of the two, to be started again after a while; gives which."""
        self.mend()
        away_s = generator.uniform(*AWAY_S)
        is_database = generator.random() < 0.5
        server = self._postgres if is_database else self._mlflow
        server.kill()

        def later() -> None:
            time.sleep(away_s)
            server.start()

        self._mending = threading.Thread(target=later)
        self._mending.start()
        return "PostgreSQL" if is_database else "MLflow server"

    def mend(self) -> None:
        """Wait until both run."""
        if self._mending is not None:
            self._mending.join()
            self._mending = None


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Both servers, new and empty."""
    with postgres_server() as postgres:
        mlflow = MlflowServer(folder, postgres.address("mlflow"))
        both = Servers(postgres, mlflow)
        try:
            yield both
        finally:
            both.mend()
            mlflow.kill()
