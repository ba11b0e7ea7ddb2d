"""What every test may use: a real MLflow server, and an environment that points nowhere."""

from collections.abc import Iterator

import pytest

from runner.tracking import ui_server


@pytest.fixture(autouse=True)
def _no_tracking_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an MLflow server on 127.0.0.1 that lives as long as the session."""
    root = tmp_path_factory.mktemp("mlflow_server")
    uri = f"sqlite:///{root / 'mlflow.db'}"
    log = root / "server.log"
    with ui_server(uri, artifacts=root / "artifacts", log=log, port=0) as server:
        yield server.address
