"""The training loop of one trial: epochs, reports, the best epoch's weights."""

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from runner import models
from runner.experiment import Recipe
from runner.trial.batching import Batches, Portion
from runner.trial.bench import Bench, predict
from runner.trial.checkpoint import (
    TrainingState,
    keep_checkpoint,
    load_checkpoint,
    load_inherited,
    save_checkpoint,
)
from runner.trial.compiling import TrainingPass
from runner.trial.epoch_order import count_batches
from runner.trial.job import Channel, Decision, Lease, Report, TrialSpec
from runner.trial.modality import Batch, Moment, rows_of
from runner.trial.optimizers import (
    build_optimizer,
    inherit_moments,
    optimizer_settings,
    set_learning_rates,
)
from runner.trial.parallel.norms import BatchNorms, synchronised
from runner.trial.parallel.ranks import Ranks
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
    so nothing is left for the next job. On several devices each has a training of its own, which
    takes every step with the others (`join`).
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
    ranks: Ranks = field(default_factory=Ranks, init=False)
    norms: BatchNorms = field(default=BatchNorms.NONE, init=False)
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
            settings=optimizer_settings(recipe),
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
        self.state = TrainingState(0, {}, {}, micro_batch=self.micro_batch)
        self._take(plain_route(self.bench, self.numerics, why="not yet chosen"))

    def prepare(self, channel: Channel) -> None:
        """Choose how to compute; then go on from the trial's checkpoint, if it has one.

        Features that no trial has made before are made, before anything is trained or restored:
        they are those of the pretrained weights.

        Raises:
            Leave: If the study wants the trial to leave.
        """
        route = choose_route(
            self.bench,
            self.recipe,
            self.built,
            numerics=self.numerics,
            threads=self.lease.threads,
            is_wanted=partial(self.require_wanted, channel),
            is_packed=self.spec.is_packed,
        )
        self._take(route)
        logger.info("computing by %s", route.note)
        self._go_on()

    def join(self, ranks: Ranks) -> None:
        """Train together with others from now on; called once by every rank, when it is prepared.

        Raises:
            TrialLost: If another rank has gone.
        """
        self.ranks = ranks
        # As many layers train as ever will.
        self._set_training_mode(self.last_epoch - 1)
        self.norms = synchronised(self.model, self.numerics.device)
        is_in_step = self.norms is BatchNorms.OF_THE_BATCH
        if is_in_step:
            # Ranks wait for each other within the forward pass: all must compute it alike.
            self.training_pass.obstacle = "batch norm is computed over several devices"
        self.stepper.join(ranks, is_in_step=is_in_step)
        ranks.begin_alike(self.model)

    def _take(self, route: Route) -> None:
        self.route = route
        self.training_pass = TrainingPass(
            self.model, route, self.numerics, self.recipe, self.lease.threads
        )

    def require_wanted(self, channel: Channel) -> None:
        """Go on only as long as the study wants the trial.

        Raises:
            Leave: If it does not.
        """
        decision = channel.decision(self.spec.key)
        if decision is not Decision.CONTINUE:
            raise Leave(decision)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        part = self.bench.train
        has_lengths = part.inputs.lengths is not None
        return count_batches(len(part), self.recipe.batch_size, has_lengths=has_lengths)

    def _go_on(self) -> None:
        """From the trial's own state, or from where the one ended that it continues, if any."""
        folder, segment = Path(self.spec.folder), self.spec.segment
        # Read for each attempt: a failed one may have changed the loaded state in place.
        if (state := load_checkpoint(folder)) is not None:
            self._load(state)
            self.optimizer.load_state_dict(state.optimizer)
            self.state = state
            self.state.micro_batch = self.micro_batch
        elif segment is not None and segment.parent is not None:
            state = load_inherited(folder, segment)
            logger.info("going on from trial %s after epoch %d", segment.parent, state.epoch)
            self._load(state)
            inherit_moments(self.optimizer, state.optimizer)
            self.state.epoch = state.epoch

    def _load(self, state: TrainingState) -> None:
        self.model.load_state_dict(state.model)
        if self.average is not None and state.ema is not None:
            self.average.load_state_dict(state.ema)
        # Empty where the checkpoint is of a device that needed none.
        if state.scaler:
            self.stepper.scaler.load_state_dict(state.scaler)

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
            return self._is_long(whole_s)
        is_end = self.state.epoch == segment.end
        each_s = self.state.seconds / (self.state.epoch - segment.begin)
        return is_end or self._is_long(each_s * (segment.end - segment.begin))

    def _is_long(self, whole_s: float) -> bool:
        """Whether a trial that takes so long is to keep checkpoints."""
        asked = self.recipe.checkpoint
        return whole_s >= CHECKPOINT_FROM_S if asked == "auto" else asked == "every"

    def follow(self, channel: Channel) -> None:
        """Train the remaining epochs as a rank that rank 0 leads, which does all else.

        Raises:
            Leave: If rank 0 does not go on.
            TrialFailed: If the loss is no longer a number.
        """
        while self.state.epoch < self.last_epoch:
            started = time.monotonic()
            self._train_epoch(self.state.epoch, channel)
            self.state.epoch += 1
            epoch_s = time.monotonic() - started
            self.training_pass.judge(self.state, epoch_s=epoch_s, last_epoch=self.last_epoch)

    def _epoch(self, channel: Channel) -> Report:
        started = time.monotonic()
        epoch = self.state.epoch
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
        seed_everything(derive_seed(self.spec.seed, "epoch", epoch, *self.ranks.stream))
        self._set_training_mode(epoch)
        moment = Moment(
            epoch,
            torch.Generator().manual_seed(derive_seed(self.spec.seed, "images", epoch)),
            self.numerics.device,
        )
        total = torch.zeros((), device=self.numerics.device)
        seen = 0
        for step, portion in enumerate(self._batches.of_epoch(moment)):
            self.require_wanted(channel)
            set_learning_rates(self.optimizer, self._factor(epoch, step))
            self._compile_if_due(portion)
            total += self.stepper.step(portion) * portion.count
            if self.average is not None:
                self.average.update(self.model)
            seen += portion.count
            if step % STEPS_BETWEEN_NAN_CHECKS == 0:
                require_finite(float(total), epoch, self.recipe)
        mean = float(total) / seen
        require_finite(mean, epoch, self.recipe)
        return mean, seen

    @property
    def _batches(self) -> Batches:
        classes = len(self.bench.task.classes)
        return Batches(self.route.train, self.recipe, classes, self.ranks)

    def _compile_if_due(self, portion: Portion) -> None:
        """Before a batch that is whole: what is compiled is for the shape of most of them."""
        if portion.count == min(self.recipe.batch_size, len(self.route.train)):
            piece = rows_of(portion.batch, 0, self.stepper.piece(portion))
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
        segment = self.spec.segment
        if segment is not None and self.state.epoch == segment.end:
            # Another trial goes on from here: without it, this one would be of no use.
            save_checkpoint(Path(self.spec.folder), self.state, is_durable=True)
        else:
            keep_checkpoint(Path(self.spec.folder), self.state)
