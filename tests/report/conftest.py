"""Studies as other rooms leave them: an objective of one's own, and a regression of texts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from runner.experiment import Experiment, Store
from runner.study import EVALUATION, StudyRecord, trial_folder
from runner.study.sampling import Proposal
from runner.trial import Ending, Outcome

CUSTOM = {
    "name": "mine",
    "task": "custom",
    "description": "Routes of the vans.",
    "objective": "my_train.py:objective",
    "search": {
        "metric": "cost",
        "direction": "minimize",
        "sampler": "random",
        "space": {"steps": {"float": [1, 9]}},
    },
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, the one of this process."""
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path / "mlruns"))
    return Store.default()


def make_study(
    store: Store,
    asked: Mapping[str, Any],
    *,
    values: list[float],
    evaluation: Mapping[str, Any] | None = None,
) -> StudyRecord:
    """A study with one complete trial a value, each with the same evaluation."""
    experiment = Experiment.from_resolved(asked)
    folder = store.study(experiment.name) / "1"
    record = StudyRecord.open(folder, direction=experiment.direction)
    record.set_attribute("experiment", experiment.resolved())
    range_of = optuna.distributions.FloatDistribution(1.0, 9.0)
    for number, value in enumerate(values):
        steps = Proposal({"steps": 1.0 + number}, {"steps": range_of})
        record.add(steps, origin="sampler", seed=number)
        record.begin(number)
        record.close(number, Ending(Outcome.COMPLETE, value, 2, notes={"epochs": 3}))
        if evaluation is not None:
            path = trial_folder(folder, number) / EVALUATION
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(evaluation), encoding="utf-8")
    return record
