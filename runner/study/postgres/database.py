"""A PostgreSQL database by its address: connections with the right settings, errors without
secrets, and the tables that studies are kept in."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from runner.errors import StorageUnreachable, StudyError
from runner.experiment import STORAGE_VARIABLE
from runner.tracking import without_secrets

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as error:
    raise StudyError(
        f"${STORAGE_VARIABLE} is set, and studies in PostgreSQL need psycopg: "
        "pip install 'psycopg[binary]>=3.2'"
    ) from error

# postgresql+psycopg:// is how SQLAlchemy, and so MLflow, names the same.
_SCHEME = re.compile(r"postgres(ql)?(\+psycopg)?://")
# A machine that vanishes is noticed within half a minute; an address that gives other values wins.
_CONNECTING = {
    "application_name": "runner",
    "connect_timeout": "10",
    # Of several hosts, the one that may be written to.
    "target_session_attrs": "read-write",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# Any number, so that two that make the tables at once take turns.
_MAKING = 7_241_830_561
# Not `runner`: that is what docs/team.md calls the role, and PostgreSQL looks for tables without
# a schema in the one named like the role first, so that other tools would meet ours.
_TABLES = """
CREATE SCHEMA IF NOT EXISTS runner_store;
CREATE TABLE IF NOT EXISTS runner_store.studies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    number integer NOT NULL,
    token text NOT NULL,
    tenure bigint NOT NULL DEFAULT 0,
    driver text NOT NULL DEFAULT '',
    is_archived boolean NOT NULL DEFAULT false,
    UNIQUE (name, number)
);
CREATE TABLE IF NOT EXISTS runner_store.journal (
    study bigint NOT NULL REFERENCES runner_store.studies ON DELETE CASCADE,
    number bigint NOT NULL,
    line text NOT NULL,
    PRIMARY KEY (study, number)
);
CREATE TABLE IF NOT EXISTS runner_store.wishes (
    study bigint NOT NULL REFERENCES runner_store.studies ON DELETE CASCADE,
    id text NOT NULL,
    kind text NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (study, id)
);
"""

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Database:
    """A database that studies are kept in; every connection commits each statement by itself.

    Attributes:
        address: As libpq takes it; may have a password in it.
    """

    address: str = field(repr=False)

    @property
    def shown(self) -> str:
        """Host, port and name, and nothing else of the address."""
        settings = conninfo_to_dict(self.address)
        host, port, name = (settings.get(key) for key in ("host", "port", "dbname"))
        return f"postgresql://{host or 'localhost'}{f':{port}' if port else ''}/{name or ''}"

    def connect(self) -> Connection:
        """A new connection, for the caller to close.

        Raises:
            StorageUnreachable: If nothing answers there, or it refuses.
        """
        try:
            conninfo = make_conninfo("", **{**_CONNECTING, **conninfo_to_dict(self.address)})
            return psycopg.connect(conninfo, autocommit=True)
        except psycopg.Error as error:
            raise self.unreachable(error) from error

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection for the length of a block.

        Raises:
            StorageUnreachable: If it cannot be had, or the database refuses a statement.
        """
        connection = self.connect()
        try:
            yield connection
        except psycopg.Error as error:
            raise self.unreachable(error) from error
        finally:
            connection.close()

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """The rows that a query gives, over a connection of its own.

        Raises:
            StorageUnreachable: If the database does not answer, or refuses.
        """
        with self.connected() as connection:
            return connection.execute(query.encode(), arguments).fetchall()

    def make_tables(self) -> None:
        """Make the tables unless they are there.

        Raises:
            StorageUnreachable: If the database does not answer, or refuses.
        """
        with self.connected() as connection, connection.transaction():
            # Asked first: who may use the tables need not be one who may make them.
            found = connection.execute("SELECT to_regclass('runner_store.wishes') IS NOT NULL")
            if found.fetchone() == (True,):
                return
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
            connection.execute(_TABLES)

    def unreachable(self, error: Exception) -> StorageUnreachable:
        """The error for a database that does not answer, or refuses."""
        return StorageUnreachable(
            f"the studies' database {self.shown} cannot be used: {reason(error)}. Start or repair "
            f"it, or name another one in ${STORAGE_VARIABLE} (not set means the folders under "
            "mlruns/)."
        )


def database_at(address: str) -> Database:
    """The database at an address, `postgresql://user@host:port/database`.

    Raises:
        StudyError: If it is none.
    """
    expected = f"${STORAGE_VARIABLE} must be postgresql://user@host:port/database"
    scheme = _SCHEME.match(address)
    if scheme is None:
        seen = f" (seen: {address.partition('://')[0]}://...)" if "://" in address else ""
        raise StudyError(expected + seen)
    plain = "postgresql://" + address[scheme.end() :]
    try:
        settings = conninfo_to_dict(plain)
    except psycopg.ProgrammingError:
        settings = {"port": "unreadable"}
    if not re.fullmatch(r"[0-9,]*", str(settings.get("port") or "")):
        # libpq's own words would quote a piece of the password.
        raise StudyError(
            f"{expected}; characters of a password that mean something in an address are written "
            "as %2F for /, %40 for @, %3A for :, or leave it to ~/.pgpass"
        )
    return Database(plain)


def reason(error: Exception) -> str:
    """What PostgreSQL says went wrong, on one line and without secrets."""
    return without_secrets(" ".join(str(error).split())).rstrip(". ")
