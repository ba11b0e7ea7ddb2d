"""MLflow behind a gateway that fails: nothing is lost, nothing is written twice."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import TrackingUnreachable
from runner.experiment import Store
from runner.tracking import StudyRun, connect, connect_apart, read_trials
from tests.tracking.gateway import Gateway, Mode

pytestmark = [pytest.mark.slow, pytest.mark.server]

STEPS = 5


@pytest.fixture
def gateway(mlflow_server: str) -> Iterator[Gateway]:
    gateway = Gateway(mlflow_server)
    yield gateway
    gateway.close()


@pytest.fixture
def study(gateway: Gateway, tmp_path: Path) -> StudyRun:
    return connect_apart(gateway.address, Store(tmp_path / "store")).open_study(
        "outages",
        study_id=uuid.uuid4().hex,
        run_name="outages",
        tags={},
        params={},
        artifacts={},
        spool=tmp_path / "spool",
    )


def train(study: StudyRun, numbers: range) -> None:
    """What a search says of trials, their artifact included."""
    for number in numbers:
        study.open_trial(number, name=f"trial {number}", params={"number": number}, tags={})
        for step in range(STEPS):
            study.log(number, {"loss": 1 / (1 + step)}, step=step)
        study.end_trial(
            number, status="FINISHED", tags={"a": "b"}, artifacts={"evaluation.json": "{}"}
        )


def assert_whole(server: str, study: StudyRun, tmp_path: Path, count: int) -> None:
    tracking = connect(server, Store(tmp_path / "reader"))
    parent = tracking.client.get_run(study.run_id)
    trials = read_trials(tracking, parent.data.tags["runner.study_id"])
    assert [trial.number for trial in trials] == list(range(count))
    for trial in trials:
        assert trial.status == "FINISHED"
        assert trial.params == {"number": str(trial.number)}
        history = tracking.metric_history(trial.run_id, "loss")
        assert [point.step for point in history] == list(range(STEPS))
        assert tracking.download_artifact(trial.run_id, "evaluation.json", tmp_path / "copy")
    assert parent.info.status == "FINISHED"


@pytest.mark.parametrize("mode", [Mode.SLOW, Mode.ERROR, Mode.AWAY, Mode.LOCKED, Mode.LOST])
def test_gateway_that_fails_for_a_while_gets_every_record_once(
    gateway: Gateway, study: StudyRun, mlflow_server: str, tmp_path: Path, mode: Mode
) -> None:
    """Fails where nobody looks for a run whose answer was lost.
    Fails where a gateway's 404 is taken for MLflow's own refusal.
    """
    train(study, range(2))
    study.flush()
    gateway.mode = mode
    before = gateway.requests
    train(study, range(2, 5))
    deadline = time.monotonic() + 30.0
    while gateway.requests < before + 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gateway.requests >= before + 3
    assert study.undelivered > 0
    gateway.mode = Mode.PASS
    study.close("FINISHED")
    assert_whole(mlflow_server, study, tmp_path, 5)


def test_answers_that_are_lost_now_and_then_leave_nothing_twice(
    gateway: Gateway, study: StudyRun, mlflow_server: str, tmp_path: Path
) -> None:
    """Fails where a second try is like the first.
    Fails where nobody looks for a run whose answer was lost.
    """
    for number in range(6):
        gateway.mode = Mode.LOST
        train(study, range(number, number + 1))
        time.sleep(0.7)
        gateway.mode = Mode.PASS
        time.sleep(0.5)
    study.close("FINISHED")
    assert_whole(mlflow_server, study, tmp_path, 6)


def test_silent_gateway_holds_nobody_who_is_in_a_hurry(gateway: Gateway, study: StudyRun) -> None:
    train(study, range(1))
    study.flush()
    gateway.mode = Mode.SILENT
    train(study, range(1, 3))
    time.sleep(1.0)
    began_s = time.monotonic()
    with pytest.raises(TrackingUnreachable, match=r"has not taken \d+ record\(s\)"):
        study.close("KILLED", within_s=2.0)
    assert time.monotonic() - began_s < 10.0
