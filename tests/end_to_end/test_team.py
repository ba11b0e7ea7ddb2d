"""A team's set-up as docs/team.md has it: real PostgreSQL, a real MLflow server on it, searches
at once from several machines (folders that know nothing of one another)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner.tracking.ui import free_port
from tests.end_to_end.conftest import EXPERIMENT, read_until, wait_until
from tests.postgresql import PASSWORDS, TEAM, PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.server]


@dataclass(frozen=True)
class Machine:
    """A person's machine: a folder of its own, and the two addresses."""

    folder: Path
    storage: str
    tracking: str

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "runner", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "RUNNER_HOME": str(self.folder / "store"),
                "RUNNER_STORAGE": self.storage,
                "MLFLOW_TRACKING_URI": self.tracking,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        try:
            output, _ = process.communicate(timeout=240)
        finally:
            process.kill()
        return process.returncode, output


@pytest.fixture(scope="module")
def tracking_server(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """MLflow's server, started by the script that docs/team.md has."""
    root = tmp_path_factory.mktemp("mlflow")
    port = free_port("127.0.0.1", 0)
    address = f"127.0.0.1:{port}"
    with (root / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            [str(TEAM / "mlflow-server.sh")],
            cwd=root,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "MLFLOW_BACKEND_STORE_URI": postgres.address("mlflow"),
                "ARTIFACTS": str(root / "artifacts"),
                "ADDRESS": address,
                "LISTEN": "127.0.0.1",
                "PORT": str(port),
                "WORKERS": "1",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "Application startup complete" in _text(log.name), within_s=200)
        yield f"http://{address}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    assert PASSWORDS["mlflow"] not in _text(log.name)


def _text(path: str) -> str:
    return Path(path).read_text(errors="replace")


@pytest.fixture
def machine(postgres: PostgresServer, tracking_server: str, tmp_path: Path) -> Machine:
    folder = tmp_path / "here"
    folder.mkdir()
    return Machine(folder, postgres.address(), tracking_server)


def another(machine: Machine, *, user: str, postgres: PostgresServer) -> Machine:
    folder = machine.folder.parent / user
    folder.mkdir()
    return replace(machine, folder=folder, storage=postgres.address(user=user))


def write(machine: Machine, name: str, *, epochs: int = 3) -> None:
    text = EXPERIMENT.replace("name: tiny", f"name: {name}").replace(
        "epochs: 3", f"epochs: {epochs}"
    )
    (machine.folder / f"{name}.yaml").write_text(text)


def runs(tracking: str, name: str) -> dict[str, str]:
    """Status of every run of an MLflow experiment, by name."""
    client = MlflowClient(tracking)
    found = client.get_experiment_by_name(name)
    assert found is not None
    return {
        run.info.run_name: run.info.status for run in client.search_runs([found.experiment_id])
    }


def test_two_people_search_at_once_and_see_each_other_s_studies(
    machine: Machine, postgres: PostgresServer
) -> None:
    alice = another(machine, user="alice", postgres=postgres)
    write(machine, "ours")
    write(alice, "hers")
    searches = [machine.start("search", "ours.yaml"), alice.start("search", "hers.yaml")]
    said = [search.communicate(timeout=280)[0] for search in searches]
    assert [search.returncode for search in searches] == [0, 0], said
    for who in (machine, alice):
        code, listed = who.run("studies")
        assert code == 0, listed
        rows = [line.split()[:3] for line in listed.splitlines()]
        assert ["ours:1", "4", "4"] in rows
        assert ["hers:1", "4", "4"] in rows
    # What is on another machine: the study is there, its MLflow run has the weights.
    code, board = machine.run("leaderboard", "hers", "--csv")
    assert code == 0, board
    assert len(board.splitlines()) == 5
    code, promoted = machine.run("promote", "hers")
    assert code == 0, promoted
    assert "version 1 is now champion" in promoted
    assert "training it again" not in promoted
    code, drawn = machine.run("pictures", "hers")
    assert code == 8
    assert "is not on this machine: " in drawn
    assert "RUNNER_HOME on a disk that both share" in drawn
    for name in ("ours", "hers"):
        found = runs(machine.tracking, name)
        assert found[f"{name}:1"] == "FINISHED"
        assert {found[f"trial {number}"] for number in range(4)} == {"FINISHED"}
    assert not (machine.folder / "store" / "mlflow.db").exists()
    assert_nothing_has_a_password(machine.folder.parent, [*said, listed, board, promoted, drawn])
    for database in ("runner", "mlflow"):
        dump = subprocess.run(
            ["pg_dump", "--inserts", postgres.address(database)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "hers" in dump
        for password in PASSWORDS.values():
            assert password not in dump


def assert_nothing_has_a_password(folder: Path, said: list[str]) -> None:
    texts = [*said, *(path.read_bytes().decode(errors="replace") for path in _files(folder))]
    assert len(texts) > 20
    for password in PASSWORDS.values():
        for form in (password, password.replace("'", "%27"), "s%2Fecr"):
            assert not any(form in text for text in texts)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 1e6)


def test_one_study_has_one_driver_and_the_next_goes_on_after_its_kill(
    machine: Machine, postgres: PostgresServer
) -> None:
    alice = another(machine, user="alice", postgres=postgres)
    for who in (machine, alice):
        write(who, "one", epochs=8)
    options = ("--set", "search.slots=1", "--set", "search.trials=2")
    first = machine.start("search", "one.yaml", "--plain", *options)
    read_until(first, lambda line: "trial 0" in line)
    code, refused = alice.run("search", "one.yaml")
    assert code == 5, refused
    assert (
        f"one:1 in postgresql://{postgres.place}/runner is being searched by process " in refused
    )
    assert f"process {first.pid} on " in refused
    code, said = alice.run("status", "one", "--json")
    assert code == 0, said
    assert '"is_searching": true' in said
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    code, said = alice.run("search", "one.yaml", "--set", "search.trials=2")
    assert code == 0, said
    code, listed = machine.run("studies")
    assert ["one:1", "2", "2"] in [line.split()[:3] for line in listed.splitlines()]
    found = runs(machine.tracking, "one")
    assert sorted(found) == ["one:1", "trial 0", "trial 1"]
    assert set(found.values()) == {"FINISHED"}


def test_stop_and_enqueue_reach_a_driver_on_another_machine(
    machine: Machine, postgres: PostgresServer
) -> None:
    alice = another(machine, user="alice", postgres=postgres)
    write(machine, "far", epochs=80)
    search = machine.start("search", "far.yaml", "--plain", "--set", "search.slots=1")
    read_until(search, lambda line: "trial 0" in line)
    code, said = alice.run("enqueue", "far", "learning_rate=0.0125", "freeze_depth=1")
    assert (code, said) == (0, "the search will try it next\n")
    code, said = alice.run("stop", "far", "--trial", "0")
    assert (code, said) == (0, "trial 0 will be pruned before its next batch\n")
    read_until(search, lambda line: "stopped by the user" in line or "pruned" in line)
    began_s = time.monotonic()
    code, said = alice.run("stop", "far")
    assert (code, said) == (0, "stopped; the same command continues it\n")
    assert time.monotonic() - began_s < 100
    assert search.communicate(timeout=60)[0]
    assert search.returncode == 130
    code, said = alice.run("stop", "far")
    assert code == 8
    assert "is not being searched" in said


@pytest.mark.timeout(600)
def test_database_of_mlflow_killed_and_started_again_under_a_search_has_all_of_it(
    machine: Machine, postgres: PostgresServer
) -> None:
    """Fails where whatever MLflow answers is a refusal."""
    # The study in files: what goes away is MLflow's alone.
    here = replace(machine, storage="")
    write(here, "outage")
    search = here.start("search", "outage.yaml", "--plain", "--set", "search.trials=40")
    read_until(search, lambda line: "trial 1 begins" in line)
    postgres.kill()
    try:
        said = read_until(search, lambda line: "MLflow takes nothing just now" in line)
        assert "training goes on" in said[-1]
    finally:
        postgres.start()
    rest, _ = search.communicate(timeout=400)
    assert search.returncode == 0, rest
    assert "refused" not in rest
    found = runs(here.tracking, "outage")
    assert set(found) == {"outage:1", *(f"trial {number}" for number in range(40))}
    assert set(found.values()) == {"FINISHED"}
