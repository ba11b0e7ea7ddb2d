"""The study's side of the backend contract: gives jobs, hears reports, closes trials."""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from runner.backends import NoJob
from runner.errors import SearchStopped
from runner.study import inbox
from runner.study.budget import Budget
from runner.study.failing import FailurePolicy, Then, Verdict
from runner.study.judging import beside_others, has_run_out, judged
from runner.study.listener import Listener
from runner.study.logbook import Logbook
from runner.study.news import News
from runner.study.packing import Packing, Placement
from runner.study.population import hand_down
from runner.study.pruning import Judge
from runner.study.record import StudyRecord
from runner.study.rules import Rules, RunningTrial
from runner.study.running import Running
from runner.study.sampling import Sampling
from runner.study.showing import Showing
from runner.study.storage import trial_folder, trial_log
from runner.study.trial_record import TrialRecord
from runner.study.waves import Waves
from runner.trial import (
    Attempt,
    Decision,
    Ending,
    Job,
    Lease,
    Outcome,
    Report,
    TrialSpec,
    clear_ended,
)

logger = logging.getLogger(__name__)

INBOX_EVERY_S = 0.5
SAVE_TIME_EVERY_S = 10.0


class StudyFeed:
    """Gives out the trials of one study. Not thread-safe: one thread runs a backend."""

    def __init__(
        self,
        record: StudyRecord,
        *,
        sampling: Sampling,
        judge: Judge,
        budget: Budget,
        rules: Rules,
        logbook: Logbook,
        listener: Listener,
        begun_at: float | None = None,
    ) -> None:
        self.record = record
        self._listener = listener
        self.budget = budget
        self.running = Running(rules.trial_time_s)
        self.stop_reason = ""
        # Whether somebody ended the search, rather than its budget or its failures.
        self.was_asked = False
        self.failure: str | None = None
        self._sampling = sampling
        self._judge = judge
        self._showing = Showing(record.sync)
        self._rules = rules
        self._logbook = logbook
        trials = record.trials()
        self._policy = FailurePolicy(
            retries=rules.retries,
            max_failures=rules.max_failures,
            trials=trials,
            log_of=partial(trial_log, record.folder),
        )
        self._aside: list[int] = []
        self._inbox_seen_s = 0.0
        self._saved_s = budget.used_s
        self._begun_at = time.time() if begun_at is None else begun_at
        self._packing = Packing(rules.waves.hint_of)
        self._news = News(listener, lambda: logbook.trouble)
        for trial in trials:
            sampling.learn(record.frozen(trial.number))
            judge.learn(trial)
            self._packing.learn(trial)
        self._waves = Waves(
            record, sampling=sampling, rules=rules.waves, seed=rules.seed, first=rules.first
        )

    def stop(self, reason: str, *, is_asked: bool = False) -> None:
        """Give out nothing more, and ask what runs to leave with its checkpoint.

        May be called by the handler of a signal: others hear of it a moment later.

        Args:
            reason: Why; the first one counts.
            is_asked: Whether somebody wants it.
        """
        if not self.stop_reason:
            self.stop_reason, self.was_asked = reason, is_asked
            logger.info("stopping: %s", reason)
        self.running.want_all(Decision.PAUSE, reason)

    def next(self, lease: Lease) -> Job | NoJob:
        """See `Feed.next`."""
        self._read_inbox()
        is_over = self.stop_reason or self.budget.is_time_up
        if not is_over and not self._packing.is_open(lease):
            return self._wait()
        busy = self.running.places
        job = [] if is_over else self._waves.next_job(budget=self.budget, busy=busy)
        if not job and self._aside and not is_over:
            # There is no other trial to be tried first.
            self._bring_back(self._aside)
            job = self._waves.next_job(budget=self.budget, busy=busy)
        if not job and not self.running:
            self.finish()
            return NoJob.DONE
        placement = self._packing.place(lease, job) if job else None
        if placement is None:
            return self._wait()
        self._waves.begin(job)
        self._packing.begin(lease, placement)
        specs = [self._begin(w.number, lease, placement, company=len(job)) for w in job]
        return Job(tuple(specs))

    def _wait(self) -> NoJob:
        self._showing.show()
        return NoJob.WAIT

    def report(self, key: Attempt, report: Report) -> Decision:
        """See `Feed.report`."""
        running = self._of(key)
        if running is None:
            return Decision.STOP
        before = max((step for step in running.reports if step < report.step), default=0)
        running.reports[report.step] = report
        self._showing.add(partial(self._logbook.report, key.trial, report))
        self._showing.add(partial(self._listener.reported, key.trial, report))
        value = report.metrics.get(f"validation/{self._rules.metric}")
        is_last = running.epochs is not None and report.step >= running.epochs
        if value is None or is_last or not self._judge.is_rung(report.step, after=before):
            return running.decision
        if self._is_weak(key.trial, value, epoch=report.step, after=before):
            self.running.want(running, Decision.STOP, f"pruned at epoch {report.step}")
        return running.decision

    def end(self, key: Attempt, ending: Ending) -> None:
        """See `Feed.end`."""
        running = self._of(key)
        if running is None:
            return
        ending = judged(ending, why=running.why, metric=self._rules.metric)
        has_died = ending.outcome is Outcome.LOST
        if has_run_out(ending, running):
            self._packing.ran_out(running.lease)
        ending = beside_others(ending, running)
        evaluation = self._logbook.keep(self.record.folder, key.trial, running.reports, ending)
        # One of several may have been the doom of the others: each is tried by itself first.
        is_alone = running.company == 1
        before = self.record.trial(key.trial)
        verdict = self._policy.judge(before, ending, is_crash=has_died and is_alone)
        if ending.outcome is Outcome.LOST and running.is_packed:
            self.record.set_trial_attribute(key.trial, "exclusive", True)
        is_over = verdict.then is Then.OVER
        self.record.close(key.trial, ending, is_again=not is_over, crashes=verdict.crashes)
        self.running.remove(key.trial)
        trial = self.record.trial(key.trial)
        self._packing.learn(trial)
        self._follow(trial, verdict, is_alone=has_died and not is_alone)
        log = str(trial_log(self.record.folder, key.trial))
        self._showing.add(partial(self._logbook.end, self.record.folder, trial, evaluation))
        self._showing.add(partial(self._listener.ended, replace(trial, log=log)))

    def finish(self) -> None:
        """Note the time used, and let others hear of everything that has happened."""
        self._sampling.tidy(self.record)
        self._save_time()
        self._showing.show()

    def cancellations(self) -> Mapping[Attempt, Decision]:
        """See `Feed.cancellations`."""
        self._showing.show_due()
        self._read_inbox()
        self._save_time(every_s=SAVE_TIME_EVERY_S)
        if self.budget.is_time_up and not self.stop_reason:
            self.stop(f"the time of {self.budget.time_s:g} s is used up")
        for running in self.running.overdue(now_s=time.monotonic()):
            why = f"longer than search.trial_time {self._rules.trial_time_s:g} s"
            self.running.want(running, Decision.TIME_OUT, why)
        self._news.tell(self.stop_reason)
        return self.running.leaving

    def _begin(
        self, number: int, lease: Lease, placement: Placement, *, company: int
    ) -> TrialSpec:
        key = Attempt(number, self.record.begin(number))
        trial = self.record.trial(number)
        segment = trial.segment
        epochs = self._rules.epochs_of(trial.params) if segment is None else segment.end
        hand_down(self.record.folder, trial)
        running = RunningTrial(
            key, lease, trial.params, epochs, time.monotonic(), company, placement.is_packed
        )
        self.running.add(running)
        if self.stop_reason:
            # A signal came after `next` had looked whether the search is over.
            self.running.want(running, Decision.PAUSE, self.stop_reason)
        self._showing.add(partial(self._logbook.begin, trial))
        self._showing.add(partial(self._listener.began, trial, lease, epochs))
        folder = str(trial_folder(self.record.folder, number))
        return TrialSpec(key, dict(trial.params), trial.seed, folder, placement.is_packed, segment)

    def _is_weak(self, number: int, value: float, *, epoch: int, after: int) -> bool:
        """Whether a trial stops at a rung that it has come to.

        Decided once: a trial that is run again and comes to the rung again hears the same.
        """
        trial = self.record.trial(number)
        if epoch in trial.rungs:
            return trial.failed_at is not None and trial.failed_at <= epoch
        values = {**trial.rungs, epoch: value}
        failed_at = self._judge.failed(number, values, epoch=epoch, after=after)
        self.record.add_rung(number, epoch, value, failed_at=failed_at)
        self._sampling.report(number, epoch, value)
        return failed_at is not None

    def _of(self, key: Attempt) -> RunningTrial | None:
        """The running trial of an attempt; None for what a dead attempt still says."""
        running = self.running.get(key.trial)
        return running if running is not None and running.key == key else None

    def _follow(self, trial: TrialRecord, verdict: Verdict, *, is_alone: bool) -> None:
        """Do what follows from the end of an attempt.

        Args:
            trial: As the study has it now.
            verdict: What becomes of it.
            is_alone: Whether it is run by itself if it is run again.
        """
        # Whatever this one has shown, those that wait for it have waited long enough.
        aside, self._aside = self._aside, []
        if verdict.then is Then.OVER:
            if trial.outcome is not Outcome.COMPLETE:
                clear_ended(trial_folder(self.record.folder, trial.number), is_complete=False)
            self._sampling.tell(trial.number, self.record.frozen(trial.number))
            self._judge.tell(trial)
            self._sampling.tidy(self.record)
        elif verdict.then is Then.AGAIN:
            self._waves.again(trial, is_alone=is_alone)
        elif verdict.then is Then.ASIDE:
            self._aside.append(trial.number)
        self._bring_back(aside)
        if verdict.stop:
            self.failure = self.failure or verdict.stop
            self.stop(verdict.headline)

    def _bring_back(self, aside: list[int]) -> None:
        """Trials that were put aside are run next."""
        numbers, aside[:] = list(aside), []
        for number in numbers:
            self._waves.again(self.record.trial(number), is_alone=False)

    def _save_time(self, *, every_s: float = 0.0) -> None:
        """Now and then, so that a kill forgets only a little of what was used."""
        if self.budget.used_s - self._saved_s > every_s:
            self._saved_s = self.budget.used_s
            self.record.set_attribute("seconds_used", round(self._saved_s, 3))

    def _read_inbox(self) -> None:
        if time.monotonic() - self._inbox_seen_s < INBOX_EVERY_S:
            return
        self._inbox_seen_s = time.monotonic()
        for wish in self.record.place.pending():
            match wish:
                case inbox.StopTrial(_, number):
                    if (running := self.running.get(number)) is not None:
                        self.running.want(running, Decision.STOP, "stopped by the user")
                    self.record.place.settled(wish)
                case inbox.StopStudy(_, asked_at):
                    self.record.place.settled(wish)
                    # One that was left for an earlier driver is not for this one.
                    if asked_at >= self._begun_at:
                        self.stop("stopped from another terminal", is_asked=True)
                case inbox.Enqueue():
                    # It stays in the inbox until a trial with its id is in the study.
                    if self._waves.has_taken(wish):
                        self.record.place.settled(wish)
                    else:
                        self._waves.enqueue(wish)


def require_success(feed: StudyFeed) -> None:
    """Raise what stopped the search, if anything did.

    Raises:
        SearchStopped: If too many trials failed in a row.
    """
    if feed.failure is not None:
        raise SearchStopped(feed.failure)
