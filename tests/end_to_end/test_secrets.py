"""The passwords of the two addresses: used, and seen nowhere but in the environment."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from tests.end_to_end.conftest import EXPERIMENT
from tests.postgresql import PASSWORDS, PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.server]

PASSWORD = "Qx7correct-horseZw9"


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """The command lines of all that this process has started and that lives while the block runs.

    Not of the whole machine: other tests give `psql` the same passwords.
    """
    seen: set[str] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    seen.add("\0".join(process.cmdline()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def run(folder: Path, environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "runner", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "RUNNER_HOME": str(folder / "store"),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def texts_of(folder: Path) -> Iterator[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return (path.read_bytes().decode(errors="replace") for path in files)


def test_password_of_the_tracking_address_is_seen_nowhere(
    mlflow_server: str, tmp_path: Path
) -> None:
    (tmp_path / "hush.yaml").write_text(EXPERIMENT.replace("name: tiny", "name: hush"))
    address = mlflow_server.replace("http://", f"http://ann:{PASSWORD}@")
    there = {"MLFLOW_TRACKING_URI": address}
    with command_lines() as lines:
        said = [run(tmp_path, there, "search", "hush.yaml", "--plain")]
    assert any("runner.backends.worker" in line for line in lines)
    said += [
        run(tmp_path, there, *command.split())
        for command in ("plan hush.yaml", "status hush", "leaderboard hush", "promote hush")
    ]
    assert any("http://***@127.0.0.1" in text for text in said)
    client = MlflowClient(mlflow_server)
    experiment = client.get_experiment_by_name("hush")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) >= 5
    kept = [str(run.to_dictionary()) for run in runs]
    parent = next(run.info.run_id for run in runs if run.info.run_name == "hush:1")
    kept.append(Path(client.download_artifacts(parent, "experiment.json")).read_text())
    assert '"uri": null' in kept[-1]
    found = [*said, *lines, *kept, *texts_of(tmp_path)]
    assert not any(PASSWORD in text for text in found)


def test_password_of_a_tracking_address_where_nobody_answers_is_not_in_the_refusal(
    tmp_path: Path,
) -> None:
    """Fails where addresses are left as they are (`without_secrets`)."""
    (tmp_path / "hush.yaml").write_text(EXPERIMENT.replace("name: tiny", "name: hush"))
    done = subprocess.run(
        [sys.executable, "-m", "runner", "search", "hush.yaml"],
        cwd=tmp_path,
        env={
            **os.environ,
            "RUNNER_HOME": str(tmp_path / "store"),
            "MLFLOW_TRACKING_URI": f"http://ann:{PASSWORD}@127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    assert "MLflow tracking at http://***@127.0.0.1:1 cannot be used" in done.stderr
    assert not any(PASSWORD in text for text in [done.stdout, done.stderr, *texts_of(tmp_path)])


def test_password_of_the_studies_database_is_in_no_command_line(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    (tmp_path / "hushed.yaml").write_text(EXPERIMENT.replace("name: tiny", "name: hushed"))
    there = {"RUNNER_STORAGE": postgres.address()}
    with command_lines() as lines:
        run(tmp_path, there, "search", "hushed.yaml", "--plain", "--set", "search.trials=2")
    assert any("runner.backends.worker" in line for line in lines)
    for form in (PASSWORDS["runner"], postgres.address(), postgres.address().split("@")[0]):
        assert not any(form in line for line in lines)


def test_experiment_file_that_keeps_a_password_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    """Fails where addresses are left as they are (`without_secrets`)."""
    (tmp_path / "hush.yaml").write_text(
        EXPERIMENT + f"tracking: {{uri: 'http://a:{PASSWORD}@h'}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "runner", "search", "hush.yaml"],
        cwd=tmp_path,
        env={**os.environ, "RUNNER_HOME": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "tracking.uri: must be an address without password" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert not (tmp_path / "store").exists()
