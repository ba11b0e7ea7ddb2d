"""What jobs leave on machines that do not see the study's folder."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from runner.backends.ray.depot import Address
from runner.backends.ray.luggage import Luggage
from runner.trial import Attempt, Job, TrialSpec
from tests.objectives import ROOT

KILLED = """
import os, signal
from runner.backends.ray.luggage import _locked_folder

with _locked_folder() as folder:
    (folder / "0").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def packed() -> Luggage:
    """Of a job whose trial has no files yet."""
    spec = TrialSpec(Attempt(0, 0), {}, 1, "/study/trials/0")
    return Luggage(Address("/study/trials", "mark", depot=None), Job((spec,)))


def left(temporary: Path) -> int:
    return len(list(temporary.iterdir()))


def test_folder_of_a_job_that_was_killed_goes_with_the_next_and_others_stay(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where nobody sweeps; and where the lock is not looked at, by the folder in use."""
    monkeypatch.setattr(Luggage, "_fetch", lambda *_: None)
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    subprocess.run([sys.executable, "-c", KILLED], env=environment, check=False)
    assert left(temporary) == 1
    first, second = packed(), packed()
    assert left(temporary) == 2
    assert Path(first.job.trials[0].folder).is_dir()
    for luggage in (first, second, second):
        luggage.close()
    assert left(temporary) == 0


def test_folder_of_a_job_whose_files_do_not_come_goes(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where only `close` removes it."""

    def refuse(*_: object) -> None:
        raise ConnectionError("the driver's machine has gone")

    monkeypatch.setattr(Luggage, "_fetch", refuse)
    with pytest.raises(ConnectionError):
        packed()
    assert left(temporary) == 0
