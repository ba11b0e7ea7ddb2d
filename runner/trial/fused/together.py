"""The epochs of heads that are in memory together: trained as one, judged one by one."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from runner.errors import TrialFailed
from runner.tasks import gather
from runner.trial.fused.contract import HeadEnding, HeadFeatures, HeadSetting
from runner.trial.fused.optimizers import Pair
from runner.trial.fused.running import RunningHead
from runner.trial.fused.stack import HeadStack, make_stacks
from runner.trial.job import Channel, Decision, Report
from runner.trial.progress import (
    STEPS_BETWEEN_NAN_CHECKS,
    epoch_report,
    is_patience_over,
    note_best,
    require_finite,
)

logger = logging.getLogger(__name__)

# A trial alone asks before every batch; many together would do little else.
ASK_EVERY_S = 0.1

End = Callable[[HeadEnding], None]


@dataclass
class Together:
    """Heads that are in memory at the same time."""

    runs: list[RunningHead]
    features: HeadFeatures
    setting: HeadSetting
    channel: Channel
    end: End
    _ask_at: float = field(default=0.0, init=False)

    def train(self) -> None:
        """Epoch by epoch, so that trials that the study compares have seen as much."""
        stacks = make_stacks(self.runs, self.features, self.setting)
        while stacks:
            for stack in stacks:
                self._epoch(stack)
            stacks = [stack for stack in stacks if stack.drop_ended()]

    def _epoch(self, stack: HeadStack) -> None:
        started = time.monotonic()
        stack.begin_epoch()
        for number in range(stack.steps):
            if not self._is_wanted(stack):
                return
            stack.step(number)
            if number % STEPS_BETWEEN_NAN_CHECKS == 0:
                self._fail_infinite(stack, stack.summed_losses())
        losses = [
            total / seen for total, seen in zip(stack.summed_losses(), stack.seen, strict=True)
        ]
        self._fail_infinite(stack, losses)
        train_s = (time.monotonic() - started) / len(stack.runs)
        self._validate(stack, losses, train_s)

    def _is_wanted(self, stack: HeadStack) -> bool:
        """Whether any trial of a stack goes on; all trials are asked about every so often."""
        now = time.monotonic()
        if now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_S
            for run in self.runs:
                if run.is_over:
                    continue
                decision = self.channel.decision(run.trial.spec.key)
                if decision is not Decision.CONTINUE:
                    self._close(run, decision=decision)
        return any(not run.is_over for run in stack.runs)

    def _fail_infinite(self, stack: HeadStack, losses: Sequence[float]) -> None:
        for run, loss in zip(stack.runs, losses, strict=True):
            if run.is_over:
                continue
            try:
                require_finite(loss, run.state.epoch, run.trial.recipe)
            except TrialFailed as error:
                self._close(run, error=error)

    def _validate(self, stack: HeadStack, losses: Sequence[float], train_s: float) -> None:
        """Score, report and judge the epoch of each trial.

        Args:
            stack: Its trials have just finished an epoch.
            losses: Mean training loss of each.
            train_s: Seconds of the epoch's training that are one trial's share.
        """
        factors, seen = stack.last_factors(), stack.seen
        started = time.monotonic()
        for index, outputs in enumerate(stack.outputs()):
            run = stack.runs[index]
            if not run.is_over:
                metrics = self._score(run, outputs, stack.values(index))
                number, epoch = run.trial.spec.key.trial, run.state.epoch
                logger.info(
                    "trial %d, epoch %d: train loss %.4f, %s",
                    *(number, epoch, losses[index], metrics),
                )
                run.state.seconds += train_s + time.monotonic() - started
                report = epoch_report(
                    run.state.epoch,
                    metrics,
                    train_loss=losses[index],
                    learning_rate=run.trial.recipe.learning_rate * factors[index],
                    examples_per_s=seen[index] / max(train_s, 1e-9),
                )
                self._say(run, report)
            started = time.monotonic()

    def _score(self, run: RunningHead, outputs: Tensor, values: Pair) -> dict[str, float]:
        """Metrics of an epoch that has just been trained; keeps it if it is the best so far."""
        task = self.setting.task
        rows = task.rows(outputs, self.features.validation_targets)
        predictions = gather([rows], self.features.validation_ids)
        metrics = task.score(predictions)
        run.state.epoch += 1
        if note_best(run.state, metrics, epoch=run.state.epoch, goal=self.setting.goal):
            run.keep_best(values, predictions, task)
        return metrics

    def _say(self, run: RunningHead, report: Report) -> None:
        """Send an epoch's report, unless the study has it, and go on as it wants."""
        decision = Decision.CONTINUE
        if report.step <= len(run.sent):
            report = run.sent[report.step - 1]
        else:
            run.sent.append(report)
            decision = self.channel.report(run.trial.spec.key, report)
        run.state.reports.append(report)
        recipe, state = run.trial.recipe, run.state
        is_done = state.epoch >= recipe.epochs or is_patience_over(state, recipe.early_stopping)
        if is_done or decision is not Decision.CONTINUE:
            self._close(run, decision=decision)

    def _close(
        self,
        run: RunningHead,
        *,
        decision: Decision = Decision.CONTINUE,
        error: TrialFailed | None = None,
    ) -> None:
        run.is_over = True
        run.finish(self.setting.task)
        self.end(HeadEnding(run.trial, run.state, decision, error))
