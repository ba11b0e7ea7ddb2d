"""The MLflow UI: on loopback, on a free port, ended with us, and plain about failures."""

import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from runner.errors import TrackingUnreachable
from runner.experiment import Store
from runner.tracking import connect, run_address, start_ui, ui_server
from runner.tracking.ui import free_port

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_free_port_taken_gives_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        preferred = taken.getsockname()[1]
        found = free_port("127.0.0.1", preferred)
    assert found != preferred
    assert free_port("127.0.0.1", found) == found


def test_start_ui_tracking_server_is_only_announced(tmp_path: Path) -> None:
    said: list[str] = []
    uri = "https://ann:s3cret@mlflow.example"
    assert start_ui(uri, Store(tmp_path / "mlruns"), announce=said.append) == 0
    assert said == ["MLflow UI: https://***@mlflow.example"]
    assert not (tmp_path / "mlruns").exists()


def test_run_address_opens_the_view_for_model_training() -> None:
    assert run_address("http://127.0.0.1:5000/", "7", "abc") == (
        "http://127.0.0.1:5000/#/experiments/7/runs/abc?workflowType=machine_learning"
    )


@pytest.mark.slow
@pytest.mark.server
def test_ui_server_that_ends_by_itself_shows_its_log(tmp_path: Path) -> None:
    log = tmp_path / "ui.log"
    with (
        pytest.raises(TrackingUnreachable) as caught,
        ui_server("nonsense://x", artifacts=tmp_path / "artifacts", log=log, port=0),
    ):
        pass
    message = str(caught.value)
    assert message.startswith("the MLflow server ended with status ")
    assert f"the end of {log}:\n  " in message
    assert "nonsense" in message


START = """
import sys
from pathlib import Path
from runner.experiment import Store
from runner.tracking import start_ui
sys.exit(start_ui(None, Store(Path(sys.argv[1])), port=int(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.server
def test_start_ui_serves_until_terminated_and_leaves_nothing_behind(tmp_path: Path) -> None:
    port = free_port("127.0.0.1", 0)
    connect(None, Store(tmp_path / "mlruns")).client.create_experiment("resnet_cats")
    ours = subprocess.Popen(
        [sys.executable, "-u", "-c", START, str(tmp_path / "mlruns"), str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert ours.stdout is not None
    with ours.stdout:
        line = ours.stdout.readline()
        page = f"http://127.0.0.1:{port}/#/experiments/1/runs?workflowType=machine_learning"
        assert line.startswith(f"MLflow UI: {page}  (Ctrl-C ends it; log: ")
        with DIRECT.open(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert b"<title>MLflow</title>" in page.read()
        ours.terminate()
        assert ours.wait(20) == 0
        assert ours.stdout.read() == ""
    deadline = time.monotonic() + 5.0
    while is_listening(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_listening(port)
