"""Trains trials on all devices of a lease: this process on the first, and leads the others."""

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from runner.errors import LossNotFinite
from runner.trial.job import Attempt, Channel, Decision, Ending, Lease, Report
from runner.trial.parallel.helpers import Helpers
from runner.trial.parallel.messages import Task
from runner.trial.parallel.norms import BatchNorms
from runner.trial.parallel.ranks import Ranks
from runner.trial.route import why_plain
from runner.trial.training import Leave, Training

if TYPE_CHECKING:
    from runner.trial.objective import FineTune


class Crew:
    """The processes that train the trials of a lease of several devices.

    Helpers are started for the first trial that needs them and stay for those that follow, until
    one cannot go on.

    Args:
        objective: Has the experiment; pickled to the helpers.
        lease: Two devices or more.
    """

    def __init__(self, objective: "FineTune", lease: Lease) -> None:
        self._objective = objective
        self._lease = lease
        self._helpers: Helpers | None = None
        self._end: Callable[[], object] | None = None
        self._is_preparing = False

    @property
    def devices(self) -> tuple[str, ...]:
        """Where its trials are trained."""
        return self._lease.devices

    @property
    def size(self) -> int:
        """How many devices train a trial."""
        return len(self._lease.devices)

    def train(self, training: Training, channel: Channel) -> None:
        """Prepare a trial and train it as `Training.run` does, on all devices where that pays.

        Raises:
            Leave: If the study wants the trial to leave.
            TrialFailed: If the loss is no longer a number, or another device fails.
            TrialLost: If the process of another device dies.
            RuntimeError, MemoryError: If memory runs out, here or on another device.
        """
        try:
            self._train(training, channel)
        except (Leave, LossNotFinite):
            if self._is_preparing:
                self.dismiss()
            raise
        except BaseException as error:
            cause = error if self._helpers is None else self._helpers.cause_of(error)
            self.dismiss()
            if cause is error:
                raise
            raise cause from error

    def note(self, training: Training) -> str | None:
        """On how many devices a trial was trained, for its tags; None if it never began."""
        if _trains_head_alone(training):
            return f"1 device of {self.size}: only the head trains, on shared features"
        if training.ranks.size == 1:
            return None
        norms = f"; {training.norms}" if training.norms is not BatchNorms.NONE else ""
        return f"{training.ranks.size} devices{norms}"

    def dismiss(self) -> None:
        """End the helpers; the next trial starts others."""
        self._is_preparing = False
        if self._end is not None:
            self._end()
        self._helpers = self._end = None

    def _train(self, training: Training, channel: Channel) -> None:
        task = Task(training.spec, training.micro_batch)
        is_wanted = partial(training.require_wanted, channel)
        helpers: Helpers | None = None
        if not _may_train_head_alone(training):
            # They prepare at the same time, and make features together where those are wanted.
            helpers = self._give(task, is_wanted)
        training.prepare(channel)
        if _trains_head_alone(training):
            training.run(channel)
            return
        if helpers is None:
            helpers = self._give(task, is_wanted)
        helpers.await_prepared(is_wanted)
        self._is_preparing = False
        training.join(Ranks(0, self.size))
        try:
            training.run(_Leading(channel, helpers))
        except LossNotFinite:
            # Not where it is only what one has left behind that has gone.
            helpers.require_well()
            helpers.rest()
            raise
        except Leave:
            helpers.rest()
            raise
        helpers.rest()

    def _give(self, task: Task, is_wanted: Callable[[], None]) -> Helpers:
        """Helpers that prepare a trial; started if there are none, or none that go on."""
        if self._helpers is not None and not self._helpers.are_well:
            self.dismiss()
        if self._helpers is None:
            self._helpers = Helpers(self._objective, self._lease)
            # Also where the crew is simply forgotten: the thread that listens keeps them alive.
            self._end = weakref.finalize(self, self._helpers.end)
        self._is_preparing = True
        self._helpers.give(task, is_wanted)
        return self._helpers


class _Leading:
    """The channel of a trial that this process leads: helpers take a step for each of its own."""

    def __init__(self, channel: Channel, helpers: Helpers) -> None:
        self._channel = channel
        self._helpers = helpers

    def report(self, key: Attempt, report: Report) -> Decision:
        # What was computed with one that has gone since is nobody's result.
        self._helpers.require_well()
        return self._channel.report(key, report)

    def decision(self, key: Attempt) -> Decision:
        decision = self._channel.decision(key)
        if decision is Decision.CONTINUE:
            self._helpers.step()
        return decision

    def end(self, key: Attempt, ending: Ending) -> None:
        self._channel.end(key, ending)


def _trains_head_alone(training: Training) -> bool:
    """Whether it does, on features: a matter of milliseconds."""
    return training.route.cut == training.built.groups.count


def _may_train_head_alone(training: Training) -> bool:
    """Whether it will, if the features of all other layers can be had."""
    built = training.built
    is_alone = built.depth == built.groups.count
    return is_alone and why_plain(training.bench, training.recipe, built) is None
