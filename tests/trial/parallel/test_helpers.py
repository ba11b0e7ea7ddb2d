"""A helper that is waited for: whether it is known to live."""

import signal
import time
from pathlib import Path

import pytest

from runner.errors import TrialLost
from runner.experiment import Store
from runner.heartbeat import pulse
from runner.trial import Attempt, FineTune
from runner.trial.parallel import group
from runner.trial.parallel.helpers import Helpers
from runner.trial.parallel.messages import Said
from runner.trial.standalone import Printed
from tests.objectives import ROOT
from tests.trial.conftest import small_experiment
from tests.trial.parallel.conftest import TWO


class Enough(Exception):
    """It has been waited for long enough."""


def beats_while_waiting(helpers: Helpers, *, seconds: float, most: int) -> int:
    """Signs of life of a worker that waits for its helpers so long, or until there are so many."""
    before, until = pulse.beats, time.monotonic() + seconds

    def ask() -> None:
        pulse.beat()
        if time.monotonic() > until or pulse.beats - before >= most:
            raise Enough

    with pytest.raises(Enough):
        helpers._await(Said.PREPARED, ask)
    return pulse.beats - before


def test_helper_that_starts_is_a_sign_of_life_and_one_that_is_stopped_is_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where the asking counts (`pulse.unnoticed`), or what a helper says does not."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    helpers = Helpers(FineTune(small_experiment(), store), TWO)
    try:
        assert beats_while_waiting(helpers, seconds=60.0, most=1) == 1
        helpers._all[0].process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        assert beats_while_waiting(helpers, seconds=1.5, most=1) == 0
    finally:
        helpers.end()


def test_trial_that_is_printed_shows_signs_of_life(tmp_path: Path) -> None:
    """A helper prepares its trial like this. Fails where asking is no beat."""
    before = pulse.beats
    Printed(print).decision(Attempt(0, 0))
    assert pulse.beats == before + 1


def test_rank_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where ranks wait for it as long as for one another's gradients."""
    monkeypatch.setattr(group, "JOIN_S", 0.5)
    started_s = time.monotonic()
    with pytest.raises(TrialLost, match="has not come"):
        group.join_group(tmp_path / "meeting", rank=0, size=2, device="cpu")
    assert time.monotonic() - started_s < 0.1 * group.TIMEOUT_S
