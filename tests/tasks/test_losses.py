"""Losses against torch's, torchvision's and scikit-learn's own."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from runner.experiment import TASK_FORMS
from runner.tasks import PADDING, Criterion, LossSettings
from runner.tasks.losses import (
    ClassCriterion,
    LabelsCriterion,
    NumberCriterion,
    balanced_positive_weights,
    balanced_weights,
    chosen_loss,
)

_WEIGHTS = torch.tensor([0.5, 3.0, 1.0])
_CLASSES = torch.tensor([0, 1, 2, 1, 0])
_LABELS = torch.tensor([[1.0, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]])


def _outputs(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return (2 * torch.randn(shape, generator=generator)).requires_grad_()


def _mean(criterion: Criterion, outputs: Tensor, targets: Tensor) -> Tensor:
    return criterion.total(outputs, targets) / criterion.weight(targets)


def _assert_same_with_gradient(ours: Tensor, theirs: Tensor, outputs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, outputs, retain_graph=True)[0] for loss in (ours, theirs))
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, _WEIGHTS], ids=["unweighted", "weighted"])
def test_class_criterion_is_torchs_mean_cross_entropy(
    smoothing: float, weights: Tensor | None
) -> None:
    outputs = _outputs(5, 3)
    ours = _mean(ClassCriterion(smoothing, weights=weights), outputs, _CLASSES)
    theirs = functional.cross_entropy(outputs, _CLASSES, weight=weights, label_smoothing=smoothing)
    _assert_same_with_gradient(ours, theirs, outputs)


def test_class_criterion_of_mixed_targets_is_torchs_mean_cross_entropy() -> None:
    outputs = _outputs(5, 3)
    hot = functional.one_hot(_CLASSES, 3).float()
    mixed = 0.3 * hot + 0.7 * hot.flip(0)
    ours = _mean(ClassCriterion(0.1), outputs, mixed)
    theirs = functional.cross_entropy(outputs, mixed, label_smoothing=0.1)
    _assert_same_with_gradient(ours, theirs, outputs)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_class_criterion_of_probabilities_of_one_weighs_as_of_indices(gamma: float) -> None:
    criterion = ClassCriterion(0.1, focal_gamma=gamma, weights=_WEIGHTS)
    outputs, hot = _outputs(5, 3), functional.one_hot(_CLASSES, 3).float()
    _assert_same_with_gradient(
        _mean(criterion, outputs, hot), _mean(criterion, outputs, _CLASSES), outputs
    )


def test_class_criterion_focal_is_the_papers_formula() -> None:
    outputs = _outputs(5, 3)
    p = outputs.softmax(dim=1)[torch.arange(5), _CLASSES]
    alpha = _WEIGHTS[_CLASSES]
    ours = _mean(ClassCriterion(focal_gamma=2.0, weights=_WEIGHTS), outputs, _CLASSES)
    theirs = -(alpha * (1 - p) ** 2 * p.log()).sum() / alpha.sum()
    _assert_same_with_gradient(ours, theirs, outputs)


def test_class_criterion_focal_tends_to_cross_entropy_for_a_small_gamma() -> None:
    outputs = _outputs(5, 3)
    small = ClassCriterion(0.1, focal_gamma=1e-7, weights=_WEIGHTS)
    plain = ClassCriterion(0.1, weights=_WEIGHTS)
    _assert_same_with_gradient(
        _mean(small, outputs, _CLASSES), _mean(plain, outputs, _CLASSES), outputs
    )


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_class_criterion_of_words_leaves_out_the_padding(gamma: float) -> None:
    criterion = ClassCriterion(0.1, focal_gamma=gamma, weights=_WEIGHTS)
    outputs = _outputs(2, 3, 3)
    padded = torch.tensor([[0, 1, PADDING, PADDING], [2, 1, 0, PADDING]])
    words = torch.cat([outputs[0, :2], outputs[1]])
    _assert_same_with_gradient(
        _mean(criterion, outputs, padded),
        _mean(criterion, words, torch.tensor([0, 1, 2, 1, 0])),
        outputs,
    )


@pytest.mark.parametrize("weights", [None, _WEIGHTS], ids=["unweighted", "weighted"])
def test_class_criterion_of_padding_alone_is_zero_and_so_is_its_gradient(
    weights: Tensor | None,
) -> None:
    outputs = _outputs(1, 2, 3)
    loss = _mean(ClassCriterion(weights=weights), outputs, torch.full((1, 2), PADDING))
    assert loss.item() == 0.0
    assert torch.autograd.grad(loss, outputs)[0].abs().max().item() == 0.0


def test_class_criterion_refuses_to_cut_a_word_that_is_there() -> None:
    with pytest.raises(ValueError, match="outputs for 2 words, but targets for 3"):
        ClassCriterion().total(_outputs(1, 2, 3), torch.tensor([[0, 1, 2]]))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_labels_criterion_focal_is_torchvisions(gamma: float) -> None:
    outputs = _outputs(4, 3)
    ours = _mean(LabelsCriterion(focal_gamma=gamma), outputs, _LABELS)
    theirs = sigmoid_focal_loss(outputs, _LABELS, alpha=-1, gamma=gamma, reduction="mean")
    _assert_same_with_gradient(ours, theirs, outputs)


def test_labels_criterion_is_torchs_mean_binary_cross_entropy() -> None:
    outputs = _outputs(4, 3)
    ours = _mean(LabelsCriterion(), outputs, _LABELS)
    theirs = functional.binary_cross_entropy_with_logits(outputs, _LABELS)
    _assert_same_with_gradient(ours, theirs, outputs)


@pytest.mark.parametrize("gamma", [0.0, 1e-7])
def test_labels_criterion_with_weights_is_a_weighted_mean_of_smoothed_targets(
    gamma: float,
) -> None:
    outputs = _outputs(4, 3)
    criterion = LabelsCriterion(0.2, focal_gamma=gamma, positive_weights=_WEIGHTS)
    total = functional.binary_cross_entropy_with_logits(
        outputs, _LABELS * 0.8 + 0.1, pos_weight=_WEIGHTS, reduction="sum"
    )
    # Held labels: two of the first, two of the second, one of the third; 7 are not held.
    _assert_same_with_gradient(
        _mean(criterion, outputs, _LABELS), total / (2 * 0.5 + 2 * 3.0 + 1.0 + 7), outputs
    )


def test_number_criterion_is_torchs_mean_loss() -> None:
    targets, outputs = torch.tensor([0.1, -2.0, 5.0]), _outputs(3, 1)
    column = outputs.squeeze(1)
    for ours, theirs in (
        (NumberCriterion("mse"), functional.mse_loss(column, targets)),
        (NumberCriterion("mae"), functional.l1_loss(column, targets)),
        (NumberCriterion("huber", 0.5), functional.huber_loss(column, targets, delta=0.5)),
    ):
        _assert_same_with_gradient(_mean(ours, outputs, targets), theirs, outputs)
        assert torch.equal(ours.total(outputs, targets), ours.total(column, targets))


def test_balanced_weights_are_scikit_learns() -> None:
    targets = torch.tensor([[0, 0, 0, 2], [2, 0, PADDING, PADDING]])
    theirs = compute_class_weight("balanced", classes=np.array([0, 2]), y=[0, 0, 0, 2, 2, 0])
    assert balanced_weights(targets, 3).tolist() == pytest.approx([theirs[0], 0.0, theirs[1]])


def test_balanced_positive_weights_make_both_sides_weigh_the_same() -> None:
    targets = torch.tensor([[1.0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    assert balanced_positive_weights(targets).tolist() == [3.0, 1.0, 1.0]


def test_chosen_loss_of_another_forms_loss_is_refused() -> None:
    form = TASK_FORMS["image_regression"]
    assert chosen_loss(LossSettings(), form) == "mse"
    with pytest.raises(ValueError, match="image_regression has no loss 'focal': mse, huber, mae"):
        chosen_loss(LossSettings(loss="focal"), form)
