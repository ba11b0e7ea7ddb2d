"""Tracking addresses: which one is meant, where its artifacts go, and whether anything answers."""

import os
import socket
import sqlite3
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from runner.errors import TrackingUnreachable
from runner.experiment import Store

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


def knock(uri: str) -> None:
    """Find out within seconds whether anything answers at an address.

    MLflow's own clients retry a dead server for minutes and a dead database for almost an hour.

    Raises:
        TrackingUnreachable: If the file cannot be opened, or nothing listens there.
    """
    database = sqlite_file(uri)
    if database is not None:
        _open_sqlite(uri, database)
        return
    kind = kind_of(uri)
    if kind not in DEFAULT_PORTS or _goes_through_proxy(uri):
        return
    _open_port(uri, DEFAULT_PORTS[kind])
    if kind in DATABASES:
        _log_in(uri)


def _open_sqlite(uri: str, database: Path) -> None:
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(database, timeout=KNOCK_TIMEOUT_S)
        try:
            connection.execute("PRAGMA schema_version").fetchone()
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as err:
        raise unreachable(uri, f"{database}: {err}") from err


def _goes_through_proxy(uri: str) -> bool:
    parts = urlsplit(uri)
    host = parts.hostname or ""
    return parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)


def _open_port(uri: str, default_port: int) -> None:
    parts = urlsplit(uri)
    try:
        host, port = parts.hostname or "localhost", parts.port or default_port
        socket.create_connection((host, port), timeout=KNOCK_TIMEOUT_S).close()
    except (OSError, ValueError) as err:
        raise unreachable(uri, str(err)) from err


def _log_in(uri: str) -> None:
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri)
        engine.connect().close()
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as err:
        raise unreachable(uri, str(err)) from err
