"""K heads as one: their parameters stacked, their steps taken together."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from runner.tasks import StackedCriterion, stack_criteria
from runner.trial.fused.contract import HeadFeatures, HeadSetting
from runner.trial.fused.dropout import DropoutStreams
from runner.trial.fused.optimizers import Pair, chosen, stack_optimizers
from runner.trial.fused.running import RunningHead
from runner.trial.fused.visits import EpochPlan, plan_epoch
from runner.trial.progress import loss_settings

# Of the batches of all trials together: 16 MiB. Larger ones were not faster on a CPU.
_BATCH_NUMBERS = 2**22
# Of the examples that all trials visit in an epoch: 256 MiB of positions.
_EPOCH_POSITIONS = 2**25
# Of the outputs that are validated at once: 64 MiB.
_OUTPUT_NUMBERS = 2**24


def make_stacks(
    runs: Sequence[RunningHead], features: HeadFeatures, setting: HeadSetting
) -> list["HeadStack"]:
    """Trials that can take their steps together, together, as long as their batches stay small."""
    alike: dict[tuple[int, bool, str], list[RunningHead]] = {}
    for run in runs:
        recipe = run.trial.recipe
        key = recipe.batch_size, recipe.optimizer == "sgd", recipe.loss
        alike.setdefault(key, []).append(run)
    _, examples, width = features.train.shape
    stacks = []
    for (batch_size, _, _), group in alike.items():
        most = min(_BATCH_NUMBERS // (batch_size * width), _EPOCH_POSITIONS // examples)
        pieces = math.ceil(len(group) / max(1, most))
        stacks += [HeadStack(group[piece::pieces], features, setting) for piece in range(pieces)]
    return stacks


class HeadStack:
    """Heads of one batch size, kind of optimiser and kind of loss, each with its own values.

    Shapes: K trials, B examples of a batch, D features, C outputs.
    """

    def __init__(
        self, runs: Sequence[RunningHead], features: HeadFeatures, setting: HeadSetting
    ) -> None:
        self.runs = list(runs)
        self._features = features
        self._setting = setting
        self._device = setting.numerics.device
        # All views one below the other: a view is an offset.
        self._rows = features.train.flatten(0, 1)
        self._targets = features.train_targets.to(self._rows.device)
        weights, biases = zip(*(run.start for run in runs), strict=True)
        self._parameters: Pair = (
            torch.stack(weights).to(self._device),
            torch.stack(biases).unsqueeze(1).to(self._device),
        )
        self._optimizer = stack_optimizers([run.trial.recipe for run in runs], self._parameters)
        self._averages: Pair | None = None
        if any(run.trial.recipe.ema is not None for run in runs):
            self._averages = self._parameters[0].clone(), self._parameters[1].clone()
        self._batch = features.train.new_empty(0)
        self._settle()

    def begin_epoch(self) -> None:
        """Decide what the next epoch of each trial visits."""
        self._plan: EpochPlan = plan_epoch(self.runs, self._features)
        self._optimizer.begin_epoch(self._plan.factors)
        epochs = [run.state.epoch for run in self.runs]
        self._dropout.begin_epoch([run.trial.spec.seed for run in self.runs], epochs)
        views, examples, _ = self._features.train.shape
        offsets = [epoch % views * examples for epoch in epochs]
        self._offsets = torch.tensor(offsets, device=self._rows.device).unsqueeze(1)
        self._counts = self._plan.counts.to(self._device)
        self._totals = torch.zeros(len(self.runs), device=self._device)

    @property
    def steps(self) -> int:
        """Optimiser steps of the epoch that has begun."""
        return self._plan.steps

    @property
    def seen(self) -> list[int]:
        """Examples that each trial visits in the epoch that has begun."""
        return [sum(sizes) for sizes in zip(*self._plan.sizes, strict=True)]

    def last_factors(self) -> list[float]:
        """Factor on each trial's learning rate in the last step of the epoch that has begun."""
        factors: list[float] = self._plan.factors[-1].tolist()
        return factors

    def summed_losses(self) -> list[float]:
        """Losses of each trial's examples in the epoch so far; waits for the device."""
        totals: list[float] = self._totals.tolist()
        return totals

    @torch.no_grad()
    def step(self, number: int) -> None:
        """Take one step of the epoch with every trial."""
        sizes = self._plan.sizes[number]
        features, targets = self._batch_of(number, max(sizes))
        is_there = None
        counts = self._counts[number]
        if min(sizes) != max(sizes):
            is_there = torch.arange(max(sizes), device=self._device) < counts.unsqueeze(1)
        if self._dropout.is_needed:
            self._dropout.apply(features, sizes)
        losses, gradients = self._gradients(features, targets, is_there)
        if self._limits is not None:
            _clip(gradients, self._limits)
        self._optimizer.step(number, self._parameters, gradients)
        if self._averages is not None:
            for average, parameter in zip(self._averages, self._parameters, strict=True):
                average.lerp_(parameter, self._news)
        self._totals += losses * counts

    def _batch_of(self, number: int, size: int) -> tuple[Tensor, Tensor]:
        """Features [K, B, D] and targets [K, B, ...] of one step."""
        positions = self._plan.positions[number, :, :size]
        rows, width = positions.numel(), self._rows.shape[1]
        # A new tensor for each batch would cost more than what is done with it.
        if len(self._batch) < rows * width:
            self._batch = self._rows.new_empty(rows * width)
        batch = self._batch[: rows * width].view(rows, width)
        torch.index_select(self._rows, 0, (positions + self._offsets).flatten(), out=batch)
        targets = self._targets[positions]
        features = batch.view(*positions.shape, width).to(self._device, non_blocking=True)
        return features, targets.to(self._device, non_blocking=True)

    def _gradients(
        self, features: Tensor, targets: Tensor, is_there: Tensor | None
    ) -> tuple[Tensor, Pair]:
        """Mean loss of each trial's batch, [K], and the gradients of weights and biases."""
        weight, bias = self._parameters
        with self._setting.numerics.autocast():
            outputs = torch.baddbmm(bias, features, weight.transpose(1, 2))
        with torch.enable_grad():
            scores = outputs.requires_grad_()
            totals, weights = self._criterion.sums(scores, targets, is_there=is_there)
            losses = totals / weights.clamp(min=1e-12)
            (slopes,) = torch.autograd.grad(losses.sum(), scores)
        with self._setting.numerics.autocast():
            of_weight = torch.bmm(slopes.transpose(1, 2), features)
        of_bias = slopes.sum(dim=1, keepdim=True)
        return losses.detach(), (of_weight.float(), of_bias.float())

    @torch.no_grad()
    def outputs(self) -> Iterator[Tensor]:
        """Each trial's outputs over the validation part, [M, C] float32 on the CPU, in turn."""
        weight, bias = self._evaluated
        features = self._features.validation.to(self._device)
        count, outputs = len(self.runs), weight.shape[1]
        together = max(1, _OUTPUT_NUMBERS // (len(features) * outputs))
        for start in range(0, count, together):
            stop = min(count, start + together)
            with self._setting.numerics.autocast():
                found = functional.linear(
                    features, weight[start:stop].flatten(0, 1), bias[start:stop].flatten()
                )
            yield from found.float().cpu().view(len(features), stop - start, outputs).unbind(1)

    def values(self, index: int) -> Pair:
        """Weight [C, D] and bias [C] of a trial as they are validated; views."""
        weight, bias = self._evaluated
        return weight[index], bias[index, 0]

    def drop_ended(self) -> bool:
        """Go on with the trials that are not over; says whether there are any."""
        kept = [index for index, run in enumerate(self.runs) if not run.is_over]
        if not kept or len(kept) == len(self.runs):
            return bool(kept)
        self.runs = [self.runs[index] for index in kept]
        places = torch.tensor(kept, device=self._device)
        self._parameters = chosen(self._parameters, places)
        if self._averages is not None:
            self._averages = chosen(self._averages, places)
        self._optimizer.keep(places)
        self._settle()
        return True

    @property
    def _evaluated(self) -> Pair:
        return self._averages if self._averages is not None else self._parameters

    def _settle(self) -> None:
        """What follows from the recipes of the trials that are left."""
        recipes = [run.trial.recipe for run in self.runs]
        task, targets = self._setting.task, self._features.train_targets
        criteria = [
            task.criterion(loss_settings(recipe), train_targets=targets) for recipe in recipes
        ]
        self._criterion: StackedCriterion = stack_criteria(criteria, device=self._device)
        self._dropout = DropoutStreams([recipe.dropout for recipe in recipes], self._device)
        # An average that follows at once is the parameters themselves.
        news = [1.0 if recipe.ema is None else 1.0 - recipe.ema for recipe in recipes]
        self._news = torch.tensor(news, device=self._device).reshape(-1, 1, 1)
        self._limits: Tensor | None = None
        if any(recipe.grad_clip is not None for recipe in recipes):
            limits = [recipe.grad_clip or math.inf for recipe in recipes]
            self._limits = torch.tensor(limits, device=self._device).reshape(-1, 1, 1)


def _clip(gradients: Pair, limits: Tensor) -> None:
    """Bring the norm of each trial's gradient down to its limit, as torch's `clip_grad_norm_`."""
    squares = [gradient.square().sum(dim=(1, 2), keepdim=True) for gradient in gradients]
    factors = (limits / ((squares[0] + squares[1]).sqrt() + 1e-6)).clamp(max=1.0)
    # Without a limit nothing is touched, however large it is.
    factors = torch.where(limits.isinf(), 1.0, factors)
    for gradient in gradients:
        gradient.mul_(factors)
