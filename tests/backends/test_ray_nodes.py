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
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

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
        home: The driver's results.
        hidden: What the driver sees there is not there for the workers; has `home`, or is it.
    """

    home: Path
    hidden: Path
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
            # Ray's workers would wait behind whatever else this machine does.
            "RAY_worker_niceness": "0",
        }
        port = self.address.partition(":")[2]
        head = ["--head", "--port", port, "--num-cpus=0", "--include-dashboard=false"]
        self._head = self._start([*RAY, "start", *head, "--temp-dir", self._temporary, "--block"])
        self._await_port(int(port))

    def add_worker(self, cpus: int = 1) -> None:
        join = [*RAY, "start", "--address", self.address, f"--num-cpus={cpus}", "--block"]
        hidden = f'mount -t tmpfs none {self.hidden} && exec "$@"'
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

    def search(
        self, file: Path, *more: str, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        where = ["--backend", "ray", "--ray-address", self.address]
        return subprocess.Popen(
            [sys.executable, "-m", "runner", "search", file.name, "--plain", *where, *more],
            cwd=file.parent,
            env=self.environment if environment is None else environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def sees(self, worker: int, path: Path) -> list[str]:
        """What a worker node has in a folder."""
        there = Path(f"/proc/{self.workers[worker].pid}/root{path}")
        return sorted(entry.name for entry in there.iterdir()) if there.is_dir() else []

    def leaderboard(self, name: str = "far") -> list[dict[str, object]]:
        done = subprocess.run(
            [sys.executable, "-m", "runner", "leaderboard", name, "--json"],
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
    nodes = Nodes(home, home)
    yield nodes
    nodes.close()


@pytest.fixture
def blind_nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Nodes that see neither results nor experiment, data, weights and code."""
    home = tmp_path / "driver" / "home"
    home.mkdir(parents=True)
    nodes = Nodes(home, tmp_path / "driver")
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
    # Tune's last word, of a trial that has long been run again.
    assert "did not complete" not in rest
    trials = nodes.leaderboard()
    assert [trial["outcome"] for trial in trials] == ["complete"] * 8
    folder = nodes.home / "studies" / "far" / "1" / "trials"
    logs = [log.read_text() for log in sorted(folder.glob("*/log.txt"))]
    begun = [re.findall(r"begins after epoch (\d)", log) for log in logs]
    assert any(int(epochs[-1]) > 0 for epochs in begun), begun


def test_killed_depot_is_started_again_and_loses_nothing(nodes: Nodes, file: Path) -> None:
    """The process through which nodes read and write, in the second pass and again and again.

    Fails without `max_restarts`, or where the next one does not know which attempts run.
    """
    nodes.add_worker()
    search = nodes.search(file)
    killed = 0
    while search.poll() is None:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name().startswith("ray::Depot") and is_of(process, nodes):
                    process.kill()
                    killed += 1
        time.sleep(2.0)
    assert search.stdout is not None
    assert search.returncode == 0, search.stdout.read()
    assert killed > 2
    trials = nodes.leaderboard()
    assert [trial["outcome"] for trial in trials] == ["complete"] * 8
    folder = nodes.home / "studies" / "far" / "1" / "trials"
    assert all("begins after epoch 0" in log.read_text() for log in folder.glob("*/log.txt"))
    assert len(list(folder.glob("*/log.txt"))) == 8
    assert not list(folder.glob(".*"))


def is_of(process: psutil.Process, nodes: Nodes) -> bool:
    """Whether a process of Ray's belongs to these nodes."""
    return process.environ().get("RAY_AUTH_TOKEN") == nodes.environment["RAY_AUTH_TOKEN"]


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


def write_images(folder: Path) -> None:
    """Two classes that differ in colour, and a table that names some of them."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("red", "blue")):
        (folder / name).mkdir(parents=True)
        for index in range(40):
            pixels = random.integers(0, 160, (32, 32, 3), dtype=np.uint8)
            pixels[..., 2 * number] += 60
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def write_weights(file: Path) -> None:
    """Weights of the tiny model below, of another head."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    model = timm.create_model("resnet10t", channels=[8, 8, 16, 16], stem_width=8, num_classes=5)
    save_file(model.state_dict(), file)


def test_data_and_weights_that_only_the_driver_sees_give_the_same_results(
    blind_nodes: Nodes, tmp_path: Path
) -> None:
    driver = tmp_path / "driver"
    write_images(driver / "data" / "colours")
    write_weights(driver / "tiny.safetensors")
    file = driver / "far.yaml"
    file.write_text(
        """
name: far
data: {source: folder, path: data/colours, image_size: 32}
model:
  name: resnet10t
  weights: tiny.safetensors
  arguments: {channels: [8, 8, 16, 16], stem_width: 8}
train: {epochs: 2, batch_size: 16}
search:
  sampler: random
  trials: 4
  pruner: none
  space: {learning_rate: {float: [1.0e-3, 1.0e-1], log: true}, freeze_depth: {choice: [0, max]}}
ray: {cpus: 1}
reuse: {fuse: 1}
tracking: {pictures: 0}
"""
    )
    # Two actors of one machine at once, and one of another.
    blind_nodes.add_worker(cpus=2)
    blind_nodes.add_worker()
    assert blind_nodes.sees(0, driver) == []
    search = blind_nodes.search(file)
    said, _ = search.communicate(timeout=250)
    assert search.returncode == 0, said

    study = blind_nodes.home / "studies" / "far" / "1"
    sent = (study / "logs" / "sent.txt").read_text().splitlines()
    assert sorted(line.split()[2] for line in sent) == ["data.path:"] * 2 + ["model.weights:"] * 2
    copies = blind_nodes.home / "cache" / "copies"
    assert [len(blind_nodes.sees(node, copies)) - 3 for node in (0, 1)] == [2, 2], sent
    alone = ["taskset", "-c", "0", sys.executable, "-m", "runner", "search", file.name, "--plain"]
    here = subprocess.run(
        [*alone, "--set", "search.slots=1"],
        cwd=driver,
        env={**blind_nodes.environment, "RUNNER_HOME": str(tmp_path / "other")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=250,
    )
    assert here.returncode == 0, here.stdout
    assert len(measured(study)) == 4
    assert measured(study) == measured(tmp_path / "other" / "studies" / "far" / "1")


def measured(study: Path) -> dict[str, object]:
    """All that is known of each trial, to the last bit, but what a clock said."""
    found: dict[str, object] = {}
    for file in sorted(study.glob("trials/*/evaluation.json")):
        content = json.loads(file.read_text())
        for row in content["history"]:
            del row["time_ms"], row["train/examples_per_s"]
        found[file.parent.name] = content
    return found


OWN_FILES = """
import os
from pathlib import Path
from helper import bonus

def objective(trial):
    base = float((Path(__file__).parent / "tables" / "base.txt").read_text())
    # The last two by Ray's runtime environment.
    base += float(Path("more.txt").read_text()) + float(os.environ["STILL_MORE"])
    trial.report(1, accuracy=base + bonus + trial.params["x"])
"""


def test_code_that_only_the_driver_sees_runs_with_its_files(
    blind_nodes: Nodes, tmp_path: Path
) -> None:
    driver = tmp_path / "driver"
    (driver / "tables").mkdir()
    (driver / "tables" / "base.txt").write_text("10")
    (driver / "work").mkdir()
    (driver / "work" / "more.txt").write_text("100")
    (driver / "helper.py").write_text("bonus = 5")
    (driver / "own.py").write_text(OWN_FILES)
    (driver / "run.sh").write_text(
        "#!/bin/sh\necho '{\"step\": 1, \"accuracy\": '$(cat tables/base.txt).$1'}'\n"
    )
    (driver / "run.sh").chmod(0o755)
    rest = (
        "search: {metric: accuracy, direction: maximize, trials: 2, pruner: none, "
        "sampler: random, space: {x: {int: [1, 9]}}}, ray: {files: [tables]}}"
    )
    function, command = driver / "far.yaml", driver / "shell.yaml"
    environment = "runtime_env: {working_dir: work, env_vars: {STILL_MORE: '1000'}}"
    function.write_text(
        "{name: far, task: custom, objective: 'own.py:objective', "
        + rest.replace("files: [tables]", f"files: [tables], {environment}")
    )
    command.write_text("{name: shell, task: custom, command: [./run.sh, '{x}'], " + rest)
    blind_nodes.add_worker()
    for file in (function, command):
        search = blind_nodes.search(file)
        said, _ = search.communicate(timeout=200)
        assert search.returncode == 0, said
    for trial in blind_nodes.leaderboard():
        assert trial["value"] == 1115 + trial["params"]["x"]
    for trial in blind_nodes.leaderboard("shell"):
        assert trial["value"] == 10 + trial["params"]["x"] / 10


def test_driver_without_the_clusters_token_is_told_what_to_do(nodes: Nodes, file: Path) -> None:
    without = {**nodes.environment, "HOME": str(file.parent)}
    del without["RAY_AUTH_TOKEN"]
    another = {**nodes.environment, "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    for environment in (without, another):
        search = nodes.search(file, environment=environment)
        said, _ = search.communicate(timeout=100)
        assert search.returncode == 1, said
        assert "Traceback" not in said
        assert "RAY_AUTH_MODE=token, and the token in RAY_AUTH_TOKEN or in ~/.ray/" in said
