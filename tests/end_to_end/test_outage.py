"""MLflow's server is killed in the middle of a search."""

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.experiment import Store
from runner.study import read_study
from runner.tracking import connect, read_trials
from tests.end_to_end.conftest import Terminal, read_until
from tests.mlflow_server import MlflowServer

pytestmark = [pytest.mark.slow, pytest.mark.server]


# The command itself, which at its end waits for an MLflow that takes nothing as if in a hurry.
HASTY = """
import sys
from runner.__main__ import main
from runner.study.search import Search

Search.patience_s = property(lambda search: 3.0)
sys.exit(main())
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path / "server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    yield server
    server.kill()


def assert_whole(server: MlflowServer, terminal: Terminal, *, status: str) -> int:
    """MLflow has all of the study; gives how many trials are complete."""
    store = Store(terminal.folder / "store")
    record = read_study(store, "tiny")
    tracking = connect(server.address, store)
    runs = read_trials(tracking, record.study_id)
    done = [trial.number for trial in record.trials() if trial.state == "complete"]
    assert [run.number for run in runs if run.status == "FINISHED"] == done
    for run in (run for run in runs if run.number in done):
        history = tracking.metric_history(run.run_id, "validation/accuracy")
        assert [point.step for point in history] == [1, 2, 3]
    wanted = f"tags.`runner.study_id` = '{record.study_id}' AND tags.`runner.kind` = 'study'"
    (parent,) = tracking.client.search_runs(tracking.experiment_ids(), wanted)
    assert parent.info.status == status
    names = [file.path for file in tracking.client.list_artifacts(parent.info.run_id)]
    assert "leaderboard.html" in names
    return len(done)


@pytest.mark.timeout(600)
def test_server_killed_and_started_again_has_the_whole_search(
    server: MlflowServer, terminal: Terminal
) -> None:
    """Fails where an outage is a refusal (`_is_refusal`), and what came in it is dropped."""
    search = terminal.start("search", "tiny.yaml", "--plain", "--set", "search.trials=40")
    read_until(search, lambda line: "trial 1 begins" in line)
    server.kill()
    said = read_until(search, lambda line: "MLflow takes nothing just now" in line)
    assert "training goes on" in said[-1]
    server.start()
    rest, _ = search.communicate(timeout=400)
    assert search.returncode == 0, rest
    assert "runner sync" not in rest
    assert assert_whole(server, terminal, status="FINISHED") == 40


def test_search_interrupted_in_an_outage_ends_soon_and_sync_delivers_the_rest(
    server: MlflowServer, terminal: Terminal
) -> None:
    """Fails where it waits for MLflow as patiently as another (`Search.patience_s`)."""
    search = terminal.start("search", "tiny.yaml", "--plain")
    read_until(search, lambda line: "trial 1 begins" in line)
    server.kill()
    read_until(search, lambda line: "trial 2 begins" in line)
    search.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    rest, _ = search.communicate(timeout=100)
    assert time.monotonic() - began_s < 40.0, rest
    assert search.returncode == 130, rest
    assert "`python -m runner sync tiny:1` delivers it" in rest
    assert "the same command continues" in rest

    code, said = terminal.run("sync", "tiny")
    assert code == 9, said
    assert "Connection refused" in said
    code, said = terminal.run("status", "tiny")
    assert code == 0
    assert "python -m runner sync tiny:1" in said

    server.start()
    code, said = terminal.run("sync", "tiny")
    assert code == 0, said
    assert f"MLflow at {server.address} has all " in said
    assert assert_whole(server, terminal, status="KILLED") in (2, 3)
    code, said = terminal.run("sync", "tiny")
    assert said.strip().endswith("0 of them it had not, or not to their end")
    code, said = terminal.run("status", "tiny")
    assert "sync" not in said


def test_search_that_ends_by_itself_in_an_outage_says_so_and_exits_with_nine(
    server: MlflowServer, terminal: Terminal
) -> None:
    """Fails where the command ends as if all were delivered."""
    hasty = replace(terminal, program=("-c", HASTY))
    search = hasty.start("search", "tiny.yaml", "--plain", "--set", "search.trials=2")
    read_until(search, lambda line: "trial 1 begins" in line)
    server.kill()
    rest, _ = search.communicate(timeout=200)
    assert search.returncode == 9, rest
    assert "tiny:1 (not running): 2 of 2 trials" in rest
    assert "`python -m runner sync tiny:1` delivers it" in rest
    assert "Traceback" not in rest


def test_search_waits_for_a_server_that_comes_up_after_it(
    server: MlflowServer, terminal: Terminal
) -> None:
    assert terminal.run("search", "tiny.yaml", "--set", "search.trials=1")[0] == 0
    server.kill()
    search = terminal.start("search", "tiny.yaml", "--plain")
    said = read_until(search, lambda line: "waiting up to 120 s" in line)
    assert "Connection refused" in said[-1]
    server.start()
    rest, _ = search.communicate(timeout=200)
    assert search.returncode == 0, rest
    assert assert_whole(server, terminal, status="FINISHED") == 4


def test_new_search_without_a_server_is_refused_at_once(
    server: MlflowServer, terminal: Terminal
) -> None:
    server.kill()
    code, said = terminal.run("search", "tiny.yaml", "--plain")
    assert code == 9
    assert "waiting" not in said
    assert "Connection refused" in said
