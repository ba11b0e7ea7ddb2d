"""Studies on disk and in memory, and one MLflow store for all of them."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import optuna
import pytest

from runner.study.record import StudyRecord


@pytest.fixture
def memory_record(tmp_path: Path) -> Callable[[], StudyRecord]:
    """Makes records over Optuna's own storage in memory: the same calls, no disk."""
    numbers = count()

    def make() -> StudyRecord:
        study = optuna.create_study(direction="minimize", sampler=optuna.samplers.RandomSampler())
        return StudyRecord(tmp_path / "study" / str(next(numbers)), study)

    return make
