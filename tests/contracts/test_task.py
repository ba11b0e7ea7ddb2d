"""What every task keeps to, run over all of them and all their losses."""

import itertools
import json
import math
import warnings
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from runner.experiment import LabelKind, TaskForm
from runner.tasks import LossSettings, Task
from tests.tasks.toys import FORMS, noise, perfect_outputs, predictions_of, toy_task

# Images and texts of one kind of label have the same losses.
_SETTINGS = [
    (form, LossSettings(loss=loss, label_smoothing=0.1, class_weights=weights))
    for form in {form.labels: form for form in FORMS}.values()
    for loss in form.losses
    for weights in ("none", "balanced")
]
every_loss = pytest.mark.parametrize(
    ("form", "asked"),
    _SETTINGS,
    ids=[f"{form.name}-{asked.loss}-{asked.class_weights}" for form, asked in _SETTINGS],
)


@pytest.fixture(params=FORMS, ids=lambda form: form.name)
def form(request: pytest.FixtureRequest) -> TaskForm:
    found: TaskForm = request.param
    return found


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _train(task: Task, asked: LossSettings, outputs: Tensor, targets: Tensor) -> list[float]:
    """Gradient steps on the outputs themselves; the loss before each."""
    criterion = task.criterion(asked, train_targets=targets)
    optimizer = torch.optim.Adam([outputs], lr=0.3)
    losses = []
    for _ in range(40):
        loss = criterion.total(outputs, targets) / criterion.weight(targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_score_gives_the_forms_metrics_in_order(form: TaskForm) -> None:
    task, targets, ids = toy_task(form)
    scores = task.score(predictions_of(task, noise(task, targets), targets, ids))
    assert tuple(scores) == tuple(form.metrics)
    assert all(type(value) is float and math.isfinite(value) for value in scores.values())


def test_score_of_perfect_predictions_is_the_best_there_is(form: TaskForm) -> None:
    task, targets, ids = toy_task(form)
    scores = task.score(predictions_of(task, perfect_outputs(task, targets), targets, ids))
    best = {name: 1.0 if way == "maximize" else 0.0 for name, way in form.metrics.items()}
    assert scores == pytest.approx(best, abs=1e-9)


def test_score_of_noise_is_worse_than_perfect_in_every_metric(form: TaskForm) -> None:
    task, targets, ids = toy_task(form)
    scores = task.score(predictions_of(task, noise(task, targets), targets, ids))
    for name, way in form.metrics.items():
        assert (scores[name] < 0.99) if way == "maximize" else (scores[name] > 0.01), name


def test_score_does_not_depend_on_how_the_split_was_batched(form: TaskForm) -> None:
    task, targets, ids = toy_task(form)
    outputs = noise(task, targets)
    once = task.score(predictions_of(task, outputs, targets, ids, batch_size=len(ids)))
    assert task.score(predictions_of(task, outputs, targets, ids, batch_size=5)) == once


def test_score_of_one_example_is_nan_where_undefined_and_never_warns(form: TaskForm) -> None:
    task, targets, ids = toy_task(form)
    outputs = noise(task, targets)
    one = predictions_of(task, outputs[:1], targets[:1], ids[:1])
    scores = task.score(one)
    undefined = {
        LabelKind.CLASS: {"mcc", "auroc"},
        LabelKind.CLASSES: {"auroc", "average_precision"},
        LabelKind.NUMBER: {"r2"},
        LabelKind.TAGS: set(),
    }
    assert {name for name in scores if math.isnan(scores[name])} == undefined[task.form.labels]
    json.dumps(task.evaluate(one), allow_nan=False)


def test_score_of_outputs_that_are_not_numbers_has_no_loss(form: TaskForm) -> None:
    task, targets, ids = toy_task(form)
    outputs = noise(task, targets)
    outputs[0] = float("nan")
    broken = predictions_of(task, outputs, targets, ids)
    assert math.isnan(task.score(broken)["loss"])
    evaluation = task.evaluate(broken)
    assert evaluation["metrics"]["loss"] is None
    json.dumps(evaluation, allow_nan=False)


def test_evaluate_gives_plain_json_that_says_what_it_is(form: TaskForm) -> None:
    task, targets, ids = toy_task(form)
    predictions = predictions_of(task, noise(task, targets), targets, ids)
    evaluation = task.evaluate(predictions)
    assert json.loads(json.dumps(evaluation, allow_nan=False)) == evaluation
    assert (evaluation["task"], evaluation["kind"]) == (form.name, form.labels)
    assert evaluation["metrics"] == task.score(predictions)
    assert 0 < len(evaluation["worst"]) <= 16
    assert all({"id", "true", "predicted"} <= set(row) for row in evaluation["worst"])
    assert {row["id"] for row in evaluation["worst"]} <= set(ids)


def test_evaluate_twice_gives_the_same(form: TaskForm) -> None:
    task, targets, ids = toy_task(form)
    predictions = predictions_of(task, noise(task, targets), targets, ids)
    assert task.evaluate(predictions) == task.evaluate(predictions)


def test_evaluate_of_perfect_predictions_has_no_worst(form: TaskForm) -> None:
    task, targets, ids = toy_task(form)
    perfect = predictions_of(task, perfect_outputs(task, targets), targets, ids)
    assert task.evaluate(perfect)["worst"] == []


def test_quality_has_every_example_and_is_highest_for_perfect_predictions(form: TaskForm) -> None:
    task, targets, ids = toy_task(form)
    perfect = task.quality(predictions_of(task, perfect_outputs(task, targets), targets, ids))
    guessed = task.quality(predictions_of(task, noise(task, targets), targets, ids))
    assert tuple(perfect) == tuple(guessed) == ids
    best = 0.0 if task.form.labels is LabelKind.NUMBER else 1.0
    assert set(perfect.values()) == {best}
    assert all(guessed[id_] <= best for id_ in ids)
    assert min(guessed.values()) < best


def test_facts_are_plain_json(form: TaskForm) -> None:
    facts = toy_task(form)[0].facts()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert (facts["task"], facts["kind"]) == (form.name, form.labels)


@every_loss
def test_criterion_falls_under_gradient_steps_to_right_predictions(
    form: TaskForm, asked: LossSettings
) -> None:
    task, targets, ids = toy_task(form)
    outputs = noise(task, targets).requires_grad_()
    losses = _train(task, asked, outputs, targets)
    assert losses[-1] < 0.7 * losses[0]
    before = task.score(predictions_of(task, noise(task, targets), targets, ids))
    after = task.score(predictions_of(task, outputs, targets, ids))
    metric = form.default_metric
    assert metric is not None
    if form.metrics[metric] == "maximize":
        assert after[metric] == 1.0
    else:
        assert after[metric] < 0.1 * before[metric]


@every_loss
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_criterion_adds_up_over_any_pieces_of_a_batch(
    form: TaskForm, asked: LossSettings, data: st.DataObject
) -> None:
    task, targets, _ = toy_task(form)
    criterion = task.criterion(asked, train_targets=targets)
    outputs = noise(task, targets).requires_grad_()
    criterion.total(outputs, targets).backward()
    whole = outputs.grad
    assert whole is not None
    outputs.grad = None
    cuts = data.draw(st.sets(st.integers(1, len(targets) - 1)))
    edges = [0, *sorted(cuts), len(targets)]
    pieces = list(itertools.pairwise(edges))
    totals = [criterion.total(outputs[start:stop], targets[start:stop]) for start, stop in pieces]
    weights = [criterion.weight(targets[start:stop]) for start, stop in pieces]
    assert sum(total.item() for total in totals) == pytest.approx(
        criterion.total(outputs, targets).item(), rel=1e-5
    )
    assert sum(map(float, weights)) == pytest.approx(float(criterion.weight(targets)), rel=1e-6)
    for total in totals:
        total.backward()
    assert outputs.grad is not None
    torch.testing.assert_close(outputs.grad, whole)


@every_loss
def test_criterion_computes_in_float32_whatever_the_outputs_are(
    form: TaskForm, asked: LossSettings
) -> None:
    task, targets, _ = toy_task(form)
    criterion = task.criterion(asked, train_targets=targets)
    low = noise(task, targets).bfloat16()
    total = criterion.total(low, targets)
    assert total.dtype is criterion.weight(targets).dtype is torch.float32
    assert torch.equal(total, criterion.total(low.float(), targets))


@every_loss
def test_criterion_of_sure_outputs_has_a_finite_gradient(
    form: TaskForm, asked: LossSettings
) -> None:
    task, targets, _ = toy_task(form)
    for sign in (1, -1):
        outputs = (sign * 1e4 * perfect_outputs(task, targets)).requires_grad_()
        low_gamma = LossSettings(loss=asked.loss, focal_gamma=0.5)
        total = task.criterion(low_gamma, train_targets=targets).total(outputs, targets)
        total.backward()
        assert outputs.grad is not None
        assert bool(torch.isfinite(outputs.grad).all())


def test_criterion_of_auto_is_the_forms_first_loss(form: TaskForm) -> None:
    task, targets, _ = toy_task(form)
    outputs = noise(task, targets)
    auto, first = (
        task.criterion(LossSettings(loss=loss), train_targets=targets)
        for loss in ("auto", form.losses[0])
    )
    assert torch.equal(auto.total(outputs, targets), first.total(outputs, targets))


def test_criterion_of_an_unknown_loss_is_refused_with_those_there_are(form: TaskForm) -> None:
    task, targets, _ = toy_task(form)
    with pytest.raises(ValueError, match=f"{form.name} has no loss 'hinge': {form.losses[0]}, "):
        task.criterion(LossSettings(loss="hinge"), train_targets=targets)
