"""Several trials on one device with real worker processes, a file standing for its memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.backends import LocalBackend
from runner.experiment import ChoiceParameter, FixedParameter, FloatParameter, Space
from runner.study import TrialRecord
from runner.study.waves import WaveRules
from runner.trial import Lease, Share
from tests.crowded import Began, Crowded, Ledger, hint_of
from tests.objectives import ROOT
from tests.study.conftest import Searching

RULES = WaveRules(hint_of=hint_of)
# Trials of size 8 need 4 GiB. Those of size 7 are thought to need no more, and need 13.
SMALL: Mapping[str, Any] = {"size": 8, "gib": 4.0}
LARGE: Mapping[str, Any] = {"size": 7, "gib": 13.0}
SPACE = Space(
    {
        "size": ChoiceParameter((8, 7)),
        "gib": ChoiceParameter((4.0, 13.0)),
        "value": FloatParameter(0.0, 0.9),
        # Longer than it takes to start a worker.
        "seconds": FixedParameter(2.0),
    }
)
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _workers_find_the_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def search(
    searching: Searching, folder: Path, *, gib: float = 20.0, **settings: Any
) -> tuple[list[TrialRecord], list[Began], int]:
    """A search on four leases of one device: its trials, what began when, and most workers."""
    folder.mkdir(exist_ok=True)
    ledger = Ledger(folder / "device.json")
    share = Share("GPU-a", 4, 20.0)
    leases = [Lease(slot, share=share) for slot in range(4)]
    with searching(SPACE, name=folder.name, waves=RULES, **settings) as opened:
        backend = LocalBackend(Crowded(str(folder / "device.json"), gib), leases, logs=folder)
        try:
            assert len(list(folder.glob("worker-*.log"))) == 1
            backend.run(opened.feed)
            workers = len(list(folder.glob("worker-*.log")))
        finally:
            backend.close()
        return opened.record.trials(), ledger.began, workers


def test_workers_of_further_leases_start_when_there_is_a_job_for_them(
    searching: Searching, tmp_path: Path
) -> None:
    first = (SMALL,) * 6
    trials, began, workers = search(searching, tmp_path / "fits", trials=6, first=first)
    assert [trial.state for trial in trials] == ["complete"] * 6
    assert [trial.attempt for trial in trials] == [0] * 6
    assert began[0] == Began(0, 0, is_packed=False, others=0, used_gib=5.0)
    assert all(each.is_packed for each in began[1:])
    assert max(each.used_gib for each in began) == 20.0
    assert workers == 4
    assert max(trial.notes["packed_beside"] for trial in trials) == 3


def test_search_whose_trials_never_fit_has_one_worker(
    searching: Searching, tmp_path: Path
) -> None:
    first = ({"size": 8, "gib": 13.0},) * 3
    trials, began, workers = search(searching, tmp_path / "never", trials=3, first=first)
    assert [trial.state for trial in trials] == ["complete"] * 3
    assert [each.others for each in began] == [0] * 3
    assert workers == 1


def test_trial_that_runs_out_beside_others_runs_again_with_no_other_process_there(
    searching: Searching, tmp_path: Path
) -> None:
    first = (SMALL, LARGE, LARGE, SMALL)
    trials, began, _ = search(searching, tmp_path / "short", trials=4, first=first, max_failures=1)
    assert [trial.state for trial in trials] == ["complete"] * 4
    again = {trial.number for trial in trials if trial.attempt > 0}
    assert again
    assert again <= {2, 3}
    for number in again:
        assert trials[number].is_exclusive
        lost, last = (each for each in began if each.trial == number)
        assert lost.is_packed
        assert lost.used_gib > 20.0
        assert not last.is_packed
        assert last.others == 0
        assert trials[number].notes["packed_beside"] == 0


def test_proposals_are_the_same_where_packed_trials_run_out_and_where_there_is_room(
    searching: Searching, tmp_path: Path
) -> None:
    def params(name: str, gib: float) -> tuple[list[Mapping[str, Any]], set[int]]:
        first = (SMALL, LARGE, LARGE)
        trials, _, _ = search(searching, tmp_path / name, gib=gib, trials=8, first=first)
        assert [trial.state for trial in trials] == ["complete"] * 8
        return [trial.params for trial in trials], {t.number for t in trials if t.attempt}

    short, short_again = params("short", 20.0)
    roomy, roomy_again = params("roomy", 200.0)
    assert short_again
    assert not roomy_again
    assert short == roomy
