"""The first touch of MLflow in a process: environment, quiet schema creation, one at a time."""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runner.tracking.address import sqlite_file, unreachable
from runner.tracking.disks import is_on_local_disk

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# Set only where the user has not: MLflow reads them on every request.
#   retries: 7 with back-off is minutes of silence; and a POST that MLflow repeats by itself can
#   create a run twice, while the writer looks before it repeats one.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_NOISY_LOGGERS = ("mlflow.store.db.utils", "alembic.runtime.migration")


def set_environment() -> None:
    """Give MLflow's settings our defaults; call before the first `import mlflow`."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def open_client(uri: str) -> "MlflowClient":
    """A client whose store exists and answers; creates an SQLite schema on first use.

    Args:
        uri: Tracking address; `knock` has found that something is there.
    Raises:
        TrackingUnreachable: If what answers is not a usable MLflow store.
    """
    set_environment()
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    try:
        database = sqlite_file(uri)
        with _alone(database), _quiet():
            if database is not None and not _has_content(database):
                _create_whole(database)
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as err:
        raise unreachable(uri, str(err).strip()) from err
    return client


def _has_content(database: Path) -> bool:
    return database.exists() and database.stat().st_size > 0


def _create_whole(database: Path) -> None:
    """Create a database beside its place and move it there once its schema is whole.

    MLflow's migrations are not one transaction: a kill among them leaves a file that no later
    start can use ("table _alembic_tmp_params already exists").
    """
    from mlflow.tracking import MlflowClient

    new = database.with_name(database.name + ".new")
    new.unlink(missing_ok=True)
    uri = f"sqlite:///{new}"
    MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)
    new.replace(database)
    if is_on_local_disk(database.parent):
        _write_ahead(database)


def _write_ahead(database: Path) -> None:
    """Have a database keep a write-ahead log from now on.

    A commit then waits for the disk once instead of three times, and whoever reads (the MLflow
    UI) and whoever writes no longer wait for one another. Source: sqlite.org/wal.html, which
    says why not on a network file system.
    """
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def gather(uri: str) -> None:
    """Move what a write-ahead log holds into its database file, which is then whole by itself.

    Where the disk refuses, it stays in the log, from where SQLite reads it too.
    """
    database = sqlite_file(uri)
    if database is None or not database.with_name(database.name + "-wal").exists():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def relax_sqlite() -> None:
    """Have the commits of this process to databases with a write-ahead log not wait for the disk.

    A kill loses nothing. A power cut may lose the last commits, but never the order among them,
    and what MLflow lost of a study is written to it again by the next command on that study.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _relax):
        event.listen(Engine, "connect", _relax)


def _relax(connection: object, _record: object) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        connection.execute("PRAGMA synchronous = NORMAL")


def ensure_schema(uri: str) -> None:
    """Create the schema of an SQLite store that has none; import MLflow only for that."""
    database = sqlite_file(uri)
    if database is None:
        return
    with _alone(database), closing(sqlite3.connect(database)) as connection:
        query = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
        has_schema = bool(connection.execute(query).fetchone()[0])
    if not has_schema:
        open_client(uri)


@contextmanager
def _alone(database: Path | None) -> Iterator[None]:
    """Hold the lock beside a database file: two migrations at once leave half a schema."""
    if database is None:
        yield
        return
    with database.with_name(database.name + ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the migration's progress lines off the screen; warnings still show."""
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
