"""What every tracking target must do: run over the local store and a real MLflow server, written
to from this process and from one of its own.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.errors import NotFound, TrackingUnreachable
from runner.experiment import Store
from runner.tracking import (
    RunStatus,
    StudyRun,
    Tracking,
    connect,
    connect_apart,
    read_trials,
)

SERVER = [pytest.mark.server, pytest.mark.slow]


@dataclass(frozen=True)
class Apart(Tracking):
    """MLflow that is read here and written to by another process."""

    store: Store

    def open_study(self, experiment_name: str, **settings: Any) -> StudyRun:
        return connect_apart(self.uri, self.store).open_study(experiment_name, **settings)


@pytest.fixture(
    scope="module",
    params=[
        "local",
        "local, apart",
        pytest.param("server", marks=SERVER),
        pytest.param("server, apart", marks=SERVER),
    ],
)
def tracking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    store = Store(tmp_path_factory.mktemp("store") / "mlruns")
    is_local = request.param.startswith("local")
    uri = None if is_local else request.getfixturevalue("mlflow_server")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        here = connect(uri, store)
    if not request.param.endswith("apart"):
        return here
    return Apart(here.uri, here.client, here.artifacts, store)


@pytest.fixture
def study_id() -> str:
    return uuid.uuid4().hex


def open_study(tracking: Tracking, study_id: str, *, budget: int = 20) -> StudyRun:
    return tracking.open_study(
        "resnet_cats",
        study_id=study_id,
        run_name="resnet_cats",
        tags={"runner.version": "0.1"},
        params={"search.trials": budget},
        artifacts={"experiment.json": "{}", "space/space.yaml": "a: 1\n"},
    )


def open_trial(study: StudyRun, number: int, **params: object) -> None:
    study.open_trial(number, name=f"trial {number}", params=params, tags={"runner.seed": "7"})


def steps(tracking: Tracking, run_id: str, name: str) -> list[int]:
    return [point.step for point in tracking.metric_history(run_id, name)]


def test_open_study_twice_gives_the_same_parent_running_again(
    tracking: Tracking, study_id: str
) -> None:
    first = open_study(tracking, study_id)
    first.close(RunStatus.KILLED)
    assert first.is_new
    assert tracking.client.get_run(first.run_id).info.status == "KILLED"
    second = open_study(tracking, study_id)
    second.flush()
    assert not second.is_new
    assert second.run_id == first.run_id
    assert tracking.client.get_run(first.run_id).info.status == "RUNNING"
    second.close(RunStatus.FINISHED)
    assert tracking.client.get_run(first.run_id).info.status == "FINISHED"


def test_open_study_parent_has_its_tags_params_and_artifacts(
    tracking: Tracking, study_id: str, tmp_path: Path
) -> None:
    study = open_study(tracking, study_id)
    study.log_study({"best": 0.5}, step=0)
    study.log_study({"best": 0.75}, step=1)
    study.close("FINISHED")
    data = tracking.client.get_run(study.run_id).data
    assert data.tags["runner.study_id"] == study_id
    assert data.tags["runner.kind"] == "study"
    assert data.tags["runner.version"] == "0.1"
    assert data.params == {"search.trials": "20"}
    history = tracking.metric_history(study.run_id, "best")
    assert [(point.step, point.value) for point in history] == [(0, 0.5), (1, 0.75)]
    space = tracking.download_artifact(study.run_id, "space/space.yaml", tmp_path)
    assert space.read_text() == "a: 1\n"


def test_open_study_again_with_changed_params_keeps_the_first_and_tags_the_change(
    tracking: Tracking, study_id: str
) -> None:
    open_study(tracking, study_id).close("FINISHED")
    study = open_study(tracking, study_id, budget=40)
    study.close("FINISHED")
    data = tracking.client.get_run(study.run_id).data
    assert data.params == {"search.trials": "20"}
    assert data.tags["runner.changed.search.trials"] == "40"


def test_trials_are_children_with_params_metrics_tags_and_artifacts(
    tracking: Tracking, study_id: str, tmp_path: Path
) -> None:
    study = open_study(tracking, study_id)
    for number, status in enumerate(("FINISHED", "KILLED", "FAILED")):
        open_trial(study, number, learning_rate=0.1 * number)
        for epoch in range(3):
            study.log(number, {"accuracy": epoch / 4, "loss": 1.0}, step=epoch, timestamp_ms=epoch)
        study.end_trial(
            number,
            status=status,
            tags={"runner.outcome": f"outcome {number}"},
            artifacts={"evaluation.json": f'{{"trial": {number}}}'},
        )
    study.close("FINISHED")

    trials = read_trials(tracking, study_id)
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert {trial.number: trial.run_id for trial in trials} == study.run_ids
    assert [trial.status for trial in trials] == ["FINISHED", "KILLED", "FAILED"]
    last = trials[2]
    assert last.params == {"learning_rate": "0.2"}
    assert last.metrics == {"accuracy": 0.5, "loss": 1.0}
    assert last.tags["mlflow.parentRunId"] == study.run_id
    assert last.tags["mlflow.runName"] == "trial 2"
    assert last.tags["runner.seed"] == "7"
    assert last.tags["runner.outcome"] == "outcome 2"
    assert steps(tracking, last.run_id, "accuracy") == [0, 1, 2]
    file = tracking.download_artifact(last.run_id, "evaluation.json", tmp_path)
    assert file.read_text() == '{"trial": 2}'


def test_read_trials_sees_only_its_study_in_the_named_or_any_experiment(
    tracking: Tracking, study_id: str
) -> None:
    study = open_study(tracking, study_id)
    open_trial(study, 4)
    study.close("FINISHED")
    assert [trial.number for trial in read_trials(tracking, study_id)] == [4]
    assert len(read_trials(tracking, study_id, experiment="resnet_cats")) == 1
    assert read_trials(tracking, study_id, experiment="another") == []
    assert read_trials(tracking, "no such study") == []


def test_open_trial_again_continues_its_run_and_doubles_no_step(
    tracking: Tracking, study_id: str
) -> None:
    """Fails where a run that is known is opened anew (`Delivery._open`)."""
    first = open_study(tracking, study_id)
    open_trial(first, 0, epochs=4)
    for epoch in range(2):
        first.log(0, {"loss": 1.0 - epoch}, step=epoch, timestamp_ms=1000 + epoch)
    first.end_trial(0, status="KILLED", tags={"runner.outcome": "interrupted"})
    first.close("KILLED")

    second = open_study(tracking, study_id)
    assert second.statuses == {0: RunStatus.KILLED}
    open_trial(second, 0, epochs=4)
    second.flush()
    assert read_trials(tracking, study_id)[0].status == "RUNNING"
    for epoch in range(4):  # replayed from a checkpoint, the clock of one step differing
        second.log(0, {"loss": 1.0 - epoch, "f1": 0.5}, step=epoch, timestamp_ms=1000 + 2 * epoch)
    second.end_trial(0, status="FINISHED", tags={"runner.outcome": "complete"})
    second.close("FINISHED")

    (trial,) = read_trials(tracking, study_id)
    assert trial.run_id == first.run_ids[0]
    assert trial.status == "FINISHED"
    assert trial.tags["runner.outcome"] == "complete"
    history = tracking.metric_history(trial.run_id, "loss")
    assert [(p.step, p.timestamp_ms) for p in history] == [
        (0, 1000),
        (1, 1001),
        (2, 1004),
        (3, 1006),
    ]
    assert steps(tracking, trial.run_id, "f1") == [0, 1, 2, 3]


def test_open_trial_again_in_the_same_session_doubles_no_step(
    tracking: Tracking, study_id: str
) -> None:
    """Fails where a run that is known is opened anew (`Delivery._open`)."""
    study = open_study(tracking, study_id)
    for _ in range(2):  # the worker died, the trial is run again
        open_trial(study, 0, epochs=2)
        study.log(0, {"loss": 1.0}, step=0)
        study.flush()
    study.end_trial(0, status="FINISHED", tags={})
    open_trial(study, 0, epochs=2)
    study.log(0, {"loss": 1.0}, step=0)
    study.log(0, {"loss": 0.5}, step=1)
    study.end_trial(0, status="FINISHED", tags={})
    study.close("FINISHED")
    (trial,) = read_trials(tracking, study_id)
    assert steps(tracking, trial.run_id, "loss") == [0, 1]


def test_large_trial_exceeding_the_limits_arrives_whole(
    tracking: Tracking, study_id: str, tmp_path: Path
) -> None:
    study = open_study(tracking, study_id)
    params = {f"p{i:03}": i for i in range(130)} | {"weights": "w" * 6001}
    open_trial(study, 0, **params)
    for step in range(1100):
        study.log(0, {"loss": step / 8}, step=step)
    study.end_trial(
        0, status="FINISHED", tags={f"t{i}": "x" for i in range(120)} | {"long": "t" * 8001}
    )
    study.close("FINISHED")
    (trial,) = read_trials(tracking, study_id)
    assert len(trial.params) == 131
    assert trial.params["p129"] == "129"
    assert trial.params["weights"] == (
        "(6001 characters: see the artifact parameters/weights.txt)"
    )
    file = tracking.download_artifact(trial.run_id, "parameters/weights.txt", tmp_path)
    assert file.read_text() == "w" * 6001
    assert trial.tags["t119"] == "x"
    assert trial.tags["long"] == "(8001 characters: see the artifact tags/long.txt)"
    assert steps(tracking, trial.run_id, "loss") == list(range(1100))


def test_not_a_number_is_kept_as_such(tracking: Tracking, study_id: str) -> None:
    study = open_study(tracking, study_id)
    open_trial(study, 0)
    study.log(0, {"loss": float("nan")}, step=0)
    study.close("FINISHED")
    (point,) = tracking.metric_history(study.run_ids[0], "loss")
    assert point.value != point.value


def test_add_artifact_file_lands_under_its_path(
    tracking: Tracking, study_id: str, tmp_path: Path
) -> None:
    picture = tmp_path / "drawn.png"
    picture.write_bytes(b"\x89PNG and more")
    study = open_study(tracking, study_id)
    open_trial(study, 0)
    study.add_artifact_file(0, picture, "pictures/curves.png")
    study.add_artifact_file(None, picture, "drawn.png")
    study.close("FINISHED")
    for run_id, path in ((study.run_ids[0], "pictures/curves.png"), (study.run_id, "drawn.png")):
        copy = tracking.download_artifact(run_id, path, tmp_path / "copies")
        assert copy.read_bytes() == picture.read_bytes()


def test_add_artifact_file_that_vanished_is_reported(
    tracking: Tracking, study_id: str, tmp_path: Path
) -> None:
    study = open_study(tracking, study_id)
    study.add_artifact_file(None, tmp_path / "gone.png", "gone.png")
    with pytest.raises(TrackingUnreachable, match=r"refused 1 record\(s\).*gone\.png is gone"):
        study.close("FINISHED")


def test_download_artifact_missing_says_which_run_and_path(
    tracking: Tracking, study_id: str, tmp_path: Path
) -> None:
    study = open_study(tracking, study_id)
    study.close("FINISHED")
    with pytest.raises(NotFound, match=rf"run {study.run_id} at .* has no artifact 'no/such'"):
        tracking.download_artifact(study.run_id, "no/such", tmp_path)
    with pytest.raises(NotFound, match=r"Run .*(0{32}|not found)"):
        tracking.download_artifact("0" * 32, "experiment.json", tmp_path)


def test_trial_with_two_runs_keeps_the_one_that_ended(tracking: Tracking, study_id: str) -> None:
    """Fails where `_children` leaves the other one as it is: RUNNING."""
    first = open_study(tracking, study_id)
    open_trial(first, 0)
    first.flush()
    tags = dict(tracking.client.get_run(first.run_ids[0]).data.tags)
    twin = tracking.client.create_run(first.experiment_id, tags=tags, start_time=1).info.run_id
    first.end_trial(0, status="FINISHED", tags={"runner.outcome": "complete"})
    first.close("FINISHED")
    second = open_study(tracking, study_id)
    second.close("FINISHED")
    assert second.run_ids == first.run_ids
    assert tracking.client.get_run(twin).info.status == "KILLED"
    assert [trial.run_id for trial in read_trials(tracking, study_id)] == [first.run_ids[0]]


def test_deleted_parent_new_one_adopts_the_children(tracking: Tracking, study_id: str) -> None:
    first = open_study(tracking, study_id)
    open_trial(first, 0)
    first.close("FINISHED")
    tracking.client.delete_run(first.run_id)
    second = open_study(tracking, study_id)
    second.close("FINISHED")
    (trial,) = read_trials(tracking, study_id)
    assert second.is_new
    assert trial.run_id == first.run_ids[0]
    assert trial.tags["mlflow.parentRunId"] == second.run_id


def test_deleted_trial_during_the_search_is_reported_and_others_go_on(
    tracking: Tracking, study_id: str
) -> None:
    study = open_study(tracking, study_id)
    open_trial(study, 0)
    open_trial(study, 1)
    study.flush()
    tracking.client.delete_run(study.run_ids[0])
    study.log(0, {"loss": 1.0}, step=0)
    study.log(1, {"loss": 1.0}, step=0)
    with pytest.raises(TrackingUnreachable, match=r"refused 1 record\(s\)"):
        study.flush()
    study.close("FINISHED")
    assert steps(tracking, study.run_ids[1], "loss") == [0]


def test_deleted_experiment_is_refused_with_the_command_that_restores_it(
    tracking: Tracking, study_id: str
) -> None:
    name = f"deleted {study_id}"
    experiment_id = tracking.client.create_experiment(name)
    tracking.client.delete_experiment(experiment_id)
    with pytest.raises(TrackingUnreachable) as caught:
        tracking.open_study(
            name, study_id=study_id, run_name="x", tags={}, params={}, artifacts={}
        )
    assert f"`mlflow experiments restore -x {experiment_id}`" in str(caught.value)


KILLED_DRIVER = """
import sys, time
from pathlib import Path
from runner.experiment import Store
from runner.tracking import connect
study = connect(sys.argv[1], Store(Path(sys.argv[2]))).open_study(
    "resnet_cats", study_id=sys.argv[3], run_name="x", tags={}, params={}, artifacts={}
)
study.open_trial(0, name="trial 0", params={"epochs": 9}, tags={})
study.log(0, {"loss": 1.0}, step=0)
study.flush()
print("ready", flush=True)
for number in range(1, 10**9):
    study.open_trial(number, name=f"trial {number}", params={"epochs": 9}, tags={})
    study.log(number, {"loss": 1.0}, step=0)
    time.sleep(0.01)
"""


@pytest.mark.slow
def test_killed_driver_leaves_nothing_that_a_next_one_doubles(
    tracking: Tracking, study_id: str, tmp_path: Path
) -> None:
    arguments = [tracking.uri, str(tmp_path), study_id]
    driver = subprocess.Popen(
        [sys.executable, "-c", KILLED_DRIVER, *arguments], stdout=subprocess.PIPE
    )
    assert driver.stdout is not None
    with driver.stdout:
        assert driver.stdout.readline() == b"ready\n"
        time.sleep(1.5)  # kill it in the middle of its writes
        os.kill(driver.pid, signal.SIGKILL)
    driver.wait()

    study = open_study(tracking, study_id)
    left = dict(study.statuses)
    assert len(left) > 1
    for number in left:
        open_trial(study, number, epochs=9)
        study.log(number, {"loss": 1.0}, step=0)
        study.end_trial(number, status="FINISHED", tags={})
    study.close("FINISHED")
    trials = read_trials(tracking, study_id)
    assert [trial.number for trial in trials] == sorted(left)
    assert {trial.status for trial in trials} == {RunStatus.FINISHED}
    for trial in (trials[0], trials[-1]):
        assert trial.params == {"epochs": "9"}
        assert steps(tracking, trial.run_id, "loss") == [0]


class Relay:
    """A TCP relay in front of a server: a network that can be cut and mended."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._pairs: list[socket.socket] = []
        self._listener: socket.socket | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for end in self._pairs:
            end.close()
        self._pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
            except OSError:
                return
            self._pairs += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        except OSError:
            return


@pytest.fixture
def relay(mlflow_server: str) -> Iterator[Relay]:
    relay = Relay(mlflow_server)
    relay.mend()
    yield relay
    relay.cut()


@pytest.mark.server
@pytest.mark.slow
def test_server_cut_off_for_a_while_gets_every_record_once(
    relay: Relay, study_id: str, tmp_path: Path
) -> None:
    study = open_study(connect(relay.address, Store(tmp_path)), study_id)
    open_trial(study, 0)
    study.flush()
    relay.cut()
    for number in range(1, 4):
        open_trial(study, number, epochs=1)
        study.log(number, {"loss": 0.5}, step=0)
        study.end_trial(number, status="FINISHED", tags={})
    deadline = time.monotonic() + 20.0
    while study.trouble is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert study.trouble is not None
    assert study.undelivered > 3
    relay.mend()
    study.close("FINISHED")
    trials = read_trials(connect(relay.address, Store(tmp_path)), study_id)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert [trial.metrics for trial in trials[1:]] == [{"loss": 0.5}] * 3


@pytest.mark.slow
def test_local_store_locked_by_another_process_waits_and_delivers(
    tmp_path: Path, study_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    store = Store(tmp_path / "mlruns")
    study = open_study(connect(None, store), study_id)
    study.flush()
    other = sqlite3.connect(store.root / "mlflow.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    open_trial(study, 0)
    deadline = time.monotonic() + 30.0
    while study.trouble is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert study.trouble is not None
    assert "database is locked" in study.trouble.why
    other.execute("ROLLBACK")
    other.close()
    study.close("FINISHED")
    assert list(study.run_ids) == [0]
