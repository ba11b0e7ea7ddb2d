"""The driver's end of the trials' folders: who may write, and what is left of who may not."""

from pathlib import Path

import pytest

from runner.backends.ray.depot import PARTIAL, DeadAttempt, Depot
from runner.trial import Attempt

FIRST, SECOND = Attempt(3, 0), Attempt(3, 1)


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    (tmp_path / "3" / "artifacts").mkdir(parents=True)
    return Depot(str(tmp_path))


def send(depot: Depot, key: Attempt, content: bytes, *, commit: bool = True) -> None:
    depot.write(key, "3/artifacts/model", content, is_first=True)
    if commit:
        depot.commit(key, ["3/artifacts/model"], [])


def test_pieces_take_their_place_together(depot, tmp_path):
    depot.begin([FIRST])
    depot.write(FIRST, "3/log.txt", b"one ", is_first=True)
    depot.write(FIRST, "3/log.txt", b"two", is_first=False)
    assert not (tmp_path / "3" / "log.txt").exists()

    depot.commit(FIRST, ["3/log.txt"], [])
    assert (tmp_path / "3" / "log.txt").read_bytes() == b"one two"


def test_attempt_writes_nothing_once_a_newer_one_has_begun(depot, tmp_path):
    depot.begin([FIRST])
    send(depot, FIRST, b"first")
    depot.begin([SECOND])

    with pytest.raises(DeadAttempt, match="attempt 0 at trial 3 is over"):
        send(depot, FIRST, b"late")
    with pytest.raises(DeadAttempt):
        depot.commit(FIRST, [], ["3/artifacts/model"])
    with pytest.raises(DeadAttempt):
        depot.files(FIRST, "3")
    assert (tmp_path / "3" / "artifacts" / "model").read_bytes() == b"first"
    send(depot, SECOND, b"second")
    assert (tmp_path / "3" / "artifacts" / "model").read_bytes() == b"second"


def test_attempt_that_begins_elsewhere_is_known_by_what_it_asks(depot):
    depot.files(SECOND, "3")

    with pytest.raises(DeadAttempt):
        send(depot, FIRST, b"late")


def test_attempt_writes_nothing_after_its_end_and_its_pieces_go(depot, tmp_path):
    depot.begin([FIRST])
    depot.files(FIRST, "3")
    send(depot, FIRST, b"half", commit=False)
    depot.end(FIRST)

    assert list(tmp_path.rglob("*/*")) == [tmp_path / "3" / "artifacts"]
    with pytest.raises(DeadAttempt):
        send(depot, FIRST, b"late")
    depot.begin([SECOND])
    send(depot, SECOND, b"again")


def test_pieces_of_a_dead_driver_go_when_the_trial_goes_on(depot, tmp_path):
    (tmp_path / "3" / "artifacts" / f"model{PARTIAL}").write_bytes(b"half")
    (tmp_path / "3" / "artifacts" / "x.partial").write_bytes(b"the user's")

    assert depot.files(SECOND, "3") == {"artifacts/x.partial": 10}
    assert not (tmp_path / "3" / "artifacts" / f"model{PARTIAL}").exists()


def test_trials_do_not_keep_one_another_from_writing(depot):
    depot.begin([Attempt(4, 2)])
    depot.end(Attempt(4, 2))

    send(depot, FIRST, b"first")


def test_path_out_of_the_folder_is_refused(depot):
    with pytest.raises(PermissionError, match="not in the study's folder"):
        depot.write(FIRST, "../x", b"", is_first=True)
