"""Who can reach the MLflow UI: nobody but this machine, unless it is asked for."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from runner.experiment import Store
from runner.tracking import ui_server
from tests.listening import listening


def addresses(pid: int) -> set[str]:
    """What a process and its children listen on."""
    return {address for _, address in listening(psutil.Process(pid))}


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize(
    ("asked", "expected"), [({}, "127.0.0.1"), ({"host": "0.0.0.0"}, "0.0.0.0")]
)
def test_ui_server_listens_on_the_loopback_alone_unless_told_otherwise(
    tmp_path: Path, asked: dict[str, str], expected: str
) -> None:
    store = Store(tmp_path)
    log = tmp_path / "ui.log"
    with ui_server(
        store.tracking_uri, artifacts=store.artifacts, log=log, port=0, **asked
    ) as server:
        assert addresses(server.process.pid) == {expected}


@pytest.mark.slow
@pytest.mark.server
def test_ui_command_listens_on_the_loopback_alone(tmp_path: Path) -> None:
    """Fails with another default of `--host`."""
    command = subprocess.Popen(
        [sys.executable, "-m", "runner", "ui", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "RUNNER_HOME": str(tmp_path / "store")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert "MLflow UI: http://127.0.0.1:" in command.stdout.readline()
        assert addresses(command.pid) == {"127.0.0.1"}
    finally:
        command.terminate()
        command.communicate(timeout=60)


@pytest.mark.parametrize(
    ("more", "host"), [({}, "127.0.0.1"), ({"LISTEN": "10.0.0.7"}, "10.0.0.7")]
)
def test_server_of_a_team_listens_on_its_own_machine_unless_told_otherwise(
    tmp_path: Path, more: dict[str, str], host: str
) -> None:
    mlflow = tmp_path / "mlflow"
    mlflow.write_text('#!/bin/sh\necho "$@"\n')
    mlflow.chmod(0o755)
    wanted = {"MLFLOW_BACKEND_STORE_URI": "postgresql://h/m", "ARTIFACTS": "a", "ADDRESS": "h:1"}
    asked = subprocess.run(
        [str(Path(__file__).parents[2] / "docs" / "team" / "mlflow-server.sh")],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **wanted, **more},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"server --host {host} --port 5000 " in asked.stdout
    assert "postgresql" not in asked.stdout
