"""Population-based training from the command line, with and without a kill in its middle."""

import signal
from pathlib import Path

import pytest

from runner.experiment import Store
from runner.study import StudyRecord, lineage
from runner.tracking import connect, read_trials
from runner.trial import CHECKPOINT, INHERITED
from tests.end_to_end.conftest import Terminal, read_until, wait_until, workers_of

pytestmark = pytest.mark.slow

POPULATION = """
name: population
data: {source: bundled, name: digits, size: 20, image_size: 32}
model: {name: resnet10t, weights: none, arguments: {channels: [8, 8, 16, 16]}}
train: {epochs: 5, batch_size: 32}
search:
  sampler: pbt
  trials: 3
  segment: 2
  devices: [cpu]
  slots: 1
  space:
    learning_rate: {float: [1e-3, 1e-1], log: true}
    dropout: {float: [0.0, 0.4]}
"""


def begin(folder: Path) -> Terminal:
    folder.mkdir()
    (folder / "population.yaml").write_text(POPULATION)
    return Terminal(folder)


def record_of(terminal: Terminal) -> StudyRecord:
    return StudyRecord.read(terminal.folder / "store" / "studies" / "population" / "1")


def outcomes(terminal: Terminal) -> list[tuple]:
    """What must not depend on interruptions."""
    return [
        (t.number, t.state, dict(t.params), t.segment, t.value, t.best_epoch)
        for t in record_of(terminal).trials()
    ]


def test_killed_population_goes_on_to_what_it_would_have_been(tmp_path: Path) -> None:
    whole, killed = begin(tmp_path / "whole"), begin(tmp_path / "killed")
    code, output = whole.run("search", "population.yaml", "--plain")
    assert code == 0, output
    assert "9 of 9 trials (9 complete)" in output

    search = killed.start("search", "population.yaml", "--plain")
    read_until(search, lambda line: "trial 4 begins" in line)
    search.send_signal(signal.SIGKILL)
    search.wait()
    wait_until(lambda: not workers_of(killed.folder))
    code, output = killed.run("search", "population.yaml", "--plain")

    assert code == 0, output
    assert outcomes(killed) == outcomes(whole)
    trials = record_of(killed).trials()
    assert [trial.segment.end for trial in lineage(trials, 8)] == [2, 4, 5]
    assert "schedule of trial" in output
    assert not [path for name in (CHECKPOINT, INHERITED) for path in killed.folder.rglob(name)]

    # What it looks like from outside: epochs are counted on, and a champion can be promoted.
    tracking = connect(None, Store(whole.folder / "store"))
    runs = {run.number: run for run in read_trials(tracking, record_of(whole).study_id)}
    for number, epochs in ((0, [1, 2]), (4, [3, 4]), (8, [5])):
        points = tracking.metric_history(runs[number].run_id, "validation/accuracy")
        assert [point.step for point in points] == epochs
    code, output = whole.run("promote", "population")
    assert code == 0, output
