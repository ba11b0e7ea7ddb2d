"""The MLflow UI: on loopback, on a free port, ended with us, and plain about failures."""

import signal
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
from runner.tracking.attended import attended
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


@pytest.mark.slow
@pytest.mark.server
def test_server_ends_when_the_command_that_started_it_is_killed(tmp_path: Path) -> None:
    port = free_port("127.0.0.1", 0)
    ours = subprocess.Popen(
        [sys.executable, "-u", "-c", START, str(tmp_path / "mlruns"), str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert ours.stdout is not None
    with ours.stdout:
        assert ours.stdout.readline().startswith("MLflow UI: ")
        assert is_listening(port)
        ours.send_signal(signal.SIGKILL)
        ours.wait()
    deadline = time.monotonic() + 15.0
    while is_listening(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_listening(port)


STARTER = """
import subprocess, sys
from runner.tracking.attended import attended
child = subprocess.Popen(attended(sys.argv[1:]), start_new_session=True)
print(child.pid, flush=True)
sys.exit(child.wait())
"""
# A command that starts another one, which does not mind being asked to end.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("begun", flush=True)
time.sleep(60)
"""


def group_of(leader: int) -> list[int]:
    """Processes that are still there of a group."""
    found = subprocess.run(["pgrep", "-g", str(leader)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def test_attended_command_of_a_killed_process_ends_with_all_it_started() -> None:
    nested = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    command = [*nested, sys.executable, "-c", STUBBORN]
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, *command], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    with starter.stdout:
        leader = int(starter.stdout.readline())
        assert starter.stdout.readline() == "begun\n"
        assert len(group_of(leader)) == 3
        starter.send_signal(signal.SIGKILL)
        starter.wait()
    deadline = time.monotonic() + 15.0
    while group_of(leader) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert group_of(leader) == []


@pytest.mark.parametrize(
    ("code", "status"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 15)", 143)]
)
def test_attended_command_gives_its_status(code: str, status: int) -> None:
    done = subprocess.run(attended([sys.executable, "-c", code]), start_new_session=True)
    assert done.returncode == status


def test_free_port_on_the_loopback_of_the_other_protocol() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert free_port("::1", 0) > 0
