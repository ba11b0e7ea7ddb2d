"""What is said of a trial before it runs: what its memory depends on, and what it is like."""

from typing import Any

import pytest

from runner.experiment import Experiment
from runner.trial import Demand, Facts
from runner.trial.sharing import hint_of

FACTS = Facts(max_freeze_depth=4)


def demand(task: str = "image_classification", **train: Any) -> Demand | None:
    """What a trial's memory depends on; without random views, so that frozen layers are shared."""
    is_text = task == "text_classification"
    experiment = Experiment.from_resolved(
        {
            "name": "cats",
            "task": task,
            "data": {"source": "bundled", "name": "docstrings" if is_text else "digits"},
            "model": {"name": "bert" if is_text else "resnet18"},
        }
    )
    return hint_of(experiment, train, FACTS).memory


def smaller_and_larger(**changes: tuple[Any, Any]) -> tuple[Demand, Demand]:
    low, high = (
        demand(**{name: values[end] for name, values in changes.items()}) for end in (0, 1)
    )
    assert low is not None
    assert high is not None
    return low, high


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": (16, 17)},
        {"freeze_depth": (3, 2)},
        {"optimizer": ("sgd", "adamw")},
        {"optimizer": ("sgd", "sgd"), "momentum": (0.0, 0.9)},
        {"ema": (None, 0.99)},
        {"mixup": (0.0, 0.2)},
        {"dropout": (0.0, 0.1)},
        {"drop_path": (0.0, 0.1)},
        {"augmentation": ("light", "strong")},
        {"task": ("text_classification",) * 2, "max_length": (128, 256)},
        {"task": ("text_classification",) * 2, "max_length": (256, None)},
        {"adapter": ("lora", "lora"), "lora_rank": (4, 8)},
        {"adapter": ("lora", "lora"), "lora_targets": ("attention", "linear")},
        {"adapter": ("lora", "lora"), "lora_dropout": (0.0, 0.1)},
    ],
    ids=str,
)
def test_demand_grows_with_what_takes_memory(changes: dict[str, tuple[Any, Any]]) -> None:
    low, high = smaller_and_larger(**changes)
    assert high.covers(low)
    assert not low.covers(high)


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": ("float32", "bfloat16")},
        {"channels_last": (True, False)},
        {"adapter": ("none", "lora")},
        {"compile": ("on", "off")},
        # Frozen layers on features: other features, and layers with outputs of another size.
        {
            "freeze_depth": (2, 2),
            "augmentation": ("none", "none"),
            "precision": ("auto", "float16"),
        },
        {"freeze_depth": (2, 3), "augmentation": ("none", "none")},
        {"freeze_depth": (2, 2), "augmentation": ("light", "none")},
        {"freeze_depth": (2, 2), "views": (2, 4)},
    ],
    ids=str,
)
def test_demands_of_unlike_trials_say_nothing_of_one_another(
    changes: dict[str, tuple[Any, Any]],
) -> None:
    low, high = smaller_and_larger(**changes)
    assert not high.covers(low)
    assert not low.covers(high)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": (1, 9)},
        {"learning_rate": (1e-3, 1e-2)},
        {"optimizer": ("adam", "adamw")},
        {"weight_decay": (0.0, 0.1)},
        {"label_smoothing": (0.0, 0.1)},
    ],
    ids=str,
)
def test_demand_does_not_depend_on_what_takes_no_memory(
    changes: dict[str, tuple[Any, Any]],
) -> None:
    low, high = smaller_and_larger(**changes)
    assert low == high


def test_demand_of_layers_that_thaw_is_not_known() -> None:
    assert demand(freeze_depth=2, unfreeze_every=1) is None
    assert demand(freeze_depth=0, unfreeze_every=1) is not None


def test_demand_of_heads_on_the_same_features_is_of_one_kind() -> None:
    heads = [demand(freeze_depth="max", augmentation="none", batch_size=n) for n in (8, 64)]
    low, high = heads
    assert low is not None
    assert high is not None
    assert high.covers(low)
