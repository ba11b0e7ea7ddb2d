"""What a trial keeps: all of its model, or the head alone where nothing else has changed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from runner import models
from runner.experiment import Experiment
from runner.trial.bench import Bench
from runner.trial.checkpoint import WEIGHTS
from runner.trial.finetune import fine_tune
from tests.trial.conftest import Recorder, small_experiment


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the small model, random as they are."""
    model = models.build_model(
        "resnet10t",
        num_classes=10,
        weights=None,
        arguments={"channels": [8, 8, 16, 16]},
        dropout=0.0,
        drop_path=0.0,
        seed=1,
    )
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file({n: t for n, t in model.state_dict().items() if not n.startswith("fc.")}, path)
    return path


def bench_of(store, weights: Path, **train: object) -> Bench:
    asked = small_experiment(epochs=1, **train).resolved()
    asked["model"]["weights"] = str(weights)
    return Bench(Experiment.from_resolved(asked), store)


def test_head_only_trial_keeps_its_head_and_is_whole_again_on_the_weights(
    store, pretrained, spec, lease
):
    bench = bench_of(store, pretrained, freeze_depth="max")
    recipe = bench.experiment.recipe({})

    fine_tune(bench, spec, lease, Recorder())

    kept = load_file(Path(spec.folder) / WEIGHTS)
    assert set(kept) == {"fc.weight", "fc.bias"}
    state = bench.build_kept(recipe, spec.seed, kept).state_dict()
    assert torch.equal(state["fc.weight"], kept["fc.weight"])
    given = load_file(pretrained)
    assert all(torch.equal(state[name], given[name]) for name in given)


@pytest.mark.parametrize(
    "train", [{"freeze_depth": 2}, {"freeze_depth": "max", "unfreeze_every": 1}]
)
def test_trial_that_trains_more_keeps_everything(store, pretrained, spec, lease, train):
    bench = bench_of(store, pretrained, **train)

    fine_tune(bench, spec, lease, Recorder())

    kept = load_file(Path(spec.folder) / WEIGHTS)
    assert kept.keys() == bench.build(bench.experiment.recipe({}), 0).model.state_dict().keys()


def test_save_kept_writes_the_whole_model_of_a_head_only_trial(
    store, pretrained, spec, lease, tmp_path
):
    bench = bench_of(store, pretrained, freeze_depth="max")
    recipe = bench.experiment.recipe({})
    fine_tune(bench, spec, lease, Recorder())

    bench.save_kept(recipe, spec, tmp_path / "model.safetensors")
    bench.save_kept(recipe, spec, tmp_path / "half.safetensors", is_half=True)

    whole, half = (load_file(tmp_path / f"{name}.safetensors") for name in ("model", "half"))
    model = bench.build(recipe, 0).model
    model.load_state_dict(whole)
    assert half["fc.weight"].dtype is torch.float16
    assert half["bn1.num_batches_tracked"].dtype is torch.int64


def test_whole_weights_of_an_earlier_version_still_fit_a_head_only_trial(store, pretrained, spec):
    bench = bench_of(store, pretrained, freeze_depth="max")
    recipe = bench.experiment.recipe({})
    whole = dict(bench.build(recipe, 5).model.state_dict())

    state = bench.build_kept(recipe, spec.seed, whole).state_dict()

    assert all(torch.equal(state[name], whole[name]) for name in whole)
