"""The training loop, on real digits with a real, very small ResNet."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from runner.errors import TrialFailed
from runner.heartbeat import pulse
from runner.trial import Decision, Outcome
from runner.trial.bench import Bench, predict
from runner.trial.checkpoint import CHECKPOINT, WEIGHTS, load_checkpoint
from runner.trial.finetune import fine_tune
from runner.trial.images import PIXELS
from tests.trial.conftest import Recorder, small_experiment


@pytest.fixture(scope="module")
def benches(store):
    made = {}

    def bench(**train):
        key = json.dumps(train, sort_keys=True)
        if key not in made:
            made[key] = Bench(small_experiment(**train), store)
        return made[key]

    return bench


def test_training_on_digits_beats_guessing(benches, spec, lease):
    recorder = Recorder()

    ending = fine_tune(benches(epochs=8), spec, lease, recorder)

    assert ending.outcome is Outcome.COMPLETE
    assert ending.value > 0.5  # ten classes: guessing gives 0.1
    assert [report.step for report in recorder.reports] == list(range(1, 9))


def test_value_is_the_best_epochs_and_its_weights_are_kept(benches, spec, lease):
    recorder = Recorder()
    bench = benches(epochs=8)

    ending = fine_tune(bench, spec, lease, recorder)

    values = [metrics["validation/accuracy"] for metrics in recorder.metrics]
    assert ending.value == max(values)
    losses = [metrics["validation/loss"] for metrics in recorder.metrics]
    best = min(range(8), key=lambda number: (-values[number], losses[number]))
    assert ending.best_step == best + 1
    assert ending.evaluation["metrics"]["accuracy"] == ending.value
    weights = load_file(Path(spec.folder) / WEIGHTS)
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_same_seed_twice_gives_the_same_bits(benches, spec, lease, tmp_path):
    settings = {"mixup": 0.2, "ema": 0.9, "dropout": 0.1, "augmentation": "medium"}
    first, second = Recorder(), Recorder()

    fine_tune(benches(**settings), spec, lease, first)
    other = replace(spec, folder=str(tmp_path))
    fine_tune(benches(**settings), other, lease, second)

    assert first.metrics == second.metrics
    ours, theirs = load_file(Path(spec.folder) / WEIGHTS), load_file(tmp_path / WEIGHTS)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_other_seed_gives_other_weights(benches, spec, lease, tmp_path):
    fine_tune(benches(), spec, lease, Recorder())
    fine_tune(benches(), replace(spec, seed=8, folder=str(tmp_path)), lease, Recorder())

    ours, theirs = load_file(Path(spec.folder) / WEIGHTS), load_file(tmp_path / WEIGHTS)
    assert not all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_resuming_after_any_epoch_equals_an_uninterrupted_trial(
    benches, spec, lease, tmp_path, monkeypatch, optimizer
):
    """Fails where the checkpoint is not loaded.
    Fails where it begins again at epoch 0, which gives the same figures.
    """
    # Every trial checkpoints here, however short.
    monkeypatch.setattr("runner.trial.training.CHECKPOINT_FROM_S", 0.0)
    bench = benches(epochs=3, optimizer=optimizer, ema=0.9, mixup=0.2, dropout=0.1)
    whole = Recorder()
    expected = fine_tune(bench, replace(spec, folder=str(tmp_path)), lease, whole)
    for stop_after in (1, 2):
        begun = Recorder({stop_after: Decision.PAUSE})
        paused = fine_tune(bench, spec, lease, begun)
        assert paused.outcome is Outcome.PAUSED
        assert load_checkpoint(Path(spec.folder)).epoch == stop_after

        continued = Recorder()
        ending = fine_tune(bench, spec, lease, continued)

        assert continued.metrics == whole.metrics
        # To the time stamp: what was trained before is not trained again.
        assert continued.reports[:stop_after] == begun.reports
        assert (ending.value, ending.best_step) == (expected.value, expected.best_step)
        assert not (Path(spec.folder) / CHECKPOINT).exists()
        ours, theirs = load_file(Path(spec.folder) / WEIGHTS), load_file(tmp_path / WEIGHTS)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("asked", "from_s", "is_kept"),
    [("every", 60.0, True), ("auto", 60.0, False), ("auto", 0.0, True), ("off", 0.0, False)],
)
def test_state_is_kept_as_the_recipe_says(
    benches, spec, lease, monkeypatch, asked, from_s, is_kept
):
    monkeypatch.setattr("runner.trial.training.CHECKPOINT_FROM_S", from_s)
    bench = benches(epochs=3, checkpoint=asked)
    fine_tune(bench, spec, lease, Recorder({1: Decision.PAUSE}))
    assert (Path(spec.folder) / CHECKPOINT).exists() is is_kept


def test_replayed_reports_keep_their_time_stamps(benches, spec, lease, monkeypatch):
    """Fails where the checkpoint's reports are not sent again."""
    monkeypatch.setattr("runner.trial.training.CHECKPOINT_FROM_S", 0.0)
    before, after = Recorder({1: Decision.PAUSE}), Recorder()

    fine_tune(benches(), spec, lease, before)
    fine_tune(benches(), spec, lease, after)

    assert after.reports[0] == before.reports[0]


def test_short_trial_leaves_no_checkpoint_when_paused(benches, spec, lease):
    ending = fine_tune(benches(), spec, lease, Recorder({1: Decision.PAUSE}))

    assert ending.outcome is Outcome.PAUSED
    assert not (Path(spec.folder) / CHECKPOINT).exists()


def test_stop_ends_pruned_without_weights(benches, spec, lease):
    recorder = Recorder({1: Decision.STOP})

    ending = fine_tune(benches(), spec, lease, recorder)

    assert ending.outcome is Outcome.PRUNED
    assert len(recorder.reports) == 1
    assert not ending.has_weights
    assert not (Path(spec.folder) / WEIGHTS).exists()


def test_learning_rate_out_of_reason_fails_with_the_rate_in_the_message(benches, spec, lease):
    bench = benches(optimizer="sgd", learning_rate=1e12, warmup=0.0)

    with pytest.raises(TrialFailed, match=r"loss became (nan|inf) in epoch 1 .*1e\+12"):
        fine_tune(bench, spec, lease, Recorder())


def test_early_stopping_ends_after_its_patience(benches, spec, lease):
    # A rate of nearly nothing: the first epoch stays the best, or an equal one, which is no gain.
    bench = benches(epochs=9, learning_rate=1e-12, early_stopping=2, augmentation="none")
    recorder = Recorder()

    ending = fine_tune(bench, spec, lease, recorder)

    assert ending.outcome is Outcome.COMPLETE
    assert len(recorder.reports) == 3


def test_patience_that_was_over_at_the_checkpoint_is_over_when_the_trial_goes_on(
    benches, spec, lease, monkeypatch
):
    monkeypatch.setattr("runner.trial.training.CHECKPOINT_FROM_S", 0.0)
    bench = benches(epochs=9, learning_rate=1e-12, early_stopping=2, augmentation="none")
    # The last epoch of the test above: its worker dies before it can say that it has ended.
    last = 3
    fine_tune(bench, spec, lease, Recorder({last: Decision.PAUSE}))
    assert load_checkpoint(Path(spec.folder)).epoch == last

    continued = Recorder()
    ending = fine_tune(bench, spec, lease, continued)

    assert ending.outcome is Outcome.COMPLETE
    assert [report.step for report in continued.reports] == [1, 2, 3]


def test_gradual_unfreezing_thaws_one_group_at_a_time(benches, spec, lease):
    from runner.trial.progress import Goal
    from runner.trial.training import Training

    bench = benches(freeze_depth="max", unfreeze_every=1, epochs=3)
    training = Training(
        bench, bench.experiment.recipe({}), spec, lease, Goal("accuracy", True), micro_batch=32
    )
    trained = []
    for epoch in range(3):
        training._set_training_mode(epoch)
        trained.append(sum(p.requires_grad for p in training.model.parameters()))

    assert trained[0] < trained[1] < trained[2]
    assert trained[0] == 2  # the head's weight and bias


def test_frozen_groups_do_not_change_by_a_bit(benches, spec, lease):
    from runner import models

    bench = benches(freeze_depth=3)
    before = bench.build(bench.experiment.recipe({}), spec.seed).model
    groups = models.layer_groups(before)

    fine_tune(bench, spec, lease, Recorder())

    after = load_file(Path(spec.folder) / WEIGHTS)
    frozen = set(groups.frozen_parameters(3))
    state = before.state_dict()
    assert frozen
    assert all(torch.equal(state[name], after[name]) for name in frozen)
    thawed = [name for name, _ in before.named_parameters() if name not in frozen]
    assert not any(torch.equal(state[name], after[name]) for name in thawed if "fc" in name)


def test_batches_of_a_validation_are_signs_of_life(benches):
    """One may take longer than `search.silence`. Fails where `predict` does not beat."""
    bench = benches()
    part = bench.validation
    before = pulse.beats
    predict(
        bench,
        lambda batch: torch.zeros(len(batch[PIXELS]), bench.task.outputs),
        part,
        recipe=bench.experiment.recipe({}),
        batch_size=8,
        device=torch.device("cpu"),
    )
    assert pulse.beats - before == -(-len(part) // 8)
