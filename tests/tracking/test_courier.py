"""MLflow in a process of its own: it may die, and it dies with its driver."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runner.errors import TrackingUnreachable
from runner.experiment import Store
from runner.tracking import StudyRun, connect, connect_apart, read_trials


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "mlruns")


@pytest.fixture
def study_id() -> str:
    return uuid.uuid4().hex


def open_study(store: Store, study_id: str) -> StudyRun:
    return connect_apart(None, store).open_study(
        "apart", study_id=study_id, run_name="apart", tags={}, params={}, artifacts={}
    )


def couriers(driver: int) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(driver).children()
        if any("tracking.courier" in word for word in child.cmdline())
    ]


@pytest.fixture(autouse=True)
def _is_left_running() -> Iterator[None]:
    yield
    assert len(couriers(os.getpid())) <= 1


def test_two_searches_of_a_driver_share_one_process(store: Store, tmp_path: Path) -> None:
    first = open_study(store, "a")
    second = open_study(Store(tmp_path / "elsewhere"), "b")
    assert len(couriers(os.getpid())) == 1
    for study in (first, second):
        study.open_trial(0, name="trial 0", params={}, tags={})
        study.close("FINISHED")
    for place, study_id in ((store, "a"), (Store(tmp_path / "elsewhere"), "b")):
        assert len(read_trials(connect(None, place), study_id)) == 1


def test_killed_while_it_connects_another_is_asked(store: Store, study_id: str) -> None:
    """Fails where its death is MLflow's, which ended a search that had hardly begun."""
    for courier in couriers(os.getpid()):
        courier.kill()
        courier.wait()

    def kill() -> None:
        while not (found := couriers(os.getpid())):
            time.sleep(0.01)
        found[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    study = open_study(store, study_id)
    killer.join()
    study.close("FINISHED")


def test_killed_again_and_again_every_record_arrives_once(store: Store, study_id: str) -> None:
    """Fails where nothing is tried again (`_persist`)."""
    study = open_study(store, study_id)
    told: list[int] = []
    study.on_run(lambda number, _: told.append(number))
    for number in range(12):
        study.open_trial(number, name=f"trial {number}", params={"epochs": 3}, tags={})
        for step in range(3):
            study.log(number, {"loss": 1.0 / (step + 1)}, step=step)
        study.end_trial(number, status="FINISHED", tags={"runner.outcome": "complete"})
        if number % 4 == 3:
            time.sleep(0.55 + 0.05 * number)
            (courier,) = couriers(os.getpid())
            courier.kill()
    study.close("FINISHED")
    tracking = connect(None, store)
    trials = read_trials(tracking, study_id)
    assert [trial.number for trial in trials] == list(range(12))
    assert {trial.number: trial.run_id for trial in trials} == study.run_ids
    assert sorted(told) == list(range(12))
    for trial in trials:
        assert trial.status == "FINISHED"
        points = tracking.metric_history(trial.run_id, "loss")
        assert [point.step for point in points] == [0, 1, 2]


def test_that_cannot_be_started_is_trouble_and_is_started_later(
    store: Store, study_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where `_running` lets the OSError out: `trouble` then has no more than that."""
    study = open_study(store, study_id)
    (courier,) = couriers(os.getpid())

    def refused(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOMEM, "no memory")

    with monkeypatch.context() as patch:
        patch.setattr("subprocess.Popen", refused)
        courier.kill()
        study.open_trial(0, name="trial 0", params={}, tags={})
        deadline = time.monotonic() + 10.0
        while study.trouble is None or "cannot be started" not in study.trouble.why:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    study.close("FINISHED")
    assert len(read_trials(connect(None, store), study_id)) == 1


def test_closing_a_line_of_a_dead_one_starts_no_other(store: Store, study_id: str) -> None:
    """Fails where `leave` asks whether or not there is one."""
    study = open_study(store, study_id)
    study.flush()
    (courier,) = couriers(os.getpid())
    courier.kill()
    courier.wait()
    study._carrier.close()
    assert couriers(os.getpid()) == []
    study.close("FINISHED")


DRIVER = """
import sys, time
from pathlib import Path
from runner.experiment import Store
from runner.tracking import connect_apart
study = connect_apart(None, Store(Path(sys.argv[1]))).open_study(
    "apart", study_id="x", run_name="x", tags={}, params={}, artifacts={}
)
print("ready", flush=True)
number = 0
while sys.argv[2] != "idle":
    study.open_trial(number, name=f"trial {number}", params={"epochs": 9}, tags={})
    number += 1
    time.sleep(0.002)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["idle", "busy"])
def test_killed_driver_takes_it_along_at_once(store: Store, how: str) -> None:
    command = [sys.executable, "-c", DRIVER, str(store.root), how]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert driver.stdout is not None
    with driver.stdout:
        assert driver.stdout.readline() == b"ready\n"
        time.sleep(0.7)
        (courier,) = couriers(driver.pid)
        os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    deadline = time.monotonic() + 2.0
    # A container may have nobody who buries it.
    while courier.is_running() and courier.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_connect_apart_nothing_there_says_what_connect_says(store: Store) -> None:
    uri = "http://ann:s3cret@127.0.0.1:9"
    said = []
    for attempt in (connect, connect_apart):
        with pytest.raises(TrackingUnreachable) as caught:
            attempt(uri, store)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "s3cret" not in said[0]


def test_each_search_has_its_drivers_environment_and_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_study(store, "a").close("FINISHED")
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.chdir(tmp_path)
    study = open_study(store, "b")
    study.close("FINISHED")
    (courier,) = couriers(os.getpid())
    assert Path(courier.cwd()) == tmp_path
    tags = connect(None, store).client.get_run(study.run_id).data.tags
    assert tags["mlflow.user"] == "ann"


SEARCH = """
import sys
from runner import api
api.search(sys.argv[1], show="none")
print([name for name in ("mlflow", "sqlalchemy", "torch") if name in sys.modules])
"""


@pytest.mark.slow
def test_a_search_imports_neither_mlflow_nor_torch(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def objective(trial):\n    trial.report(1, loss=1.0)\n")
    (tmp_path / "own.yaml").write_text(
        "{name: own, task: custom, objective: 'own.py:objective', search: {metric: loss, "
        "direction: minimize, trials: 2, space: {x: {float: [0, 1]}}}}"
    )
    environment = {**os.environ, "RUNNER_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", SEARCH, "own.yaml"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
