"""What Ray Tune runs in its actors: job after job, each in a thread that reports through `step`.

A step ends as soon as the job has said something, and after HEARTBEAT_S in any case, so that the
driver can tell it what the study wants. What it is told reaches the actor before the next step,
because Ray keeps the order of one caller's calls.
"""

import contextlib
import logging
import os
import queue
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune import Trainable

from runner.backends.life import Silence, Vitals
from runner.backends.logs import print_to_log, redirect
from runner.backends.ray.bridge import Answers, Message
from runner.backends.ray.depot import Address, Delivery
from runner.backends.ray.freight import places_here
from runner.backends.ray.luggage import Luggage, Sending
from runner.errors import DiskRefused, RunnerError
from runner.experiment import HOME_VARIABLE, Store
from runner.heartbeat import pulse
from runner.trial import (
    Attempt,
    Channel,
    Decision,
    Ending,
    Job,
    Lease,
    Objective,
    Report,
    fail_job,
    run_job,
)

HEARTBEAT_S = 0.5
# An actor whose job waits takes steps, and talks to Ray.
IDLE_SHARE = 0.1
# Its last message; never sent.
_OVER = None


@dataclass(frozen=True)
class Kept:
    """A search in this process.

    Attributes:
        objective: With all that it has loaded.
        places: Where on this machine lies what the experiment names, where it is not there.
    """

    objective: Objective
    places: Mapping[str, str]


# By search: an actor that takes over a process finds what it has loaded.
_KEPT: dict[str, Kept] = {}


def kept(search: str, objective: Objective, address: Address) -> Kept:
    """The one objective of a search in this process, with all that it has loaded.

    Raises:
        RunnerError: If what the experiment names is not here and cannot be fetched.
    Side effects: What it names and this machine does not have is fetched into its cache.
    """
    if search not in _KEPT:
        _KEPT.clear()
        store = _store_here()
        places = places_here(address.items, Delivery(address.depot), store.cache)
        is_at_home = address.is_seen and not places
        here = objective if is_at_home else objective.moved(store, places)
        _KEPT[search] = Kept(here, places)
    return _KEPT[search]


def _store_here() -> Store:
    """Where a machine that does not see the driver's caches has its own."""
    asked = os.environ.get(HOME_VARIABLE)
    return Store(Path(asked) if asked else own_folder(Path(tempfile.gettempdir())))


def own_folder(temporary: Path) -> Path:
    """A folder in one that all users of a machine share, which nobody else may write to.

    What a search sends there is used again by the next, code included.

    Raises:
        RunnerError: If somebody else made it before.
    """
    folder = temporary / f"runner-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    seen = folder.lstat()
    is_open = seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or is_open:
        raise RunnerError(
            f"{folder} on {socket.gethostname()} can be written by others; remove it, or set "
            f"{HOME_VARIABLE} there"
        )
    return folder


class JobTrainable(Trainable):  # type: ignore[misc]
    """Runs a job, then another."""

    _look_at_s: float

    def setup(
        self,
        config: dict[str, Any],
        *,
        search: str,
        objective: Objective,
        address: Address,
        silence: Silence | None = None,
    ) -> None:
        """See Tune; the job itself begins with the first step: not every actor gets so far.

        Args:
            config: Has the job and its lease.
            search: Name that no other search has.
            objective: What runs jobs.
            address: Where the trials' folders belong.
            silence: How long a job may show no sign of life; None: for ever.
        """
        logging.captureWarnings(True)
        self._objective = kept(search, objective, address).objective
        self._address = address
        self._silence = silence
        self._thread: threading.Thread | None = None
        self._is_fit = True
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next job; refused while the last one computes, and once nothing can be."""
        if not self._is_fit:
            return False
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=1.0)
            if self._thread.is_alive():
                return False
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """What the job has said since the last step.

        Returns:
            `messages`, and `done` after the last of them; `is_alive`: whether the job has shown
            a sign of life.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="job", daemon=True)
            self._thread.start()
        messages, is_over = self._line.said()
        return {"messages": messages, "done": is_over, "is_alive": self._is_alive()}

    def _is_alive(self) -> bool:
        """Whether the job has got on, looked at every few seconds."""
        if self._silence is None or time.monotonic() < self._look_at_s:
            return False
        self._look_at_s = time.monotonic() + self._silence.beat_every_s
        return self._vitals.have_moved(is_computing_life=self._silence.is_computing_life)

    def hear(self, answers: Answers) -> None:
        """What the study says to what the job has said."""
        self._line.hear(answers)

    def _take(self, config: dict[str, Any]) -> None:
        job, lease = config["job"].content
        self._job: Job = job
        self._lease: Lease = lease
        self._line = _Line()
        self._vitals = Vitals(idle_share=IDLE_SHARE)
        self._look_at_s = 0.0
        self._thread = None

    def _run(self) -> None:
        output, error = os.dup(1), os.dup(2)
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger()
        luggage: Luggage | None = None
        channel: Channel
        try:
            job, channel = self._job, self._line
            if not self._address.is_seen:
                luggage = Luggage(self._address, job)
                job, channel = luggage.job, Sending(channel, luggage)
            try:
                print_to_log(job)
            except DiskRefused as refusal:
                fail_job(job, refusal, channel)
                return
            root.addHandler(handler)
            root.setLevel(logging.INFO)
            self._is_fit = run_job(self._objective, job, self._lease, channel)
        finally:
            root.removeHandler(handler)
            redirect(output, error)
            os.close(output)
            os.close(error)
            if luggage is not None:
                luggage.close()
            self._line.close()


class _Line:
    """A job's channel: a report waits for its decision."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._heard = threading.Condition()
        self._decisions: dict[tuple[Attempt, int], Decision] = {}
        self._wanted: dict[Attempt, Decision] = {}

    def report(self, key: Attempt, report: Report) -> Decision:
        pulse.beat()
        self._said.put(("report", key, report))
        with self._heard:
            self._heard.wait_for(lambda: (key, report.step) in self._decisions)
            decision = self._decisions.pop((key, report.step))
            # A cancellation that crossed the report stands.
            return self._wanted.get(key, decision)

    def decision(self, key: Attempt) -> Decision:
        pulse.beat()
        return self._wanted.get(key, Decision.CONTINUE)

    def end(self, key: Attempt, ending: Ending) -> None:
        pulse.beat()
        self._said.put(("end", key, ending))

    def close(self) -> None:
        self._said.put(_OVER)

    def said(self) -> tuple[list[Message], bool]:
        """All that has been said, waiting a heartbeat for the first; whether it was the last."""
        messages: list[Message] = []
        try:
            message = self._said.get(timeout=HEARTBEAT_S)
            while message is not _OVER:
                messages.append(message)
                message = self._said.get_nowait()
        except queue.Empty:
            return messages, False
        return messages, True

    def hear(self, answers: Answers) -> None:
        with self._heard:
            self._decisions.update(answers.reports)
            self._wanted.update(answers.wanted)
            self._heard.notify_all()
