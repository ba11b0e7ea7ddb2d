"""The one thread that talks to MLflow while a search runs: in order, batched, patient."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.errors import TrackingUnreachable
from runner.tracking.address import without_secrets
from runner.tracking.backlog import Backlog
from runner.tracking.carrier import NotTaken
from runner.tracking.records import Record, coalesce, record_count

logger = logging.getLogger(__name__)

# A page refreshed by hand does not show half a second, and a short trial fits into one batch.
LINGER_S = 0.5
PATIENCE_S = 120.0
# An upload may take long; a process that nobody hears of for so long has hung.
SILENCE_S = 1800.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 15.0
# Whoever waits for MLflow to take the rest is told after so long why.
TOLD_AFTER_S = 5.0
# How long a closing writer waits for the answer to its last request.
ENDS_WITHIN_S = 1.0


@dataclass(frozen=True)
class Trouble:
    """MLflow has not taken records for a while.

    Attributes:
        why: The last error, without secrets.
        since_s: Monotonic time of the first failure in a row.
    """

    why: str
    since_s: float


class Writer:
    """Delivers records in order from a thread of its own.

    A record that MLflow cannot take now is tried again, ever more slowly, as long as the process
    lives; those behind it wait in a `Backlog`. One that MLflow refuses for good is counted and
    named.
    """

    def __init__(
        self,
        deliver: Callable[[Record, bool], None],
        *,
        shown_uri: str,
        spool: Path | None = None,
        linger_s: float = LINGER_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Start the thread.

        Args:
            deliver: Writes one record, or raises NotTaken; the flag says that it is a repetition.
            shown_uri: The address for messages, without secrets.
            spool: The folder for records that wait, where they are many.
            linger_s: How long a first record waits for others to share a call with.
            patience_s: How long `flush` and `close` bear an MLflow that does not answer, counted
                from its first failure.
        """
        self._deliver = deliver
        self._shown_uri = shown_uri
        self._linger_s = linger_s
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._backlog = Backlog(spool)
        self._undelivered = 0
        self._refused: list[str] = []
        self._trouble: Trouble | None = None
        self._failures = 0
        # When MLflow last took one of those that wait.
        self._taken_s = time.monotonic()
        self._is_hurried = False
        self._is_nudged = False
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="mlflow-writer", daemon=True)
        self._thread.start()

    @property
    def undelivered(self) -> int:
        """Records handed over and not yet in MLflow."""
        with self._changed:
            return self._undelivered

    @property
    def trouble(self) -> Trouble | None:
        """Why nothing is being delivered, if so."""
        with self._changed:
            return self._trouble

    def put(self, *records: Record) -> None:
        """Hand over records; returns at once."""
        with self._changed:
            if not self._undelivered:
                self._taken_s = time.monotonic()
            self._backlog.put(records)
            self._undelivered += sum(record_count(record) for record in records)
            self._changed.notify_all()

    def flush(self, *, within_s: float | None = None) -> None:
        """Wait until MLflow holds everything handed over so far; it is tried at least once more.

        Args:
            within_s: Give up after so long in which it has taken nothing, whatever the patience.
        Raises:
            TrackingUnreachable: If it does not within the patience, or refused records since the
                last flush; the message has their count.
        """
        began_s = time.monotonic()
        with self._changed:
            self._is_hurried = self._is_nudged = True
            self._changed.notify_all()
            seen, is_told = self._failures, False
            while self._undelivered and self._thread.is_alive():
                if self._is_hopeless(began_s, seen, within_s):
                    break
                if not is_told and time.monotonic() - began_s > TOLD_AFTER_S:
                    is_told = self._tell_of_waiting(within_s)
                self._changed.wait(timeout=0.1)
            self._is_hurried = False
            self._complain()

    def close(self, *, within_s: float | None = None) -> None:
        """Flush, and end the thread.

        Args:
            within_s: See `flush`.
        Raises:
            TrackingUnreachable: As `flush`; what was undelivered is then forgotten.
        """
        try:
            self.flush(within_s=within_s)
        finally:
            with self._changed:
                self._is_stopping = True
                self._changed.notify_all()
            self._thread.join(timeout=ENDS_WITHIN_S)
            with self._changed:
                self._backlog.close()

    def _tell_of_waiting(self, within_s: float | None) -> bool:
        """Say that nothing goes on until MLflow answers, if so; whether it was said."""
        if self._trouble is None:
            return False
        logger.warning(
            "MLflow takes nothing just now: %s; it is waited for, up to %.0f s",
            self._trouble.why,
            self._patience_s if within_s is None else within_s,
        )
        return True

    def _is_hopeless(self, began_s: float, seen: int, within_s: float | None) -> bool:
        now_s = time.monotonic()
        limit_s = SILENCE_S if within_s is None else within_s
        if within_s is not None or self._failures == seen:
            return now_s - max(began_s, self._taken_s) > limit_s
        trouble = self._trouble
        return trouble is not None and now_s - trouble.since_s > self._patience_s

    def _complain(self) -> None:
        refused, self._refused = self._refused, []
        if self._undelivered:
            raise TrackingUnreachable(
                f"MLflow tracking at {self._shown_uri} has not taken {self._undelivered} "
                f"record(s): {self._why()}"
            )
        if refused:
            raise TrackingUnreachable(
                f"MLflow tracking at {self._shown_uri} refused {len(refused)} record(s); the "
                f"first: {refused[0]}"
            )

    def _why(self) -> str:
        """Why something is undelivered."""
        if self._trouble is not None:
            return self._trouble.why
        return "no answer yet" if self._thread.is_alive() else "the writer's thread has ended"

    def _run(self) -> None:
        while not self._is_stopping:
            for record in coalesce(self._take()):
                self._persist(record)

    def _take(self) -> list[Record]:
        with self._changed:
            self._changed.wait_for(lambda: self._backlog or self._is_stopping)
            self._changed.wait_for(
                lambda: self._is_hurried or self._is_stopping, timeout=self._linger_s
            )
            return self._backlog.take()

    def _persist(self, record: Record) -> None:
        """Deliver one record, however long it takes, unless the writer is told to stop."""
        pause_s = FIRST_PAUSE_S
        is_retry = False
        while not self._is_stopping:
            try:
                self._deliver(record, is_retry)
            except NotTaken as err:
                if err.is_refusal:
                    return self._done(record, refusal=str(err))
                self._stumble(str(err))
            except Exception as err:  # noqa: BLE001 - this thread would end, and nobody hear of it
                self._stumble(f"{type(err).__name__}: {err}")
            else:
                return self._done(record)
            is_retry = True
            self._sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return None

    def _done(self, record: Record, *, refusal: str | None = None) -> None:
        with self._changed:
            self._undelivered -= record_count(record)
            self._trouble = None
            self._taken_s = time.monotonic()
            if refusal is not None:
                self._refused += [without_secrets(refusal)] * record_count(record)
            self._changed.notify_all()

    def _stumble(self, why: str) -> None:
        with self._changed:
            self._failures += 1
            since_s = self._trouble.since_s if self._trouble else time.monotonic()
            self._trouble = Trouble(without_secrets(why), since_s)
            self._changed.notify_all()

    def _sleep(self, pause_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping or self._is_nudged, timeout=pause_s)
            self._is_nudged = False
