"""Studies in a database: a row each, and the lines of its journal."""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from runner.errors import StudyError
from runner.experiment import is_name
from runner.study import inbox
from runner.study.place import Standing, require_name
from runner.study.postgres.database import Database
from runner.study.postgres.holding import LOCK_CLASS, Holding, JournalTable, lines_of
from runner.study.underway import has_dead

_TOKEN_BYTES = 4
_TOKEN = re.compile(rf"[0-9a-f]{{{2 * _TOKEN_BYTES}}}")
_BEGUN = """
SELECT name, number FROM runner_store.studies
WHERE EXISTS (SELECT FROM runner_store.journal WHERE study = id)
  AND (%s::text IS NULL OR name = %s)
ORDER BY name, number
"""
_STANDING = """
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 2
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid::bigint = %s AND objid::bigint = id
), driver, is_archived
FROM runner_store.studies WHERE id = %s
"""


class StudyRow:
    """A study in a database. See `Place`.

    Args:
        database: Where it is.
        row: Its id there.
        name: The experiment's name.
        number: Which of the experiment's studies it is.
        folder: What its trials leave on this machine.
    """

    def __init__(
        self, database: Database, row: int, *, name: str, number: int, folder: Path
    ) -> None:
        self.name = name
        self.number = number
        self.folder = folder
        self._database = database
        self._row = row
        self._holding: Holding | None = None

    @property
    def is_shared(self) -> bool:
        """See `Place`."""
        return True

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See `Place`."""
        reference = f"{self.name}:{self.number}"
        self._holding = holding = Holding(self._database, self._row, reference=reference)
        is_well = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            yield
            is_well = True
        finally:
            self._holding = None
            holding.release(is_well=is_well)

    def standing(self) -> Standing:
        """See `Place`."""
        found = self._database.rows(_STANDING, LOCK_CLASS, self._row)
        is_locked, driver, is_archived = found[0] if found else (False, "", False)
        return Standing(
            is_locked=is_locked,
            is_left_behind=(bool(driver) or has_dead(self.folder)) and not is_locked,
            is_archived=is_archived,
        )

    def lines(self) -> JournalTable:
        """See `Place`."""
        return JournalTable(self._held)

    def content(self) -> bytes:
        """See `Place`."""
        with self._database.connected() as connection:
            lines = lines_of(connection, self._row)
        return b"".join(line + b"\n" for line in lines)

    def archive(self) -> None:
        """See `Place`."""
        self._execute(
            "UPDATE runner_store.studies SET is_archived = true WHERE id = %s", self._row
        )

    def forget(self) -> None:
        """See `Place`."""
        self._execute("DELETE FROM runner_store.studies WHERE id = %s", self._row)

    def post(self, kind: str, content: Mapping[str, Any]) -> str:
        """See `Place`."""
        wish_id, text = inbox.written(kind, content)
        with self._database.connected() as connection:
            connection.execute(
                "INSERT INTO runner_store.wishes (study, id, kind, content) "
                "VALUES (%s, %s, %s, %s)",
                (self._row, wish_id, kind, text),
            )
        return wish_id

    def pending(self) -> Sequence[inbox.Wish]:
        """See `Place`."""
        query = "SELECT id, content FROM runner_store.wishes WHERE study = %s ORDER BY id"
        if self._holding is None:
            found = self._database.rows(query, self._row)
        else:
            found = self._held.run(lambda held: held.execute(query, (self._row,)).fetchall())
        return [_for_this_driver(inbox.parsed(wish_id, text)) for wish_id, text in found]

    def settled(self, wish: inbox.Wish) -> None:
        """See `Place`."""
        self._execute(
            "DELETE FROM runner_store.wishes WHERE study = %s AND id = %s", self._row, wish.id
        )

    @property
    def _held(self) -> Holding:
        if self._holding is None:
            raise AssertionError("only the holder of its lock may write to a study")
        return self._holding

    def _execute(self, statement: str, *arguments: Any) -> None:
        self._held.run(lambda connection: connection.execute(statement.encode(), arguments))


def _for_this_driver(wish: inbox.Wish) -> inbox.Wish:
    """A wish to stop is for whoever has the study: taking it removes those for earlier drivers.

    When it was asked is not looked at, because clocks of machines differ.
    """
    return replace(wish, asked_at=inf) if isinstance(wish, inbox.StopStudy) else wish


class Tables:
    """The studies of a database. See `Shelf`.

    Args:
        database: Where they are; the tables are made if they are not there.
        studies: The folder for what trials leave on this machine.
    Raises:
        StorageUnreachable: If the database does not answer, or refuses.
    """

    def __init__(self, database: Database, studies: Path) -> None:
        self._database = database
        self._studies = studies
        database.make_tables()

    @property
    def where(self) -> str:
        """See `Shelf`."""
        return f"in {self._database.shown}"

    def begun(self, name: str | None = None) -> list[tuple[str, int]]:
        """See `Shelf`."""
        found = self._database.rows(_BEGUN, name, name)
        return [(each, number) for each, number in found if is_name(each)]

    def place(self, name: str, number: int) -> StudyRow:
        """See `Shelf`."""
        require_name(name, self.where)
        with self._database.connected() as connection:
            query = "SELECT id, token FROM runner_store.studies WHERE name = %s AND number = %s"
            while (found := connection.execute(query, (name, number)).fetchone()) is None:
                connection.execute(
                    "INSERT INTO runner_store.studies (name, number, token) VALUES (%s, %s, %s) "
                    "ON CONFLICT DO NOTHING",
                    (name, number, secrets.token_hex(_TOKEN_BYTES)),
                )
        row, token = found
        if not _TOKEN.fullmatch(token):
            # Who may write to the database does not choose a folder of this machine.
            raise StudyError(f"the study {name}:{number} {self.where} has a wrong token")
        # Another database may have a study of the same name and number, as may this folder.
        folder = self._studies / name / f"{number}-{token}"
        return StudyRow(self._database, row, name=name, number=number, folder=folder)
