"""A trial on two devices gives what it gives on one, to floating-point noise."""

import json
from collections.abc import Callable

import pytest

from runner.experiment import TASK_FORMS, Experiment, load_experiment
from runner.trial import Decision, Outcome
from tests.tiny_tasks import write_experiment
from tests.trial.conftest import Recorder, small_experiment
from tests.trial.parallel.breaking import FITS, OUT_OF_MEMORY, STRAYED, WRONG
from tests.trial.parallel.conftest import ONE, TWO, Laboratory, require_near

pytestmark = pytest.mark.slow
Laboratories = Callable[[Experiment], Laboratory]


@pytest.fixture(scope="module")
def groups(laboratories: Laboratories) -> Laboratory:
    """A ResNet with group norm: no example of a batch sees another. 33 is not even."""
    asked = small_experiment(batch_size=33, optimizer="sgd", learning_rate=0.03).resolved()
    asked["model"]["arguments"]["norm_layer"] = "groupnorm1"
    return laboratories(Experiment.model_validate(asked))


@pytest.fixture(scope="module")
def batches(laboratories: Laboratories) -> Laboratory:
    """A ResNet with batch norm."""
    asked = small_experiment(batch_size=33, optimizer="sgd", learning_rate=0.03).resolved()
    asked["model"] = {
        "name": "resnet10t",
        "weights": "bundled:glyphs",
        "arguments": {"channels": [24, 48, 96, 192], "stem_width": 16},
    }
    return laboratories(Experiment.model_validate(asked))


@pytest.fixture(scope="module")
def texts(laboratories: Laboratories, tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """An encoder without dropout that tags words: sentences of unequal weight in the loss."""
    folder = tmp_path_factory.mktemp("texts")
    path = write_experiment(folder, TASK_FORMS["token_classification"])
    configuration = folder / "encoder" / "config.json"
    values = json.loads(configuration.read_text())
    values |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    configuration.write_text(json.dumps(values))
    return laboratories(load_experiment(str(path)))


@pytest.mark.parametrize(
    "params",
    [
        {"augmentation": "medium", "mixup": 0.4, "ema": 0.9, "grad_clip": 1.0},
        {"freeze_depth": 3, "unfreeze_every": 1, "layer_decay": 0.5, "augmentation": "none"},
        # The second device has none of any batch.
        {"batch_size": 1, "epochs": 1},
    ],
)
def test_model_without_batch_norm(groups: Laboratory, params) -> None:
    one, two = groups.train(ONE, **params), groups.train(TWO, **params)
    require_near(one, two)
    assert two.ending.notes["data_parallel"] == "2 devices"
    assert "data_parallel" not in one.ending.notes


def test_second_device_begins_with_the_weights_of_the_first(groups: Laboratory) -> None:
    require_near(groups.train(ONE, seed=STRAYED), groups.train(TWO, seed=STRAYED))


def test_pieces_of_shares(groups: Laboratory) -> None:
    """Seventeen of 33 examples are taken in three pieces of at most eight."""
    before = groups.train(TWO, epochs=1) and groups.helper
    one = groups.train(ONE, seed=OUT_OF_MEMORY)
    two = groups.train(TWO, seed=OUT_OF_MEMORY)
    require_near(one, two)
    assert one.ending.notes["micro_batch"] == 33
    assert (two.ending.notes["micro_batch"], two.ending.notes["micro_batches"]) == (FITS, 3)
    assert groups.helper != before


@pytest.mark.parametrize(("first", "then"), [(TWO, TWO), (TWO, ONE), (ONE, TWO)])
def test_trial_goes_on_with_as_many_devices_or_another_number(
    groups: Laboratory, first, then
) -> None:
    params = {"epochs": 3, "augmentation": "light", "ema": 0.9, "momentum": 0.9}
    whole = groups.train(ONE, **params)
    paused = groups.train(first, recorder=Recorder({1: Decision.PAUSE}), **params)
    assert paused.ending.outcome is Outcome.PAUSED
    rest = groups.train(then, folder=paused.folder, **params)
    require_near(whole, rest)


def test_helper_stays_for_the_next_trial_after_one_that_was_pruned(groups: Laboratory) -> None:
    whole = groups.train(TWO)
    helper = groups.helper
    pruned = groups.train(TWO, recorder=Recorder({1: Decision.STOP}), epochs=5)
    assert pruned.ending.outcome is Outcome.PRUNED
    assert len(pruned.recorder.reports) == 1
    again = groups.train(TWO)
    assert groups.helper == helper
    assert again.recorder.metrics == whole.recorder.metrics


def test_trial_leaves_between_two_batches(groups: Laboratory) -> None:
    class Leaving(Recorder):
        asked = 0

        def decision(self, key):
            self.asked += 1
            return Decision.PAUSE if self.asked > 8 else Decision.CONTINUE

    leaving = groups.train(TWO, recorder=Leaving(), epochs=5)
    helper = groups.helper
    assert leaving.ending.outcome is Outcome.PAUSED
    assert groups.train(TWO, epochs=1).ending.outcome is Outcome.COMPLETE
    assert groups.helper == helper


def test_patience_that_is_over_ends_the_helper_too(groups: Laboratory) -> None:
    params = {"epochs": 6, "learning_rate": 1e-12, "early_stopping": 1, "augmentation": "none"}
    one, two = groups.train(ONE, **params), groups.train(TWO, **params)
    assert len(two.recorder.reports) == len(one.recorder.reports) == 2
    assert two.ending.outcome is Outcome.COMPLETE


def test_error_on_the_second_device_fails_the_trial_with_its_words(groups: Laboratory) -> None:
    wrong = groups.train(TWO, seed=WRONG)
    assert wrong.ending.outcome is Outcome.FAILED
    assert wrong.ending.reason == (
        "TrialFailed: on device 2 of 2: ValueError: the second device has had enough"
    )
    assert "breaking.py" in wrong.ending.traceback


def test_frozen_batch_norm(batches: Laboratory) -> None:
    """On features of the frozen layers, and through the whole model."""
    params = {"freeze_depth": 4, "learning_rate": 0.003}
    for augmentation, route in (("none", "features at layer group 4 of 5"), ("light", "plain: ")):
        one = batches.train(ONE, augmentation=augmentation, **params)
        two = batches.train(TWO, augmentation=augmentation, **params)
        assert two.ending.notes["reuse"].startswith(route)
        # The last group is thawed and has batch norm: on the CPU each device has its own.
        assert two.ending.notes["data_parallel"] == (
            "2 devices; batch norm over each device's share of the batch"
        )
        assert one.recorder.metrics != two.recorder.metrics
    frozen = {"freeze_depth": "max", "augmentation": "light", "learning_rate": 0.003}
    one, two = batches.train(ONE, **frozen), batches.train(TWO, **frozen)
    assert two.ending.notes["data_parallel"] == "2 devices"
    require_near(one, two)


def test_head_alone_is_trained_on_one_device(batches: Laboratory) -> None:
    params = {"freeze_depth": "max", "augmentation": "none"}
    one, two = batches.train(ONE, **params), batches.train(TWO, **params)
    assert two.ending.notes["data_parallel"] == (
        "1 device of 2: only the head trains, on shared features"
    )
    assert two.recorder.metrics == one.recorder.metrics


@pytest.mark.parametrize(
    ("depth", "reuse"),
    [(0, "plain: no layer is frozen"), (2, "features at layer group 2 of 3")],
)
def test_texts_with_words_to_tag(texts: Laboratory, depth: int, reuse: str) -> None:
    params = {"epochs": 2, "batch_size": 15, "optimizer": "sgd", "class_weights": "balanced"}
    params |= {"freeze_depth": depth}
    one, two = texts.train(ONE, **params), texts.train(TWO, **params)
    assert two.ending.notes["reuse"] == reuse
    require_near(one, two)
    assert two.ending.notes["data_parallel"] == "2 devices"


def test_loss_that_is_no_number_fails_as_on_one_device(texts: Laboratory) -> None:
    params = {"learning_rate": 1e30, "warmup": 0.0, "optimizer": "sgd"}
    before = texts.train(TWO, epochs=1) and texts.helper
    one, two = texts.train(ONE, **params), texts.train(TWO, **params)
    assert one.ending.outcome is two.ending.outcome is Outcome.DIVERGED
    assert "loss became" in two.ending.reason
    assert one.ending.reason == two.ending.reason
    assert texts.train(TWO, epochs=1).ending.outcome is Outcome.COMPLETE
    assert texts.helper == before
