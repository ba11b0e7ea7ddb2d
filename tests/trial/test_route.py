"""Shared features give what the whole model gives, and are used only where that holds."""

import json
from pathlib import Path

import PIL
import pytest
import torch
from safetensors.torch import load_file

from runner.experiment import TASK_FORMS, Experiment, Store, load_experiment
from runner.trial import Attempt, Decision, FineTune, Lease, Outcome, TrialSpec, making
from runner.trial.bench import Bench
from runner.trial.checkpoint import WEIGHTS
from runner.trial.finetune import fine_tune
from runner.trial.making import FeatureMaker
from runner.trial.precision import choose_numerics
from tests.tiny_tasks import write_experiment
from tests.trial.conftest import Recorder


@pytest.fixture(scope="module")
def glyphs() -> dict:
    return {
        "name": "shared",
        "data": {"source": "bundled", "name": "digits", "size": 12, "image_size": 32},
        "model": {
            "name": "resnet10t",
            "weights": "bundled:glyphs",
            "arguments": {"channels": [24, 48, 96, 192], "stem_width": 16},
        },
        "train": {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "augmentation": "none"},
    }


def trained(experiment: Experiment, store: Store, folder: Path):
    """Reports, ending and kept weights of a trial."""
    folder.mkdir(parents=True)
    spec = TrialSpec(Attempt(0, 0), {}, seed=7, folder=str(folder))
    recorder = Recorder()
    ending = fine_tune(Bench(experiment, store), spec, Lease(slot=0), recorder)
    assert ending.outcome is Outcome.COMPLETE
    return recorder.metrics, ending, load_file(folder / WEIGHTS)


def both(asked: dict, store: Store, folder: Path, **train):
    """The same trial with features and without."""
    asked = {**asked, "train": {**asked["train"], **train}}
    shared = Experiment.model_validate(asked)
    plain = Experiment.model_validate({**asked, "reuse": {"features": "off"}})
    return trained(shared, store, folder / "a"), trained(plain, store, folder / "b")


def require_equal(one, other) -> None:
    for ours, theirs in zip(one[0], other[0], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    assert one[2].keys() == other[2].keys()
    assert all(torch.allclose(one[2][n], other[2][n], rtol=1e-3, atol=1e-5) for n in one[2])


@pytest.mark.parametrize(
    ("train", "note"),
    [
        ({"freeze_depth": "max"}, "features at the head"),
        ({"freeze_depth": 3}, "features at layer group 3 of 5"),
        ({"freeze_depth": 2, "dropout": 0.3, "ema": 0.9}, "features at layer group 2 of 5"),
        (
            {"freeze_depth": "max", "augmentation": "light", "views": 2, "epochs": 3},
            "features at the head, 2 views",
        ),
    ],
)
def test_trial_on_features_of_images_equals_the_plain_one(glyphs, store, tmp_path, train, note):
    shared, plain = both(glyphs, store, tmp_path, **train)

    require_equal(shared, plain)
    assert shared[1].notes["reuse"] == note
    assert plain[1].notes["reuse"] == "plain: reuse.features is off"


@pytest.mark.parametrize(
    ("task", "train", "note"),
    [
        ("text_classification", {"freeze_depth": "max"}, "features at the head"),
        ("text_classification", {"freeze_depth": 1}, "features at layer group 1 of 4"),
        ("text_multilabel", {"freeze_depth": 2, "dropout": 0.2}, "features at layer group 2 of 4"),
        ("text_regression", {"freeze_depth": "max", "max_length": 6}, "features at the head"),
        ("token_classification", {"freeze_depth": 2}, "features at layer group 2 of 3"),
        ("token_classification", {"freeze_depth": "max"}, "features at the head"),
    ],
)
def test_trial_on_features_of_texts_equals_the_plain_one(store, tmp_path, task, train, note):
    path = write_experiment(tmp_path, TASK_FORMS[task])
    asked = load_experiment(str(path)).resolved()

    shared, plain = both(asked, store, tmp_path, **train)

    require_equal(shared, plain)
    assert shared[1].notes["reuse"] == note


def test_trial_of_texts_that_are_padded_in_front_takes_the_plain_way(store, tmp_path):
    """Fails where the tokenizer is not asked: features would lie where the mask has padding."""
    path = write_experiment(tmp_path, TASK_FORMS["text_classification"])
    asked = load_experiment(str(path)).resolved()
    settings = next(tmp_path.rglob("tokenizer_config.json"))
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "padding_side": "left"}))

    shared, plain = both(asked, store, tmp_path, freeze_depth=1)

    require_equal(shared, plain)
    assert shared[1].notes["reuse"].startswith("plain: texts are padded in front")


@pytest.mark.parametrize(
    ("train", "model", "why"),
    [
        ({"freeze_depth": 0}, {}, "no layer is frozen"),
        (
            {"freeze_depth": 2, "augmentation": "light"},
            {},
            "every epoch has new random views; set train.views to share them",
        ),
        ({"freeze_depth": 2, "mixup": 0.2}, {}, "mixup mixes images before the frozen layers"),
        ({"freeze_depth": 2, "unfreeze_every": 1}, {}, "frozen layers thaw during the trial"),
        (
            {"freeze_depth": 2},
            {"weights": "none"},
            "the frozen layers are random, and each trial's own",
        ),
    ],
)
def test_trial_whose_frozen_outputs_are_its_own_takes_the_plain_way(
    glyphs, store, tmp_path, train, model, why
):
    asked = {**glyphs, "train": {**glyphs["train"], **train, "epochs": 1}}
    asked["model"] = {**glyphs["model"], **model}

    _, ending, _ = trained(Experiment.model_validate(asked), store, tmp_path / "a")

    assert ending.notes["reuse"] == f"plain: {why}"


def test_trial_whose_features_do_not_fit_takes_the_plain_way(glyphs, store, tmp_path):
    asked = {**glyphs, "train": {**glyphs["train"], "freeze_depth": 1}, "reuse": {"gib": 1e-6}}

    _, ending, _ = trained(Experiment.model_validate(asked), store, tmp_path / "a")

    assert ending.notes["reuse"] == "plain: features need 0.0 GiB, and reuse.gib is 1e-06"


def test_one_pass_makes_every_cut_that_trials_of_the_space_may_want(glyphs, tmp_path):
    asked = {**glyphs, "search": {"space": {"freeze_depth": {"int": [0, "max"]}}}}
    asked["train"] = {**glyphs["train"], "freeze_depth": 4, "epochs": 1}
    store = Store(tmp_path / "store")

    trained(Experiment.model_validate(asked), store, tmp_path / "a")
    made = sorted(store.cache.glob("features/*.features"))

    assert len(made) == 2 * 5  # of the training and the validation part


def test_trial_told_to_leave_while_features_are_made_leaves(glyphs, tmp_path):
    class Pausing(Recorder):
        def decision(self, key):
            return Decision.PAUSE

    experiment = Experiment.model_validate(
        {**glyphs, "train": {**glyphs["train"], "freeze_depth": "max"}}
    )
    store, folder = Store(tmp_path / "store"), tmp_path / "a"
    folder.mkdir()
    spec = TrialSpec(Attempt(0, 0), {}, seed=7, folder=str(folder))

    ending = fine_tune(Bench(experiment, store), spec, Lease(slot=0), Pausing())

    assert ending.outcome is Outcome.PAUSED
    assert not list(store.cache.glob("features/*.features"))


@pytest.mark.parametrize(
    ("train", "line"),
    [
        (
            {"freeze_depth": "max"},
            "shared work: outputs of frozen layers at the head (of 5 layer groups), 0.1 MiB of "
            "8 GiB; computed once by 100 + 10 forward passes",
        ),
        (
            {"freeze_depth": "max", "augmentation": "light", "views": 3},
            "shared work: outputs of frozen layers at the head (of 5 layer groups), 0.2 MiB of "
            "8 GiB; computed once by 100 x 3 views + 10 forward passes",
        ),
        (
            {"freeze_depth": 2, "augmentation": "light"},
            "shared work: no frozen layers, where trials are as `train` has them: every epoch has "
            "new random views; set train.views to share them",
        ),
    ],
)
def test_inspection_says_what_is_shared_and_what_it_takes(glyphs, store, train, line):
    asked = {**glyphs, "train": {**glyphs["train"], **train}}

    facts = FineTune(Experiment.model_validate(asked), store).inspect(Lease(slot=0))

    assert facts.details["lines"][-1] == line


def test_features_are_kept_apart_by_what_prepared_the_examples(glyphs, store, monkeypatch):
    """Fails where the key leaves one out: trials would go on with pixels of another decoder."""
    bench = Bench(Experiment.model_validate(glyphs), store)
    recipe = bench.experiment.recipe({})
    built = bench.build(recipe, 7)
    numerics = choose_numerics(
        built.model, "cpu", precision="float32", channels_last=recipe.channels_last
    )

    def key() -> str:
        maker = FeatureMaker(bench, recipe, built, numerics, threads=1)
        return json.dumps(maker._key(bench.train, None), sort_keys=True, default=str)

    keys = [key(), key()]
    monkeypatch.setattr(PIL, "__version__", "99.0")
    keys.append(key())
    monkeypatch.setattr(making, "__version__", "99.0")
    keys.append(key())

    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
