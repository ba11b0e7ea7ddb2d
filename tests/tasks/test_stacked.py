"""Losses of several trials at once: each the same as its own criterion's, gradients too."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from runner.tasks import Criterion, stack_criteria
from runner.tasks.losses import ClassCriterion, LabelsCriterion, NumberCriterion

_CPU = torch.device("cpu")
_BATCH, _CLASSES = 7, 3
_WEIGHTS = torch.tensor([0.5, 2.0, 1.0])
CLASSES = {
    "plain": [ClassCriterion(), ClassCriterion()],
    "smoothed": [ClassCriterion(0.1), ClassCriterion(), ClassCriterion(0.4)],
    "weighed": [ClassCriterion(weights=_WEIGHTS), ClassCriterion()],
    "focal": [ClassCriterion(0.1, 2.0), ClassCriterion(), ClassCriterion(0.0, 0.5, _WEIGHTS)],
}
LABELS = {
    "plain": [LabelsCriterion(), LabelsCriterion(0.2)],
    "focal": [LabelsCriterion(0.1, 2.0), LabelsCriterion(), LabelsCriterion(0, 1.0, _WEIGHTS)],
}
NUMBERS = {
    "mse": [NumberCriterion(), NumberCriterion()],
    "mae": [NumberCriterion("mae"), NumberCriterion("mae")],
    "huber": [NumberCriterion("huber", 0.5), NumberCriterion("huber", 1.5)],
    "mixed": [NumberCriterion("huber", 0.5), NumberCriterion("mae")],
}


class OwnCriterion:
    """One that the room does not know."""

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[:, 0].float() - targets).abs().pow(3).sum()

    def weight(self, targets: Tensor) -> Tensor:
        return targets.abs().sum()


def _compare(criteria: Sequence[Criterion], targets: Tensor, columns: int) -> None:
    """Whole batches, and batches of unequal size beside one another."""
    stack = stack_criteria(criteria, device=_CPU)
    random = torch.Generator().manual_seed(2)
    # Large outputs too: where probabilities round to 0 and 1.
    values = torch.randn(len(criteria), _BATCH, columns, generator=random) * 30
    sizes = [_BATCH - index for index in range(len(criteria))]
    some = torch.arange(_BATCH) < torch.tensor(sizes).unsqueeze(1)
    for is_there in (None, some):
        outputs = values.clone().requires_grad_()
        totals, weights = stack.sums(outputs, targets, is_there=is_there)
        totals.sum().backward()
        for index, criterion in enumerate(criteria):
            rows = slice(None) if is_there is None else slice(0, sizes[index])
            alone = values[index, rows].clone().requires_grad_()
            total = criterion.total(alone, targets[index, rows])
            total.backward()
            torch.testing.assert_close(totals[index], total, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(weights[index], criterion.weight(targets[index, rows]))
            torch.testing.assert_close(outputs.grad[index, rows], alone.grad, rtol=1e-5, atol=1e-6)
        if is_there is not None:
            assert (outputs.grad[~is_there] == 0).all()


@pytest.mark.parametrize("name", CLASSES)
def test_stack_of_classes_equals_each_alone(name: str) -> None:
    random = torch.Generator().manual_seed(1)
    shape = (len(CLASSES[name]), _BATCH)
    _compare(CLASSES[name], torch.randint(_CLASSES, shape, generator=random), _CLASSES)


@pytest.mark.parametrize("name", LABELS)
def test_stack_of_labels_equals_each_alone(name: str) -> None:
    random = torch.Generator().manual_seed(1)
    shape = (len(LABELS[name]), _BATCH, _CLASSES)
    _compare(LABELS[name], torch.randint(2, shape, generator=random).float(), _CLASSES)


@pytest.mark.parametrize("name", NUMBERS)
def test_stack_of_numbers_equals_each_alone(name: str) -> None:
    random = torch.Generator().manual_seed(1)
    _compare(NUMBERS[name], torch.randn(2, _BATCH, generator=random), 1)


def test_criterion_that_is_not_known_is_called_for_each_trial() -> None:
    random = torch.Generator().manual_seed(1)
    _compare([OwnCriterion(), OwnCriterion()], torch.randn(2, _BATCH, generator=random), 1)
