"""The training loop of one trial: epochs, reports, the best epoch's weights."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torchvision.transforms.v2 import MixUp

from runner import models
from runner.experiment import Recipe
from runner.trial.bench import Bench, predict, targets_of
from runner.trial.checkpoint import TrainingState, save_checkpoint
from runner.trial.compiling import TrainingPass
from runner.trial.epoch_order import count_batches, epoch_batches
from runner.trial.images import PIXELS
from runner.trial.job import Channel, Decision, Lease, Report, TrialSpec
from runner.trial.modality import Batch, Moment, rows_of
from runner.trial.optimizers import (
    OptimizerSettings,
    build_optimizer,
    inherit_moments,
    set_learning_rates,
)
from runner.trial.precision import choose_numerics
from runner.trial.progress import (
    STEPS_BETWEEN_NAN_CHECKS,
    Goal,
    epoch_report,
    is_patience_over,
    loss_settings,
    note_best,
    rate_factor,
    require_finite,
)
from runner.trial.route import Route, choose_route, plain_route
from runner.trial.seeding import derive_seed, seed_everything
from runner.trial.stepping import Stepper

logger = logging.getLogger(__name__)

# A job expected to take under a minute does not checkpoint: interrupted, it runs again
# (design: resuming). Writing the state costs more than it could save.
CHECKPOINT_FROM_S = 60.0


class Leave(Exception):
    """Raised between two batches when the study wants the trial to leave."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.value)
        self.decision = decision


@dataclass
class Training:
    """One attempt at one trial with one micro-batch size.

    Built fresh for every attempt: model, optimiser, averages and random streams are its own,
    so nothing is left for the next job.
    """

    bench: Bench
    recipe: Recipe
    spec: TrialSpec
    lease: Lease
    goal: Goal
    micro_batch: int
    state: TrainingState = field(init=False)
    route: Route = field(init=False)
    training_pass: TrainingPass = field(init=False)
    _depth: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        recipe = self.recipe
        seed_everything(derive_seed(self.spec.seed, "init"))
        self.built = self.bench.build(recipe, self.spec.seed)
        self.numerics = choose_numerics(
            self.built.model,
            self.lease.devices[0],
            precision=recipe.precision,
            channels_last=recipe.channels_last,
        )
        self.model = self.numerics.place(self.built.model)
        self.optimizer = build_optimizer(
            self.model,
            self.built.groups.group_index_by_parameter(),
            head_group=self.built.groups.count,
            settings=_optimizer_settings(recipe),
            is_fused=self.numerics.device.type == "cuda",
        )
        self.stepper = Stepper(
            self.model.parameters(),
            self.optimizer,
            self.bench.task.criterion(
                loss_settings(recipe), train_targets=self.bench.train.targets
            ),
            lambda batch: self.training_pass(batch),
            self.numerics,
            recipe.grad_clip,
            self.micro_batch,
        )
        self.average = ModelEmaV3(self.model, decay=recipe.ema) if recipe.ema is not None else None
        classes = len(self.bench.task.classes)
        self.mixup = MixUp(alpha=recipe.mixup, num_classes=classes) if recipe.mixup > 0 else None
        self.state = TrainingState(0, {}, {}, micro_batch=self.micro_batch)
        self._take(plain_route(self.bench, self.numerics, why="not yet chosen"))

    def prepare(self, channel: Channel) -> None:
        """Choose how to compute; makes features that no trial has made before.

        Before anything is trained or restored: features are those of the pretrained weights.

        Raises:
            Leave: If the study wants the trial to leave.
        """
        route = choose_route(
            self.bench,
            self.recipe,
            self.built,
            numerics=self.numerics,
            threads=self.lease.threads,
            is_wanted=partial(self._require_wanted, channel),
            is_packed=self.spec.is_packed,
        )
        self._take(route)
        logger.info("computing by %s", route.note)

    def _take(self, route: Route) -> None:
        self.route = route
        self.training_pass = TrainingPass(
            self.model, route, self.numerics, self.recipe, self.lease.threads
        )

    def _require_wanted(self, channel: Channel) -> None:
        decision = channel.decision(self.spec.key)
        if decision is not Decision.CONTINUE:
            raise Leave(decision)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        part = self.bench.train
        has_lengths = part.inputs.lengths is not None
        return count_batches(len(part), self.recipe.batch_size, has_lengths=has_lengths)

    def restore(self, state: TrainingState) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        if self.average is not None and state.ema is not None:
            self.average.load_state_dict(state.ema)
        if state.scaler is not None:
            self.stepper.scaler.load_state_dict(state.scaler)
        self.state = state
        self.state.micro_batch = self.micro_batch

    def inherit(self, state: TrainingState) -> None:
        """Go on from where another trial ended, with settings of its own."""
        self.model.load_state_dict(state.model)
        inherit_moments(self.optimizer, state.optimizer)
        if self.average is not None and state.ema is not None:
            self.average.load_state_dict(state.ema)
        if state.scaler is not None:
            self.stepper.scaler.load_state_dict(state.scaler)
        self.state.epoch = state.epoch

    @property
    def last_epoch(self) -> int:
        """The epoch after which it ends: the recipe's last, or that of its segment."""
        segment = self.spec.segment
        return self.recipe.epochs if segment is None else segment.end

    def run(self, channel: Channel) -> None:
        """Train the remaining epochs, reporting each.

        Raises:
            Leave: If the study wants the trial to leave.
            TrialFailed: If the loss is no longer a number.
        """
        # Asked before an epoch: a checkpoint may hold the last one.
        while self.state.epoch < self.last_epoch and not self._is_patience_over():
            report = self._epoch(channel)
            self.state.reports.append(report)
            if self._is_worth_saving():
                self._save()
            decision = channel.report(self.spec.key, report)
            if decision is not Decision.CONTINUE:
                raise Leave(decision)
        if self._is_patience_over():
            logger.info("no better epoch for %s epochs: stopping", self.recipe.early_stopping)

    def _is_worth_saving(self) -> bool:
        """Whether what an interruption would cost is more than saving, or another goes on here."""
        segment = self.spec.segment
        if segment is None:
            whole_s = self.state.seconds / self.state.epoch * self.recipe.epochs
            return whole_s >= CHECKPOINT_FROM_S
        is_end = self.state.epoch == segment.end
        each_s = self.state.seconds / (self.state.epoch - segment.begin)
        return is_end or each_s * (segment.end - segment.begin) >= CHECKPOINT_FROM_S

    def _epoch(self, channel: Channel) -> Report:
        started = time.monotonic()
        epoch = self.state.epoch
        seed_everything(derive_seed(self.spec.seed, "epoch", epoch))
        train_loss, seen = self._train_epoch(epoch, channel)
        train_s = time.monotonic() - started
        metrics = self._validate(epoch + 1)
        self.state.epoch = epoch + 1
        self.training_pass.judge(self.state, epoch_s=train_s, last_epoch=self.last_epoch)
        self.state.seconds += time.monotonic() - started
        logger.info("epoch %d: train loss %.4f, %s", epoch + 1, train_loss, metrics)
        return epoch_report(
            epoch + 1,
            metrics,
            train_loss=train_loss,
            learning_rate=self.recipe.learning_rate * self._factor(epoch, last=True),
            examples_per_s=seen / max(train_s, 1e-9),
        )

    def _train_epoch(self, epoch: int, channel: Channel) -> tuple[float, int]:
        """Mean loss over the epoch's examples, and how many there were."""
        self._set_training_mode(epoch)
        moment = Moment(
            epoch,
            torch.Generator().manual_seed(derive_seed(self.spec.seed, "images", epoch)),
            self.numerics.device,
        )
        total = torch.zeros((), device=self.numerics.device)
        seen = 0
        for step, (batch, targets) in enumerate(self._epoch_batches(moment)):
            self._require_wanted(channel)
            set_learning_rates(self.optimizer, self._factor(epoch, step))
            self._compile_if_due(batch, len(targets))
            total += self.stepper.step(batch, targets) * len(targets)
            if self.average is not None:
                self.average.update(self.model)
            seen += len(targets)
            if step % STEPS_BETWEEN_NAN_CHECKS == 0:
                require_finite(float(total), epoch, self.recipe)
        mean = float(total) / seen
        require_finite(mean, epoch, self.recipe)
        return mean, seen

    def _epoch_batches(self, moment: Moment) -> Iterator[tuple[Batch, Tensor]]:
        part = self.route.train
        for chosen in epoch_batches(
            len(part),
            self.recipe.batch_size,
            generator=moment.generator,
            lengths=part.inputs.lengths,
            labels=part.targets if self.recipe.sampling == "balanced" else None,
        ):
            batch = part.inputs.train_batch(chosen, self.recipe, moment=moment)
            targets = targets_of(part.targets[chosen].to(moment.device), batch)
            if self.mixup is not None:
                batch[PIXELS], targets = self.mixup(batch[PIXELS], targets)
            yield batch, targets

    def _compile_if_due(self, batch: Batch, count: int) -> None:
        """Before a batch that is whole: what is compiled is for the shape of most of them."""
        if count == min(self.recipe.batch_size, len(self.route.train)):
            piece = rows_of(batch, 0, self.stepper.piece(count))
            self.training_pass.begin(self.state, piece)

    def _set_training_mode(self, epoch: int) -> None:
        depth = self.built.depth
        if self.recipe.unfreeze_every:
            depth = max(0, depth - epoch // self.recipe.unfreeze_every)
        if depth != self._depth:
            self.training_pass.discard()
        self._depth = depth
        self.model.train()
        models.freeze(self.model, self.built.groups, depth=depth)

    def _factor(self, epoch: int, step: int = 0, *, last: bool = False) -> float:
        total = self.steps_per_epoch * self.recipe.epochs
        within = self.steps_per_epoch - 1 if last else step
        return rate_factor(self.recipe, epoch * self.steps_per_epoch + within, total=total)

    def _validate(self, epoch: int) -> dict[str, float]:
        model = self.average.module if self.average is not None else self.model
        model.eval()

        def forward(batch: Batch) -> Tensor:
            with self.numerics.autocast():
                return self.route.forward(model, batch)

        predictions = predict(
            self.bench,
            forward,
            self.route.validation,
            recipe=self.recipe,
            batch_size=2 * self.micro_batch,
            device=self.numerics.device,
        )
        metrics = self.bench.task.score(predictions)
        if note_best(self.state, metrics, epoch=epoch, goal=self.goal):
            self.state.best_weights = self._kept_weights(model)
            self.state.best_evaluation = self.bench.task.evaluate(predictions)
        return metrics

    def _kept_weights(self, model: nn.Module) -> dict[str, Any]:
        """Copies on the CPU of what a trial keeps: all weights, or what of them it trains."""
        return {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in self.built.kept(model).items()
        }

    def _is_patience_over(self) -> bool:
        return is_patience_over(self.state, self.recipe.early_stopping)

    def _save(self) -> None:
        self.state.model = self.model.state_dict()
        self.state.optimizer = self.optimizer.state_dict()
        self.state.ema = self.average.state_dict() if self.average is not None else None
        self.state.scaler = self.stepper.scaler.state_dict()
        save_checkpoint(Path(self.spec.folder), self.state)


def _optimizer_settings(recipe: Recipe) -> OptimizerSettings:
    return OptimizerSettings(
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        head_learning_rate=recipe.head_learning_rate,
        layer_decay=recipe.layer_decay,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
    )
