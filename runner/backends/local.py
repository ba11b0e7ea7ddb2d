"""Runs jobs in persistent worker processes of this machine, one a lease.

On a device that leases share, a worker is started when there is a job for it, and the others are
ended for a job that is to have the device to itself: a process holds some of its memory as long as
it lives.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from runner.backends.contract import Feed, NoJob
from runner.backends.given import GRACE_S, MAX_DEATHS_IN_A_ROW, Given
from runner.backends.life import Silence
from runner.backends.logs import log_of
from runner.backends.process import WorkerProcess, dismiss
from runner.errors import RunnerError, SearchStopped
from runner.trial import Decision, Facts, Job, Lease, Objective

logger = logging.getLogger(__name__)

# How often the driver looks for cancellations and free slots when no worker speaks.
TICK_S = 0.2


class LocalBackend:
    """Persistent workers: libraries, data and weights are loaded once in each.

    Args:
        objective: What the workers run; pickled to them.
        leases: The first of each device gets its worker at once.
        logs: Folder for what workers print outside of trials.
        grace_s: Seconds a cancelled trial gets to leave by itself.
        silence: How long a worker may show no sign of life; None: for ever.
        max_deaths: Workers of a lease that die in a row, without one that ends a trial, and stop
            the search.
    """

    def __init__(
        self,
        objective: Objective,
        leases: Sequence[Lease],
        *,
        logs: Path,
        grace_s: float = GRACE_S,
        silence: Silence | None = None,
        max_deaths: int = MAX_DEATHS_IN_A_ROW,
    ) -> None:
        self._objective = objective
        self._logs = logs
        self._grace_s = grace_s
        self._silence = silence
        self._max_deaths = max_deaths
        logs.mkdir(parents=True, exist_ok=True)
        self._leases = tuple(leases)
        first = {lease.place: lease for lease in reversed(leases)}
        self._workers = {
            lease.slot: self._start(lease) for lease in leases if first[lease.place] is lease
        }

    def inspect(self) -> Facts:
        """See `Backend.inspect`; the first worker does it and keeps what it loads.

        Raises:
            RunnerError: If the second pass itself fails.
            SearchStopped: If the worker hangs, ends by itself, or is killed again and again.
        """
        while True:
            worker = self._workers[self._leases[0].slot]
            try:
                answer = self._ask(worker)
            except (EOFError, OSError) as error:
                reason = worker.how_it_died()
                is_killed = worker.process.returncode < 0
                if worker.given.was_silent or not is_killed:
                    raise SearchStopped(reason) from error
                self._start_again(worker, reason)
            else:
                if isinstance(answer, RunnerError):
                    raise answer
                return answer

    def slots(self) -> int:
        """See `Backend.slots`; leases of one device count once."""
        return len({lease.place for lease in self._leases})

    def run(self, feed: Feed) -> None:
        """See `Backend.run`."""
        while True:
            waiting = self._hand_out(feed)
            if not waiting and not any(worker.given.open for worker in self._workers.values()):
                return
            self._cancel(feed)
            self._listen(feed)

    def close(self) -> None:
        """End every worker; what a worker was running is lost."""
        dismiss(self._workers.values())
        self._workers = {}

    def _start(self, lease: Lease, deaths: int = 0) -> WorkerProcess:
        return WorkerProcess.start(
            self._objective, lease, logs=self._logs, silence=self._silence, deaths=deaths
        )

    @property
    def _limit_s(self) -> float | None:
        return None if self._silence is None else self._silence.limit_s

    def _ask(self, worker: WorkerProcess) -> Facts | RunnerError:
        """What a worker answers when it is told to inspect.

        Raises:
            EOFError: If it dies or hangs.
            OSError: Likewise.
        """
        if not worker.is_idle:
            self._hear_out(worker)
        worker.is_idle = False
        worker.given.live()
        worker.send(("inspect", None))
        _, _, answer = self._hear_out(worker)
        worker.is_idle = True
        worker.deaths = 0
        facts: Facts | RunnerError = answer
        return facts

    def _hear_out(self, worker: WorkerProcess) -> tuple[str, Any, Any]:
        """Wait for what a worker has to say besides that it lives.

        Raises:
            EOFError: If it dies or hangs.
            OSError: Likewise.
        """
        while True:
            if worker.connection.poll(TICK_S):
                message: tuple[str, Any, Any] = worker.connection.recv()
                worker.given.live()
                if message[0] != "alive":
                    return message
            elif worker.process.poll() is not None and not worker.connection.poll():
                raise EOFError
            self._end_if_silent(worker)

    def _end_if_silent(self, worker: WorkerProcess) -> None:
        """Kill a worker that has hung; that its socket closes tells the rest."""
        if worker.has_hung:
            logger.warning("the worker of slot %d shows no sign of life", worker.lease.slot)
            worker.given.was_silent = True
            worker.kill()

    def _hand_out(self, feed: Feed) -> bool:
        """Give free leases jobs; whether the feed may have more later."""
        is_waiting = False
        # Soon idle: no other process is started in their place.
        soon = {w.lease.place for w in self._workers.values() if not (w.is_idle or w.given.open)}
        for lease in self._by_load():
            worker = self._workers.get(lease.slot)
            is_busy = lease.place in soon if worker is None else not worker.is_idle
            if is_busy:
                is_waiting = True
                continue
            job = feed.next(lease)
            if isinstance(job, Job):
                is_waiting = True
                self._give(lease, job)
            else:
                is_waiting = is_waiting or job is NoJob.WAIT
        return is_waiting

    def _by_load(self) -> list[Lease]:
        """The leases, those first on whose device the fewest jobs run."""
        busy = Counter(w.lease.place for w in self._workers.values() if w.given.open)
        return sorted(self._leases, key=lambda lease: busy[lease.place])

    def _give(self, lease: Lease, job: Job) -> None:
        """Send a job to the worker of a lease, which may have to be started."""
        if lease.share is not None and not job.is_packed:
            there = [other for other in self._leases if other.place == lease.place]
            others = [other.slot for other in there if other.slot != lease.slot]
            dismiss([self._workers.pop(slot) for slot in others if slot in self._workers])
        if lease.slot not in self._workers:
            self._workers[lease.slot] = self._start(lease)
        worker = self._workers[lease.slot]
        # One that has just been started may be silent for longer, until it is ready.
        silence_s = self._limit_s if worker.is_idle else worker.given.silence_s
        worker.given = Given.of(job, grace_s=self._grace_s, silence_s=silence_s)
        worker.log = log_of(job)
        worker.is_idle = False
        worker.send(("job", job))

    def _cancel(self, feed: Feed) -> None:
        wanted = feed.cancellations()
        for worker in self._workers.values():
            for key, decision in worker.given.news(wanted).items():
                worker.send(("cancel", key, decision))
            if worker.given.has_hung:
                logger.warning("the worker of slot %d does not leave: killed", worker.lease.slot)
                worker.given.is_killed = True
                worker.kill()
            self._end_if_silent(worker)

    def _listen(self, feed: Feed) -> None:
        workers = list(self._workers.values())
        ready = wait([worker.connection for worker in workers], timeout=TICK_S)
        for worker in workers:
            if worker.connection in ready:
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    self._replace(worker, feed)
                else:
                    self._heed(worker, message, feed)
            elif worker.process.poll() is not None and not worker.connection.poll():
                # Something it has forked holds its end of the socket open.
                self._replace(worker, feed)

    def _heed(self, worker: WorkerProcess, message: tuple[str, Any, Any], feed: Feed) -> None:
        kind, key, content = message
        if kind == "alive":
            worker.given.live()
            return
        worker.given.hear()
        if kind == "report":
            is_open = key in worker.given.open
            decision = feed.report(key, content) if is_open else Decision.STOP
            worker.send(("answer", key, decision))
            # It could say nothing as long as it waited for that.
            worker.given.live()
        elif kind == "end" and worker.given.end(key):
            worker.deaths = 0
            feed.end(key, content)
        elif kind == "ready" and worker.given.open:
            worker.given.silence_s = self._limit_s
        elif kind in ("idle", "ready"):
            worker.is_idle = True
            worker.log = worker.own_log

    def _replace(self, worker: WorkerProcess, feed: Feed) -> None:
        """A worker died: its trials are lost, and a new worker takes its lease."""
        reason = worker.how_it_died()
        for key, ending in worker.given.losses(reason):
            feed.end(key, ending)
        self._start_again(worker, reason)

    def _start_again(self, worker: WorkerProcess, reason: str) -> None:
        """Start a new worker in place of one that died.

        Raises:
            SearchStopped: If too many of its lease died in a row.
        """
        worker.connection.close()
        deaths = worker.deaths + (not worker.given.is_killed)
        if deaths >= self._max_deaths:
            raise SearchStopped(f"{reason}; {deaths} times in a row, so the search stops")
        self._workers[worker.lease.slot] = self._start(worker.lease, deaths)
