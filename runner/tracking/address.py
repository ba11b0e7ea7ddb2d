"""Tracking addresses: which one is meant, where its artifacts go, and whether anything answers."""

import errno
import os
import socket
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from runner.errors import DiskRefused, TrackingUnreachable
from runner.experiment import Store, refused, require_writable

# Named twice, so that the rest of this room may take it from here.
from runner.experiment import without_secrets as without_secrets

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
KNOCK_TIMEOUT_S = 5.0
DEFAULT_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")

_SQLITE_PREFIX = "sqlite:///"


def resolve_uri(uri: str | None, store: Store) -> str:
    """The tracking URI that is meant: the setting, else $MLFLOW_TRACKING_URI, else the store's."""
    return uri or os.environ.get(TRACKING_VARIABLE) or store.tracking_uri


def kind_of(uri: str) -> str:
    """The scheme of an address without its driver: `postgresql+psycopg2://...` -> `postgresql`."""
    return uri.partition(":")[0].partition("+")[0].lower()


def sqlite_file(uri: str) -> Path | None:
    """The database file behind an SQLite address, absolute; None for any other address."""
    if not uri.startswith(_SQLITE_PREFIX):
        return None
    return Path(uri.removeprefix(_SQLITE_PREFIX).partition("?")[0]).resolve()


def artifact_location(uri: str, store: Store) -> str | None:
    """Where the artifacts of a new MLflow experiment go; None where the server decides.

    MLflow's own default for a database is `./mlruns` of whatever directory the process runs in,
    so a database address always gets an absolute folder: `artifacts/` beside an SQLite file, the
    store's for others.
    """
    database = sqlite_file(uri)
    if database is not None:
        return str(database.parent / "artifacts")
    return str(store.artifacts) if kind_of(uri) in DATABASES else None


def unreachable(uri: str, why: str) -> TrackingUnreachable:
    """The error for an address that does not answer, with what to do and no secrets."""
    return TrackingUnreachable(
        f"MLflow tracking at {without_secrets(uri)} cannot be used: "
        f"{without_secrets(why).rstrip('. ')}. "
        f"Start or repair it, or name another one with --set tracking.uri=... or "
        f"${TRACKING_VARIABLE} (neither set means the local store under mlruns/)."
    )


def knock(uri: str, *, is_written: bool = True) -> None:
    """Find out within seconds whether anything answers at an address.

    MLflow's own clients retry a dead server for minutes and a dead database for almost an hour.

    Args:
        uri: The address.
        is_written: Whether an SQLite file must be one that can be written.
    Raises:
        TrackingUnreachable: If the file cannot be opened, or nothing listens there.
    """
    database = sqlite_file(uri)
    if database is not None:
        _open_sqlite(uri, database, is_written=is_written)
        return
    kind = kind_of(uri)
    if kind not in DEFAULT_PORTS or _goes_through_proxy(uri):
        return
    _open_port(uri, DEFAULT_PORTS[kind])
    if kind in DATABASES:
        _log_in(uri)


def _open_sqlite(uri: str, database: Path, *, is_written: bool) -> None:
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        if is_written:
            _require_writable(database)
        with closing(sqlite3.connect(database, timeout=KNOCK_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except DiskRefused as err:
        raise unreachable(uri, str(err)) from err
    except (OSError, sqlite3.Error) as err:
        raise unreachable(uri, f"{database}: {err}") from err


def _require_writable(database: Path) -> None:
    """Find out that a database file, if there is one, and what lies beside it can be written.

    SQLite itself does not say: of a file that it may only read it begins any transaction, and
    refuses the first write in it. The file is not opened here, because closing it would give back
    the locks that this process has on it.

    Raises:
        DiskRefused: If they cannot.
    """
    # SQLite's own journal and the artifacts.
    require_writable(database.parent)
    is_mine = os.access in os.supports_effective_ids
    if database.exists() and not os.access(database, os.W_OK, effective_ids=is_mine):
        raise refused(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), database)


def _goes_through_proxy(uri: str) -> bool:
    parts = urlsplit(uri)
    host = parts.hostname or ""
    return parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)


def _open_port(uri: str, default_port: int) -> None:
    parts = urlsplit(uri)
    try:
        host, port = parts.hostname or "localhost", parts.port or default_port
    except ValueError as err:
        # The error says what is there instead: of a password with a slash in it, the beginning.
        raise unreachable(uri, "its port is no number") from err
    try:
        socket.create_connection((host, port), timeout=KNOCK_TIMEOUT_S).close()
    except OSError as err:
        raise unreachable(uri, str(err)) from err


def _log_in(uri: str) -> None:
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri)
        engine.connect().close()
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as err:
        raise unreachable(uri, str(err)) from err
