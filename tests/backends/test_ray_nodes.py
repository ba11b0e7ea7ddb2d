"""A Ray cluster of several machines that do not see the driver's folders: each worker node is a
process in a mount namespace of its own, where the results' folder is empty.
"""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may hide folders from a process"),
]

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
OBJECTIVE = """
import time
from pathlib import Path

def objective(trial):
    assert not list(Path({home!r}).iterdir()), "this machine sees the driver's folder"
    saved = trial.resume()
    done = int((saved / "epoch").read_text()) if saved else 0
    print("begins after epoch", done)
    for epoch in range(done + 1, 5):
        time.sleep(0.4)
        with trial.checkpoint() as folder:
            (folder / "epoch").write_text(str(epoch))
        trial.report(epoch, accuracy=trial.params["x"] + epoch / 10)
"""


@dataclass
class Nodes:
    """A head without cores, and workers of one core each.

    Attributes:
        home: The driver's results; empty for the workers.
    """

    home: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        # Paths of sockets must be short.
        self._temporary = tempfile.mkdtemp(prefix="rn-", dir="/tmp")
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "RAY_DISABLE_USAGE_STATS": "1",
            "RUNNER_HOME": str(self.home),
        }
        port = self.address.partition(":")[2]
        head = ["--head", "--port", port, "--num-cpus=0", "--include-dashboard=false"]
        self._head = self._start([*RAY, "start", *head, "--temp-dir", self._temporary, "--block"])
        self._await_port(int(port))

    def add_worker(self) -> None:
        join = [*RAY, "start", "--address", self.address, "--num-cpus=1", "--block"]
        hidden = f'mount -t tmpfs none {self.home} && exec "$@"'
        self.workers.append(self._start(["unshare", "-m", "sh", "-c", hidden, "sh", *join]))
        deadline = time.monotonic() + 60
        while "Ray runtime started" not in self._log.read_text():
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.2)

    def kill_worker(self) -> None:
        _kill(self.workers.pop())

    def close(self) -> None:
        for process in (*self.workers, self._head):
            _kill(process)

    def search(self, file: Path, *more: str) -> "subprocess.Popen[str]":
        where = ["--backend", "ray", "--ray-address", self.address]
        return subprocess.Popen(
            [sys.executable, "-m", "runner", "search", file.name, "--plain", *where, *more],
            cwd=file.parent,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def leaderboard(self) -> list[dict[str, object]]:
        done = subprocess.run(
            [sys.executable, "-m", "runner", "leaderboard", "far", "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        trials: list[dict[str, object]] = json.loads(done.stdout)
        return trials

    def _start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        self._log = Path(self._temporary) / f"node-{time.monotonic_ns()}.log"
        with self._log.open("wb") as output:
            return subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=output, cwd="/"
            )

    def _await_port(self, port: int) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise AssertionError("the head does not answer")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    home = tmp_path / "home"
    home.mkdir()
    nodes = Nodes(home)
    yield nodes
    nodes.close()


@pytest.fixture
def file(tmp_path: Path, nodes: Nodes) -> Path:
    (tmp_path / "own.py").write_text(OBJECTIVE.format(home=str(nodes.home)))
    file = tmp_path / "far.yaml"
    file.write_text(
        "{name: far, task: custom, objective: 'own.py:objective', params: {epochs: 4}, search: "
        "{metric: accuracy, direction: maximize, trials: 8, pruner: none, "
        "space: {x: {float: [0, 1]}}}}"
    )
    return file


def read_until(search: "subprocess.Popen[str]", words: str) -> str:
    assert search.stdout is not None
    said = ""
    for line in search.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


def test_logs_and_checkpoints_arrive_from_nodes_that_see_nothing(nodes: Nodes, file: Path) -> None:
    nodes.add_worker()
    nodes.add_worker()
    search = nodes.search(file)
    said, _ = search.communicate(timeout=200)
    assert search.returncode == 0, said
    trials = nodes.leaderboard()
    assert [trial["outcome"] for trial in trials] == ["complete"] * 8
    folder = nodes.home / "studies" / "far" / "1" / "trials"
    logs = sorted(folder.glob("*/log.txt"))
    assert len(logs) == 8
    assert all("begins after epoch 0" in log.read_text() for log in logs)
    assert not list(folder.glob(".*"))


def test_killed_node_loses_nothing_and_its_trial_goes_on_elsewhere(
    nodes: Nodes, file: Path
) -> None:
    nodes.add_worker()
    nodes.add_worker()
    search = nodes.search(file, "--set", "search.slots=2")
    said = read_until(search, "trial 3 begins")
    time.sleep(1.0)
    nodes.kill_worker()
    rest, _ = search.communicate(timeout=300)
    assert search.returncode == 0, said + rest
    assert " lost: " in rest
    trials = nodes.leaderboard()
    assert [trial["outcome"] for trial in trials] == ["complete"] * 8
    folder = nodes.home / "studies" / "far" / "1" / "trials"
    logs = [log.read_text() for log in sorted(folder.glob("*/log.txt"))]
    begun = [re.findall(r"begins after epoch (\d)", log) for log in logs]
    assert any(int(epochs[-1]) > 0 for epochs in begun), begun


def test_stopped_while_no_node_is_left_it_ends_at_once_and_goes_on_later(
    nodes: Nodes, file: Path
) -> None:
    nodes.add_worker()
    search = nodes.search(file)
    said = read_until(search, "trial 1 begins")
    nodes.kill_worker()
    said += read_until(search, " lost: ")
    time.sleep(2.0)
    search.send_signal(signal.SIGTERM)
    rest, _ = search.communicate(timeout=30)
    assert "search" in said + rest
    nodes.add_worker()
    again = nodes.search(file)
    said, _ = again.communicate(timeout=200)
    assert again.returncode == 0, said
    assert [trial["outcome"] for trial in nodes.leaderboard()] == ["complete"] * 8
