"""Heads trained together: each the trial that it is alone."""

import pytest

from runner.experiment import TASK_FORMS, Store, load_experiment
from runner.trial import Decision
from runner.trial.fused import HeadTrial
from tests.tiny_tasks import write_experiment
from tests.trial.fused.laboratory import Laboratory, Listener, metrics_of, require_equal

DIGITS = {
    "name": "heads",
    "data": {
        "source": "bundled",
        "name": "digits",
        "size": 12,
        "image_size": 32,
        "split": {"train": 0.6, "validation": 0.3, "test": 0.1},
    },
    "model": {
        "name": "resnet10t",
        "weights": "bundled:glyphs",
        "arguments": {"channels": [24, 48, 96, 192], "stem_width": 16},
    },
    "train": {
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 0.01,
        "freeze_depth": "max",
        "augmentation": "none",
    },
}
# One of each thing that a recipe can ask of a head, and some at once.
SETTINGS = {
    "adamw": {},
    "adam": {"optimizer": "adam", "weight_decay": 0.1, "momentum": 0.8},
    "decay": {"weight_decay": 0.5, "head_learning_rate": 0.03},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 0.01},
    "bare": {"optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.0, "schedule": "constant"},
    "linear": {"schedule": "linear", "warmup": 0.0},
    "batches": {"batch_size": 7, "epochs": 4, "warmup": 0.5},
    "smoothed": {"label_smoothing": 0.1, "class_weights": "balanced"},
    "focal": {"loss": "focal", "focal_gamma": 1.5, "label_smoothing": 0.05},
    "dropout": {"dropout": 0.3},
    "balanced": {"sampling": "balanced", "dropout": 0.5},
    "clip": {"grad_clip": 0.05},
    "average": {"ema": 0.9, "grad_clip": 0.5},
    "patience": {"early_stopping": 1, "learning_rate": 1e-12, "epochs": 6},
    "all": {
        "optimizer": "sgd",
        "batch_size": 8,
        "dropout": 0.2,
        "ema": 0.8,
        "grad_clip": 0.1,
        "label_smoothing": 0.1,
        "sampling": "balanced",
    },
}


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    folder = tmp_path_factory.mktemp("heads")
    return Laboratory(DIGITS, Store(folder / "store"), folder)


@pytest.fixture(scope="module")
def together(laboratory: Laboratory) -> dict:
    """All of the settings in one computation; endings by name."""
    endings = laboratory.fuse(laboratory.heads(list(SETTINGS.values())))
    return {name: endings[number] for number, name in enumerate(SETTINGS)}


@pytest.mark.parametrize("name", SETTINGS)
def test_head_among_many_equals_the_plain_trial(laboratory, together, name):
    number = list(SETTINGS).index(name)

    require_equal(together[name], laboratory.alone(number, SETTINGS[name]))


@pytest.mark.parametrize("name", SETTINGS)
def test_head_among_many_equals_the_head_by_itself(laboratory, together, name):
    number = list(SETTINGS).index(name)
    trial = laboratory.heads(list(SETTINGS.values()))[number]

    alone = laboratory.fuse([trial])[number].state

    among = together[name].state
    for one, other in zip(metrics_of(alone.reports), metrics_of(among.reports), strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)
    assert alone.best_evaluation["metrics"] == pytest.approx(
        among.best_evaluation["metrics"], rel=1e-5
    )
