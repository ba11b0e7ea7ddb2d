"""MLflow in a process of its own, so that a search neither imports it nor shares a core with it.

Importing MLflow takes seconds, and writing a short trial takes its client tens of milliseconds of
Python. In the driver both would hold up whoever asks for the next trial. A driver has one courier,
whatever the number of its searches; it ends with its driver.
"""

import atexit
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import RunnerError, TrackingUnreachable
from runner.processes import end_with_parent
from runner.tracking.address import resolve_uri, without_secrets
from runner.tracking.carrier import NotTaken
from runner.tracking.first_use import gather, relax_sqlite
from runner.tracking.opened import Opened
from runner.tracking.records import Record, RunKey
from runner.tracking.study_run import StudyRun

if TYPE_CHECKING:
    from runner.experiment import Store
    from runner.tracking.delivery import Delivery
    from runner.tracking.tracking import Tracking

# Whoever closes a line has waited for what it still wanted to know.
STUCK_AFTER_S = 1.0
CONNECT_EVERY_S = 2.0
# One that dies this often in a row, before it answers, will not do better.
MAX_DEATHS_IN_A_ROW = 3
# Not `python -m`: that would load the module a second time, under the name __main__.
_COURIER = "from runner.tracking.courier import main; main()"


class _Gone(Exception):
    """The courier died before it answered, or there can be none."""


class Courier:
    """The driver's end: asks, one thread at a time, and starts the process when there is none.

    Attributes:
        generation: How many processes there have been; what an earlier one knew is gone.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def ask(self, before: Callable[[], None], *question: object) -> Any:
        """The courier's answer.

        Args:
            before: Called first, with the courier running and nobody else asking; may ask itself.
            question: What it is asked.
        Raises:
            RunnerError: The courier's own.
            _Gone: If it cannot be started, or dies before it answers.
        """
        with self._lock:
            connection = self._running()
            before()
            try:
                connection.send(question)
                is_error, answer = connection.recv()
            except (OSError, EOFError) as err:
                code = self.end()
                raise _Gone(f"the process that writes to MLflow died (exit code {code})") from err
            except BaseException:
                # Its answer would be taken for that to the next question.
                self.end()
                raise
        if is_error:
            raise answer
        return answer

    def leave(self, *question: object) -> None:
        """Say something that needs no answer; a process that is stuck in another one is ended."""
        if not self._lock.acquire(timeout=STUCK_AFTER_S):
            self.end()
            return
        try:
            # With one that is gone went what it should forget.
            if self._is_alive:
                self.ask(lambda: None, *question)
        except _Gone:
            pass
        finally:
            self._lock.release()

    def end(self) -> int | None:
        """End the process, if there is one; gives its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.poll() is None:
            process.kill()
        return process.wait()

    @property
    def _is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _running(self) -> Connection:
        if self._connection is not None:
            if self._is_alive:
                return self._connection
            self._connection.close()
        try:
            ours, theirs = Pipe(duplex=True)
            with theirs:
                self._process = _started(theirs.fileno())
        except OSError as err:
            raise _Gone(f"the process that writes to MLflow cannot be started: {err}") from err
        self._connection = ours
        self.generation += 1
        return ours


def _started(descriptor: int) -> "subprocess.Popen[bytes]":
    """A courier that serves this process over a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", _COURIER, str(descriptor), str(os.getpid())],
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # Ctrl-C reaches the driver alone, which has it deliver what is left.
        start_new_session=True,
    )


_COURIERS: dict[int, Courier] = {}


def _courier() -> Courier:
    """This process's own; a forked process does not speak into its parent's line."""
    courier = _COURIERS.get(os.getpid())
    if courier is None:
        _COURIERS.clear()
        courier = _COURIERS[os.getpid()] = Courier()
        atexit.register(courier.end)
    return courier


class Line:
    """A connection to MLflow through the courier, and a `Carrier` once its study is open.

    Args:
        uri: The address, secrets included.
        store: The folder of local results.

    Attributes:
        run_ids: See `Carrier`.
        hear: See `Carrier`.
    """

    _numbers = itertools.count()

    def __init__(self, uri: str, store: "Store") -> None:
        self.run_ids: dict[RunKey, str] = {}
        self.hear: Callable[[int, str], None] | None = None
        self._uri = uri
        self._store = store
        self._number = next(self._numbers)
        self._courier = _courier()
        self._generation = -1
        self._opened: Opened | None = None

    @property
    def shown_uri(self) -> str:
        """The address for messages."""
        return without_secrets(self._uri)

    def open_study(
        self,
        experiment_name: str,
        *,
        study_id: str,
        run_name: str,
        tags: Mapping[str, str],
        params: Mapping[str, object],
        artifacts: Mapping[str, str],
        spool: Path | None = None,
    ) -> StudyRun:
        """See `Tracking.open_study`."""
        names = {"study_id": study_id, "run_name": run_name}
        opened: Opened = self._ask_now("open", experiment_name, names)
        self.run_ids, self._opened = dict(opened.run_ids), opened
        study_run = StudyRun(opened, self, shown_uri=self.shown_uri, spool=spool)
        study_run.describe(tags=tags, params=params, artifacts=artifacts)
        return study_run

    def connect(self) -> None:
        """Find out that MLflow answers.

        Raises:
            TrackingUnreachable: If nothing usable is there; says what to do.
        """
        self._ask_now("hello")

    def carry(self, record: Record, *, is_retry: bool = False) -> None:
        """See `Carrier.carry`."""
        try:
            new, not_taken = self._ask("carry", record, is_retry)
        except (_Gone, TrackingUnreachable) as err:
            raise NotTaken(str(err), is_refusal=False) from err
        except RunnerError as err:
            raise NotTaken(str(err), is_refusal=True) from err
        for number, run_id in new.items():
            self.run_ids[number] = run_id
            if self.hear is not None:
                self.hear(number, run_id)
        if not_taken is not None:
            why, is_refusal = not_taken
            raise NotTaken(why, is_refusal=is_refusal)

    def close(self) -> None:
        """See `Carrier.close`."""
        if self._generation == self._courier.generation:
            self._courier.leave("forget", self._number)

    def _ask_now(self, kind: str, *content: object) -> Any:
        """Ask what can be asked again, of a new courier where one has died."""
        for death in itertools.count(1):
            try:
                return self._ask(kind, *content)
            except _Gone as err:
                if death == MAX_DEATHS_IN_A_ROW:
                    where = f"MLflow tracking at {self.shown_uri}"
                    raise TrackingUnreachable(f"{where}: {err}") from err

    def _ask(self, kind: str, *content: object) -> Any:
        return self._courier.ask(self._introduce, kind, self._number, *content)

    def _introduce(self) -> None:
        """Tell a courier that does not know this line what it is about."""
        generation = self._courier.generation
        if self._generation == generation:
            return
        place = (dict(os.environ), str(Path.cwd()))
        opened = None if self._opened is None else (self._opened, dict(self.run_ids))
        self._courier.ask(
            lambda: None, "connect", self._number, place, self._uri, self._store, opened
        )
        self._generation = generation


def connect_apart(
    uri: str | None,
    store: "Store",
    *,
    patience_s: float = 0.0,
    say: Callable[[str], None] | None = None,
    is_given_up: Callable[[], bool] = lambda: False,
) -> Line:
    """MLflow at the address that is meant, as `connect`, but in a process of its own.

    Args:
        uri: Setting from the experiment; None means $MLFLOW_TRACKING_URI, else the local store.
        store: The folder of local results.
        patience_s: For how long an MLflow that does not answer is tried again.
        say: Told once, before the first repetition.
        is_given_up: Whether nobody waits any more.
    Raises:
        TrackingUnreachable: If nothing usable is there; says what to do.
    """
    line = Line(resolve_uri(uri, store), store)
    until_s = time.monotonic() + patience_s
    for attempt in itertools.count():
        try:
            line.connect()
        except TrackingUnreachable as error:
            if is_given_up() or time.monotonic() + CONNECT_EVERY_S > until_s:
                raise
            if attempt == 0 and say is not None:
                say(f"waiting up to {patience_s:g} s: {error}")
        else:
            break
        time.sleep(CONNECT_EVERY_S)
    return line


class _Desk:
    """The courier's end: what it holds for each line."""

    def __init__(self) -> None:
        self._trackings: dict[int, Tracking] = {}
        self._deliveries: dict[int, Delivery] = {}

    def answer(self, kind: str, line: int, *content: Any) -> Any:
        match kind:
            case "connect":
                return self._connect(line, *content)
            case "open":
                return self._open(line, *content)
            case "carry":
                return self._carry(line, *content)
            case "forget":
                self._forget(line)
        return None

    def _forget(self, line: int) -> None:
        self._deliveries.pop(line, None)
        tracking = self._trackings.pop(line, None)
        if tracking is not None:
            gather(tracking.uri)

    def _connect(
        self,
        line: int,
        place: tuple[dict[str, str], str],
        uri: str,
        store: "Store",
        opened: tuple[Opened, dict[RunKey, str]] | None,
    ) -> None:
        from runner.tracking.delivery import Delivery
        from runner.tracking.tracking import connect

        # A driver may log in, or move, between two searches.
        environment, folder = place
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        relax_sqlite()
        self._trackings[line] = tracking = connect(uri, store)
        if opened is not None:
            runs, run_ids = opened
            delivery = Delivery.to(tracking.client, runs, is_begun=True)
            delivery.run_ids.update(run_ids)
            delivery.existing.update(run_ids)
            self._deliveries[line] = delivery

    def _open(self, line: int, experiment_name: str, names: Mapping[str, str]) -> Opened:
        from runner.tracking.delivery import Delivery

        tracking = self._trackings[line]
        opened = tracking.open_runs(experiment_name, **names)
        self._deliveries[line] = Delivery.to(tracking.client, opened)
        return opened

    def _carry(
        self, line: int, record: Record, is_retry: bool
    ) -> tuple[dict[int, str], tuple[str, bool] | None]:
        """Runs that were made, and why the record was not taken, if so."""
        delivery, new = self._deliveries[line], dict[int, str]()
        delivery.hear = new.__setitem__
        try:
            delivery.carry(record, is_retry=is_retry)
        except NotTaken as err:
            return new, (str(err), err.is_refusal)
        return new, None


def main() -> None:
    """Serve one driver until it closes the line or dies.

    Command line: the pipe's file descriptor and the driver's process id.
    """
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    # What a dead driver's courier still wrote would meet what the next driver writes.
    end_with_parent(parent)
    connection, desk = Connection(descriptor), _Desk()
    while True:
        try:
            question = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (False, desk.answer(*question))
        except RunnerError as err:
            answer = (True, err)
        except Exception as err:  # noqa: BLE001 - a mistake of ours; the driver says so
            answer = (True, RunnerError(f"{type(err).__name__}: {err}"))
        connection.send(answer)
