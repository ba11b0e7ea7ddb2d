"""Holding a study in PostgreSQL: the lock of the connection that writes, and a journal over it.

The lock is an advisory lock of the session, so it goes with the driver or with its connection.
A driver whose connection broke therefore holds nothing any more. It may go on only if it gets the
lock again and nobody had it meanwhile; for that each taking of a study counts up its `tenure`.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg

from runner.errors import SearchStopped, StorageUnreachable, StudyError, StudyLocked
from runner.study.postgres.database import Connection, Database, reason

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long a driver waits for its database to come back; a restart takes seconds, a switch to a
# standby about a minute.
OUTAGE_S = 120.0
RETRY_S = 0.5
# The first half of the lock's key; the second is the study's id. "rnnr" as a number.
LOCK_CLASS = 0x726E6E72
# A commit is on the disk when it is answered; a driver's machine that vanishes loses its lock
# within half a minute; waiting for data to be prepared does not.
_SESSION = """
SELECT set_config(name, value, false)
FROM (VALUES ('tcp_keepalives_idle', '15'), ('tcp_keepalives_interval', '5'),
             ('tcp_keepalives_count', '3'), ('idle_session_timeout', '0')) AS wanted (name, value)
JOIN pg_settings USING (name)
UNION ALL
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
_TAKE = """
UPDATE runner_store.studies SET tenure = tenure + 1, driver = %s WHERE id = %s RETURNING tenure
"""
_APPEND = """
INSERT INTO runner_store.journal (study, number, line)
SELECT %s::bigint, %s::bigint + ordinality - 1, line
FROM unnest(%s::text[]) WITH ORDINALITY AS appended (line, ordinality)
"""


class Holding:
    """A study that this process holds.

    Args:
        database: Where the study is.
        study: Its id there.
        reference: `name:number`.
    Raises:
        StudyLocked: If another process holds it; the message says which.
        StorageUnreachable: If the database does not answer, or refuses.
    """

    def __init__(self, database: Database, study: int, *, reference: str) -> None:
        self.study = study
        self.reference = reference
        self.renewals = 0
        self._database = database
        self._turn = threading.RLock()
        self._lost: SearchStopped | None = None
        self._connection = database.connect()
        try:
            self._tenure = self._take()
        except psycopg.Error as error:
            self._connection.close()
            raise database.unreachable(error) from error
        except StudyError:
            self._connection.close()
            raise

    def run(self, work: Callable[[Connection], T]) -> T:
        """Work over the connection; if it breaks, hold the study again and begin anew.

        Args:
            work: Done again after an outage, whether or not the database did it before.
        Raises:
            SearchStopped: If the database refuses, stays away, or another driver has the study.
        """
        with self._turn:
            until = 0.0
            while True:
                if self._lost is not None:
                    raise self._lost
                try:
                    return work(self._connection)
                except psycopg.Error as error:
                    if not _has_broken(self._connection, error):
                        raise self._stopped(reason(error)) from error
                    until = until or time.monotonic() + OUTAGE_S
                    self._hold_again(reason(error), until=until)

    def release(self, *, is_well: bool) -> None:
        """Let the study go.

        Args:
            is_well: Whether it ended as it should; if not, the driver's name stays, and the next
                command looks after the study.
        """
        try:
            if is_well and not self._connection.closed:
                self._connection.execute(
                    "UPDATE runner_store.studies SET driver = '' WHERE id = %s AND tenure = %s",
                    (self.study, self._tenure),
                )
        except psycopg.Error as error:
            logger.debug("left as it is: %s", reason(error))
        finally:
            self._connection.close()

    def refuse(self, why: str) -> SearchStopped:
        """The error that ends this holding: nothing is written after it."""
        self._lost = SearchStopped(
            f"the study {self.reference} in {self._database.shown} is lost to this search: {why}. "
            "Nothing that was told before is lost; look with `python -m runner status "
            f"{self.reference.partition(':')[0]}`"
        )
        return self._lost

    def _take(self) -> int:
        connection = self._connection
        connection.execute(_SESSION)
        if not _has_locked(connection, self.study):
            raise self._locked()
        driver = f"process {os.getpid()} on {socket.gethostname()}"
        taken = connection.execute(_TAKE, (driver, self.study)).fetchone()
        if taken is None:
            raise StudyError(f"the study {self.reference} was removed this moment; search again")
        # What is still there was meant for an earlier driver.
        connection.execute(
            "DELETE FROM runner_store.wishes WHERE study = %s AND kind = 'stop-study'",
            (self.study,),
        )
        return int(taken[0])

    def _locked(self) -> StudyLocked:
        found = self._connection.execute(
            "SELECT driver FROM runner_store.studies WHERE id = %s", (self.study,)
        ).fetchone()
        name = self.reference.partition(":")[0]
        return StudyLocked(
            f"the study {self.reference} in {self._database.shown} is being searched by "
            f"{(found and found[0]) or 'another process'}; watch it with `python -m runner "
            f"status {name}`, end it with `python -m runner stop {name}`"
        )

    def _hold_again(self, why: str, *, until: float) -> None:
        """After the connection broke: the same study, if nobody had it meanwhile."""
        logger.warning(
            "the studies' database has gone away (%s); waiting up to %.0f s for it, and what "
            "trains goes on",
            why,
            max(0.0, until - time.monotonic()),
        )
        self._connection.close()
        try:
            self._await_database(why, until=until)
        except KeyboardInterrupt:
            self.refuse("it was interrupted while the database was away")
            raise

    def _await_database(self, why: str, *, until: float) -> None:
        while time.monotonic() < until:
            try:
                connection = self._database.connect()
            except StorageUnreachable as error:
                why = str(error)
            else:
                try:
                    if self._has_again(connection):
                        logger.warning("the studies' database is back; the search goes on")
                        self._connection = connection
                        self.renewals += 1
                        return
                    why = "the lock of the broken connection is still held"
                except psycopg.Error as error:
                    why = reason(error)
                except SearchStopped:
                    connection.close()
                    raise
                connection.close()
            time.sleep(RETRY_S)
        raise self.refuse(f"the database did not come back within {OUTAGE_S:.0f} s ({why})")

    def _has_again(self, connection: Connection) -> bool:
        """Whether a new connection has the lock; gives up for good if another driver had it."""
        connection.execute(_SESSION)
        is_locked = _has_locked(connection, self.study)
        found = connection.execute(
            "SELECT tenure, driver FROM runner_store.studies WHERE id = %s", (self.study,)
        ).fetchone()
        if found is None:
            raise self.refuse("it was deleted while the connection was broken")
        if found[0] != self._tenure:
            by = f" ({found[1]})" if found[1] else ""
            raise self.refuse(f"another driver took it{by} while the connection was broken")
        return is_locked

    def _stopped(self, why: str) -> SearchStopped:
        return SearchStopped(
            f"the study {self.reference} in {self._database.shown} cannot be written: {why}. "
            "Nothing that was told before is lost; repair the database and search again"
        )


class JournalTable:
    """Lines of a journal in a table, for the driver that holds the study. See `Lines`."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._count = holding.run(self._last)
        self._renewals = holding.renewals

    def read(self) -> list[bytes]:
        """See `Lines`."""
        return self._holding.run(lambda connection: lines_of(connection, self._holding.study))

    def write(self, lines: Sequence[bytes]) -> None:
        """See `Lines`: one statement, so one transaction, on the disk when it is answered."""
        self._holding.run(lambda connection: self._append(connection, lines))
        self._count += len(lines)

    def sync(self) -> None:
        """Nothing is left to do: every write was committed."""

    def _append(self, connection: Connection, lines: Sequence[bytes]) -> None:
        if self._renewals != self._holding.renewals:
            there = self._last(connection)
            self._renewals = self._holding.renewals
            if there == self._count + len(lines):
                # The connection broke after the commit and before its answer.
                return
            if there != self._count:
                raise self._holding.refuse(
                    f"after the outage it has {there} lines, this search had written "
                    f"{self._count}: was the database restored from a copy?"
                )
        texts = [line.decode() for line in lines]
        try:
            connection.execute(_APPEND, (self._holding.study, self._count, texts))
        except psycopg.errors.UniqueViolation as error:
            raise self._holding.refuse(
                "something else has written to its journal, which only the holder of its lock may"
            ) from error

    def _last(self, connection: Connection) -> int:
        """How many lines there are."""
        found = connection.execute(
            "SELECT coalesce(max(number) + 1, 0) FROM runner_store.journal WHERE study = %s",
            (self._holding.study,),
        ).fetchone()
        assert found is not None  # an aggregate always has a row
        return int(found[0])


def lines_of(connection: Connection, study: int) -> list[bytes]:
    """Every line of a study's journal, as one moment has them."""
    rows = connection.execute(
        "SELECT line FROM runner_store.journal WHERE study = %s ORDER BY number", (study,)
    )
    return [line.encode() for (line,) in rows]


def _has_broken(connection: Connection, error: psycopg.Error) -> bool:
    """Whether an error means that the connection is no more, and not that it refuses."""
    # The server's goodbye (classes 08 and 57P) can be read before the end of the connection is.
    return connection.closed or (error.sqlstate or "").startswith(("08", "57P"))


def _has_locked(connection: Connection, study: int) -> bool:
    found = connection.execute(
        "SELECT pg_try_advisory_lock(%s::integer, %s::integer)", (LOCK_CLASS, study)
    ).fetchone()
    return found == (True,)
