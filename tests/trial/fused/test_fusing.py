"""Heads trained together: each the trial that it is alone."""

from dataclasses import replace

import pytest
import torch

from runner.errors import TrialFailed, TrialOutOfMemory
from runner.experiment import TASK_FORMS, Experiment, Store, load_experiment
from runner.trial import Decision
from runner.trial.bench import Bench
from runner.trial.fused import obstacle_to_fusing
from runner.trial.fused.stack import HeadStack
from runner.trial.precision import Numerics
from tests.tiny_tasks import write_experiment
from tests.trial.fused.laboratory import CPU, Laboratory, Listener, metrics_of, require_equal

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


def test_head_on_features_equals_the_plain_trial_through_the_whole_model(laboratory, together):
    whole = Experiment.model_validate({**DIGITS, "reuse": {"features": "off"}})
    number = list(SETTINGS).index("all")

    alone = laboratory.alone(number, SETTINGS["all"], bench=Bench(whole, laboratory.store))

    assert alone[1].notes["reuse"] == "plain: reuse.features is off"
    require_equal(together["all"], alone, noise=1e-4)


def test_evaluation_is_that_of_the_best_epoch(laboratory, together):
    for number, (name, settings) in enumerate(SETTINGS.items()):
        ours = together[name].state.best_evaluation
        theirs = laboratory.alone(number, settings)[1].evaluation
        assert ours["confusion"] == theirs["confusion"]
        assert ours["metrics"]["accuracy"] == together[name].state.best_value
        assert [row["id"] for row in ours["worst"]] == [row["id"] for row in theirs["worst"]]


def test_decisions_end_their_own_trials_and_no_other(laboratory, together):
    answers = {(0, 1): Decision.STOP, (1, 2): Decision.PAUSE}
    listener = Listener(answers, wanted={2: Decision.TIME_OUT})

    endings = laboratory.fuse(laboratory.heads(list(SETTINGS.values())), channel=listener)

    left = {
        number: end for number, end in endings.items() if end.decision is not Decision.CONTINUE
    }
    assert {number: (end.decision, end.state.epoch) for number, end in left.items()} == {
        0: (Decision.STOP, 1),
        1: (Decision.PAUSE, 2),
        2: (Decision.TIME_OUT, 0),
    }
    assert left[0].state.best_evaluation["metrics"]["accuracy"] == left[0].state.best_value
    assert 2 not in listener.reports
    for number, name in enumerate(SETTINGS):
        if number in left:
            continue
        reports = listener.reports[number]
        assert reports == endings[number].state.reports
        for one, other in zip(
            metrics_of(reports), metrics_of(together[name].state.reports), strict=True
        ):
            assert one == pytest.approx(other, rel=1e-5, abs=1e-6)


def test_when_all_are_to_leave_the_epoch_is_not_finished(laboratory, monkeypatch):
    steps = []
    step = HeadStack.step
    monkeypatch.setattr(HeadStack, "step", lambda self, number: steps.append(step(self, number)))
    wanted = dict.fromkeys(range(3), Decision.PAUSE)

    endings = laboratory.fuse(laboratory.heads([{}] * 3), channel=Listener(wanted=wanted))

    assert {ending.decision for ending in endings.values()} == {Decision.PAUSE}
    assert steps == []


def test_ending_comes_as_soon_as_the_trial_is_over(laboratory):
    listener = Listener()
    epochs_of_others = []

    def note(ending):
        epochs_of_others.append(len(listener.reports[0]))

    laboratory.fuse(
        laboratory.heads([{"epochs": 3}, {"epochs": 1}, {"epochs": 2}]), channel=listener, end=note
    )

    assert epochs_of_others == [1, 2, 3]


def test_head_whose_loss_is_not_finite_fails_alone_with_the_plain_words(laboratory, together):
    wild = {"optimizer": "sgd", "learning_rate": 1e30, "warmup": 0.0, "batch_size": 16}
    calm = SETTINGS["sgd"]
    number = list(SETTINGS).index("sgd")
    with pytest.raises(TrialFailed, match=r"loss became (nan|inf) in epoch 1 .*1e\+30") as plain:
        laboratory.alone(0, wild)

    endings = laboratory.fuse(laboratory.heads([wild] + [calm] * number))

    assert str(endings[0].error) == str(plain.value)
    assert endings[0].state.reports == []
    assert endings[number].error is None
    alike = metrics_of(endings[number].state.reports), metrics_of(together["sgd"].state.reports)
    for one, other in zip(*alike, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)


def refuse_memory_above(monkeypatch: pytest.MonkeyPatch, heads: int, *, from_epoch: int) -> None:
    """A machine whose allocator refuses once more heads than that are in one stack."""
    begin = HeadStack.begin_epoch

    def begin_epoch(self: HeadStack) -> None:
        if len(self.runs) > heads and self.runs[0].state.epoch >= from_epoch:
            torch.empty(1 << 60, dtype=torch.uint8)
        begin(self)

    monkeypatch.setattr(HeadStack, "begin_epoch", begin_epoch)


def test_out_of_memory_halves_the_company_and_says_nothing_twice(laboratory, monkeypatch, caplog):
    settings = [{"learning_rate": rate, "epochs": 2} for rate in (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)]
    expected = laboratory.fuse(laboratory.heads(settings))
    listener = Listener()

    refuse_memory_above(monkeypatch, 2, from_epoch=1)
    endings = laboratory.fuse(laboratory.heads(settings), channel=listener)

    assert "out of memory with 5 heads together" in caplog.text
    assert "out of memory with 3 heads together" in caplog.text
    for number, ending in endings.items():
        assert [report.step for report in listener.reports[number]] == [1, 2]
        assert ending.error is None
        assert ending.state.reports == listener.reports[number]
        torch.testing.assert_close(
            ending.state.best_weights, expected[number].state.best_weights, rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(("most", "expected"), [(2**17, 1), (10, 2)])
def test_small_heads_are_trained_by_one_thread_and_the_others_come_back(
    laboratory, monkeypatch, most, expected
):
    monkeypatch.setattr("runner.trial.fused.fusing._SMALL_HEAD", most)
    seen = []
    monkeypatch.setattr(
        "runner.trial.fused.together.note_best",
        lambda *_, **__: seen.append(torch.get_num_threads()),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        laboratory.fuse(laboratory.heads([{"epochs": 1}, {"epochs": 1}]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [expected, expected]


def test_head_that_does_not_fit_by_itself_is_out_of_memory(laboratory, monkeypatch):
    refuse_memory_above(monkeypatch, 0, from_epoch=0)

    endings = laboratory.fuse(laboratory.heads([{}, {}]))

    for ending in endings.values():
        assert isinstance(ending.error, TrialOutOfMemory)
        assert str(ending.error).startswith("out of memory with one head by itself (")


def test_other_errors_are_not_taken_for_memory(laboratory):
    narrow = replace(laboratory.features, validation=laboratory.features.validation[:, :-1])

    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        laboratory.fuse(laboratory.heads([{}, {}]), features=narrow)


def test_limits_of_size_do_not_change_a_result(laboratory, together, monkeypatch):
    monkeypatch.setattr("runner.trial.fused.stack._BATCH_NUMBERS", 1)
    monkeypatch.setattr("runner.trial.fused.stack._OUTPUT_NUMBERS", 1)
    monkeypatch.setattr("runner.trial.fused.running._KEPT_OUTPUTS", 0)

    endings = laboratory.fuse(laboratory.heads(list(SETTINGS.values())))

    for number, name in enumerate(SETTINGS):
        ours, theirs = endings[number].state, together[name].state
        for one, other in zip(metrics_of(ours.reports), metrics_of(theirs.reports), strict=True):
            assert one == pytest.approx(other, rel=1e-5, abs=1e-6)
        assert ours.best_evaluation["confusion"] == theirs.best_evaluation["confusion"]


def test_epochs_take_the_fixed_views_in_turn_as_the_plain_trial_does(tmp_path, laboratory):
    asked = {**DIGITS, "train": {**DIGITS["train"], "augmentation": "light", "views": 2}}
    viewed = Laboratory(asked, laboratory.store, tmp_path)
    assert not torch.equal(viewed.features.train[0], viewed.features.train[1])

    endings = viewed.fuse(viewed.heads([{}, {"batch_size": 8}]))

    for number, params in enumerate([{}, {"batch_size": 8}]):
        require_equal(endings[number], viewed.alone(number, params))


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("text_classification", [{}, {"dropout": 0.2, "batch_size": 10}, {"ema": 0.9}]),
        ("text_multilabel", [{"loss": "focal"}, {"class_weights": "balanced"}, {"dropout": 0.1}]),
        ("text_regression", [{"loss": "huber"}, {"loss": "mae"}, {"huber_delta": 0.5}, {}]),
    ],
)
def test_heads_on_texts_of_unequal_length_equal_the_plain_trials(
    tmp_path, laboratory, task, settings
):
    path = write_experiment(tmp_path, TASK_FORMS[task])
    asked = load_experiment(str(path)).resolved()
    asked["train"].update(freeze_depth="max", epochs=2)
    texts = Laboratory(asked, laboratory.store, tmp_path)
    assert len(texts.features.train_targets) % 16

    endings = texts.fuse(texts.heads(settings))

    for number, params in enumerate(settings):
        alone = texts.alone(number, params)
        # A tiny encoder of random weights hardly tells texts apart.
        require_equal(endings[number], alone, noise=1e-4, are_ranks_sure=False)


def test_heads_in_bfloat16_equal_the_plain_trials_to_its_noise(tmp_path, laboratory):
    asked = {**DIGITS, "train": {**DIGITS["train"], "precision": "bfloat16"}}
    numerics = Numerics(torch.device("cpu"), torch.bfloat16, torch.contiguous_format)
    half = Laboratory(asked, laboratory.store, tmp_path, numerics)
    settings = [{}, {"dropout": 0.2}]

    endings = half.fuse(half.heads(settings))

    for number, params in enumerate(settings):
        metrics, _, _ = half.alone(number, params)
        for mine, theirs in zip(metrics_of(endings[number].state.reports), metrics, strict=True):
            assert mine["train/loss"] == pytest.approx(theirs["train/loss"], rel=1e-2)


def test_obstacle_to_fusing_names_what_one_trial_alone_needs(laboratory):
    recipe = laboratory.bench.experiment.recipe({})
    half = Numerics(torch.device("cpu"), torch.float16, torch.contiguous_format)
    assert obstacle_to_fusing(recipe, CPU) is None
    assert "float16 scales" in obstacle_to_fusing(recipe, half)
    mixed = laboratory.bench.experiment.recipe({"mixup": 0.2})
    assert "mixup mixes" in obstacle_to_fusing(mixed, CPU)
