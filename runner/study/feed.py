"""The study's side of the backend contract: gives jobs, hears reports, closes trials."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.backends import NoJob
from runner.errors import SearchStopped
from runner.study import inbox
from runner.study.budget import Budget
from runner.study.judging import judged
from runner.study.listener import Listener
from runner.study.logbook import Logbook
from runner.study.pruning import is_pruned, is_rung
from runner.study.record import RESUMABLE, StudyRecord
from runner.study.sampling import Sampling
from runner.study.storage import trial_folder
from runner.study.waves import WaveRules, Waves
from runner.trial import (
    Attempt,
    Decision,
    Ending,
    Job,
    Lease,
    Outcome,
    Report,
    TrialSpec,
)

logger = logging.getLogger(__name__)

# A trial whose worker died this often is given up; the trial itself is the likely cause. Fewer
# than the deaths in a row that end a search, so that such a trial costs only itself.
MAX_LOSSES = 2
INBOX_EVERY_S = 0.5
SAVE_TIME_EVERY_S = 10.0


@dataclass
class RunningTrial:
    """A trial that is being run.

    Attributes:
        key: Which attempt at which trial.
        lease: Where it runs.
        params: Its searched hyperparameters.
        epochs: How many epochs it would train to its end; None if only its code knows.
        started_s: When this attempt began, on the monotonic clock.
        company: How many trials its job was given out with, itself included.
        reports: Its reports by epoch.
        decision: What the study wants of it.
        why: The reason of that decision.
    """

    key: Attempt
    lease: Lease
    params: Mapping[str, Any]
    epochs: int | None
    started_s: float
    company: int = 1
    reports: dict[int, Report] = field(default_factory=dict)
    decision: Decision = Decision.CONTINUE
    why: str = ""


@dataclass(frozen=True)
class Rules:
    """How a study is run, as plain values.

    Attributes:
        metric: Name of the validation metric that is searched on.
        pruner: Name of the pruner, for its rungs.
        seed: The study's.
        first: Known-good settings that are tried first.
        trial_time_s: Hard limit of one attempt, or None; a job has the sum of its trials' limits.
        max_failures: Failures in a row that stop the search.
        epochs_of: Epochs of a trial with given parameters, or None.
        waves: How trials are asked for and put together.
    """

    metric: str
    pruner: str
    seed: int
    first: Sequence[Mapping[str, Any]]
    trial_time_s: float | None
    max_failures: int
    epochs_of: Callable[[Mapping[str, Any]], int | None]
    waves: WaveRules = field(default_factory=WaveRules)


class StudyFeed:
    """Gives out the trials of one study. Not thread-safe: one thread runs a backend."""

    def __init__(
        self,
        record: StudyRecord,
        *,
        sampling: Sampling,
        budget: Budget,
        rules: Rules,
        logbook: Logbook,
        listener: Listener,
        begun_at: float | None = None,
    ) -> None:
        self.record = record
        self._listener = listener
        self.budget = budget
        self.running: dict[int, RunningTrial] = {}
        self.stop_reason = ""
        self.failure: str | None = None
        self._sampling = sampling
        self._rules = rules
        self._logbook = logbook
        self._failures_in_a_row = 0
        self._losses: Counter[int] = Counter()
        self._inbox_seen_s = 0.0
        self._saved_s = budget.used_s
        self._begun_at = time.time() if begun_at is None else begun_at
        for frozen in record.study.get_trials(deepcopy=False):
            sampling.learn(frozen)
        self._waves = Waves(
            record, sampling=sampling, rules=rules.waves, seed=rules.seed, first=rules.first
        )

    def stop(self, reason: str) -> None:
        """Give out nothing more, and ask what runs to leave with its checkpoint."""
        if not self.stop_reason:
            self.stop_reason = reason
            logger.info("stopping: %s", reason)
        for running in self.running.values():
            self._want(running, Decision.PAUSE, reason)

    def next(self, lease: Lease) -> Job | NoJob:
        """See `Feed.next`."""
        self._read_inbox()
        is_over = self.stop_reason or self.budget.is_time_up
        busy = len({running.lease.slot for running in self.running.values()})
        numbers = [] if is_over else self._waves.next_job(budget=self.budget, busy=busy)
        if not numbers:
            return NoJob.WAIT if self.running else NoJob.DONE
        return Job(tuple(self._begin(number, lease, len(numbers)) for number in numbers))

    def report(self, key: Attempt, report: Report) -> Decision:
        """See `Feed.report`."""
        running = self._of(key)
        if running is None:
            return Decision.STOP
        before = max((step for step in running.reports if step < report.step), default=0)
        running.reports[report.step] = report
        self._logbook.report(key.trial, report)
        self._listener.reported(key.trial, report)
        value = report.metrics.get(f"validation/{self._rules.metric}")
        is_last = running.epochs is not None and report.step >= running.epochs
        is_at_rung = is_rung(self._rules.pruner, report.step, after=before)
        if value is not None and is_at_rung and not is_last:
            self.record.add_rung(key.trial, report.step, value)
            self._sampling.report(key.trial, report.step, value)
            if is_pruned(self.record, key.trial, report.step):
                self._want(running, Decision.STOP, f"pruned at epoch {report.step}")
        return running.decision

    def end(self, key: Attempt, ending: Ending) -> None:
        """See `Feed.end`."""
        running = self._of(key)
        if running is None:
            return
        ending = judged(ending, why=running.why, metric=self._rules.metric)
        evaluation = self._logbook.keep(self.record.folder, key.trial, running.reports, ending)
        # One of several may have been the doom of the others: each is tried by itself first.
        is_alone = running.company == 1
        self._losses[key.trial] += ending.outcome is Outcome.LOST and is_alone
        is_given_up = ending.outcome is Outcome.LOST and self._losses[key.trial] >= MAX_LOSSES
        if is_given_up:
            self.record.give_up(key.trial, ending)
        else:
            self.record.close(key.trial, ending)
        del self.running[key.trial]
        self._after(key.trial, ending, is_final=ending.outcome not in RESUMABLE or is_given_up)
        if ending.outcome is Outcome.LOST and not is_given_up:
            self._waves.again(self.record.trial(key.trial), is_alone=not is_alone)
        self._logbook.end(self.record, key.trial, evaluation)
        self._listener.ended(self.record.trial(key.trial))

    def cancellations(self) -> Mapping[Attempt, Decision]:
        """See `Feed.cancellations`."""
        self._read_inbox()
        self._save_time()
        if self.budget.is_time_up:
            self.stop(f"the time of {self.budget.time_s:g} s is used up")
        limit = self._rules.trial_time_s
        for running in self.running.values():
            taken_s = time.monotonic() - running.started_s
            if limit is not None and taken_s > limit * running.company:
                self._want(
                    running, Decision.TIME_OUT, f"longer than search.trial_time {limit:g} s"
                )
        return {
            running.key: running.decision
            for running in self.running.values()
            if running.decision is not Decision.CONTINUE
        }

    def _begin(self, number: int, lease: Lease, company: int) -> TrialSpec:
        key = Attempt(number, self.record.begin(number))
        trial = self.record.trial(number)
        epochs = self._rules.epochs_of(trial.params)
        running = RunningTrial(key, lease, trial.params, epochs, time.monotonic(), company)
        self.running[number] = running
        self._logbook.begin(trial)
        self._listener.began(trial, lease, epochs)
        folder = str(trial_folder(self.record.folder, number))
        return TrialSpec(key, dict(trial.params), trial.seed, folder)

    def _of(self, key: Attempt) -> RunningTrial | None:
        """The running trial of an attempt; None for what a dead attempt still says."""
        running = self.running.get(key.trial)
        return running if running is not None and running.key == key else None

    def _want(self, running: RunningTrial, decision: Decision, why: str) -> None:
        if running.decision is Decision.CONTINUE:
            running.decision, running.why = decision, why

    def _after(self, number: int, ending: Ending, *, is_final: bool) -> None:
        if is_final:
            self._sampling.tell(number, self.record.frozen(number))
        is_failure = is_final and ending.outcome in (Outcome.FAILED, Outcome.LOST)
        if is_failure:
            self._failures_in_a_row += 1
        elif ending.outcome in (Outcome.COMPLETE, Outcome.PRUNED):
            self._failures_in_a_row = 0
        if self._failures_in_a_row >= self._rules.max_failures:
            self.failure = (
                f"{self._failures_in_a_row} trials in a row failed, the last (trial {number}) "
                f"with: {ending.reason}. Its log is "
                f"{trial_folder(self.record.folder, number) / 'log.txt'}"
            )
            self.stop("too many failures in a row")
        self.record.set_attribute("seconds_used", round(self.budget.used_s, 3))

    def _save_time(self) -> None:
        """Now and then, so that a kill forgets only a little of what was used."""
        if self.budget.used_s - self._saved_s >= SAVE_TIME_EVERY_S:
            self._saved_s = self.budget.used_s
            self.record.set_attribute("seconds_used", round(self._saved_s, 3))

    def _read_inbox(self) -> None:
        if time.monotonic() - self._inbox_seen_s < INBOX_EVERY_S:
            return
        self._inbox_seen_s = time.monotonic()
        for wish in inbox.pending(self.record.folder):
            match wish:
                case inbox.StopTrial(_, number):
                    if number in self.running:
                        self._want(self.running[number], Decision.STOP, "stopped by the user")
                    inbox.settled(self.record.folder, wish)
                case inbox.StopStudy(_, asked_at):
                    inbox.settled(self.record.folder, wish)
                    # One that was left for an earlier driver is not for this one.
                    if asked_at >= self._begun_at:
                        self.stop("stopped from another terminal")
                case inbox.Enqueue():
                    # It stays in the inbox until a trial with its id is in the study.
                    if self._waves.has_taken(wish):
                        inbox.settled(self.record.folder, wish)
                    else:
                        self._waves.enqueue(wish)


def require_success(feed: StudyFeed) -> None:
    """Raise what stopped the search, if anything did.

    Raises:
        SearchStopped: If too many trials failed in a row.
    """
    if feed.failure is not None:
        raise SearchStopped(feed.failure)
