"""Kills a search's processes at random moments until it has come to its end."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from runner.errors import RunnerError, SearchStopped, TrackingUnreachable
from tests.chaos.kinds import Kind
from tests.chaos.seen import Seen, alive, differences, see
from tests.chaos.servers import Servers

# Orphans have gone by then.
GONE_WITHIN_S = 10.0
# Ray's own, which do nothing for a search; after 2 of 60 kills they were still there after 10 s.
AGENTS_GONE_WITHIN_S = 60.0
# The last is a worker that has not reached Ray yet, and has nothing of the search; one that has is
# called otherwise. Two were there after 10 s on a busy machine.
AGENTS = ("runtime_env/agent", "dashboard/agent", "workers/default_worker")
# A command that is not killed has ended by then.
ENDS_WITHIN_S = 900.0
# What is killed, and how often of a hundred times.
DRIVER, WORKER, COURIER, ALL, SERVER = "driver", "worker", "courier", "all at once", "server"
ACTOR, RAYLET, HEAD = "Ray's actor", "Ray's raylet", "Ray's head"
OFTEN = {DRIVER: 40, ALL: 20, WORKER: 20, COURIER: 20}
OFTEN_WITH_SERVERS = {DRIVER: 30, ALL: 10, WORKER: 15, COURIER: 10, SERVER: 35}
OFTEN_ON_RAY = {DRIVER: 25, ALL: 10, ACTOR: 30, RAYLET: 15, HEAD: 10, COURIER: 10}
# By what a process is known.
NAMED = {
    WORKER: "runner.backends.worker",
    COURIER: "tracking.courier",
    ACTOR: "ray::",
    RAYLET: "raylet/raylet",
    HEAD: "gcs/gcs_server",
}


@dataclass
class Shaken:
    """What happened to a search.

    Attributes:
        kills: How often each kind of process was killed.
        starts: How often the command was given.
        wrong: What should not have been.
    """

    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Shaker:
    """One search, and what hurts it.

    Args:
        kind: The search.
        name: The study's.
        folder: Where it runs; made here.
        generator: Of moments and victims.
        servers: The servers that it writes to, which are killed too; None: files alone.
        often: What is killed, and how often; None: as suits the kind.
    """

    kind: Kind
    name: str
    folder: Path
    generator: random.Random
    servers: Servers | None = None
    often: Mapping[str, int] | None = None
    shaken: Shaken = field(default_factory=Shaken)
    _is_without_ray: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = f"name: {self.name}\n{self.kind.text}"
        (self.folder / "experiment.yaml").write_text(text)

    def run_whole(self) -> Seen:
        """The search without any harm; what it has left."""
        process = self._start()
        output = self._wait(process)
        assert process.returncode == 0, output
        seen, wrong = self._see()
        assert not wrong, wrong
        assert all((trial.together is not None) == self.kind.is_fused for trial in seen.trials)
        return seen

    def shake(self, *, kills: int) -> Seen:
        """Run the command again and again, with so many kills, until it has come to its end."""
        while True:
            process = self._start()
            self.shaken.starts += 1
            self._is_without_ray = False
            is_ended = self._hurt(process, kills=kills)
            self._expect_gone(self._ours())
            if self.servers is not None:
                self.servers.mend()
            if is_ended and process.returncode == 0:
                break
            if is_ended and process.returncode not in self._excused:
                self._wrong(f"the command ended with {process.returncode}: {self._said()[-2000:]}")
            if self.shaken.starts > 10 * kills + 10:
                self._wrong("it never comes to its end")
                break
            if sum(self.shaken.kills.values()) < kills and self.generator.random() < 0.3:
                self._look()
        seen, wrong = self._see()
        self.shaken.wrong += wrong
        return seen

    def compare(self, ours: Seen, whole: Seen) -> None:
        """Note in what the search differs from one that was left alone."""
        self.shaken.wrong += differences(ours, whole, tolerance=self.kind.tolerance)
        self.shaken.wrong += alive(self.home, self.name, **self._where())

    @property
    def _excused(self) -> tuple[int, ...]:
        """How a command may end that nobody killed: where what it stands on was."""
        if self._is_without_ray:
            return (SearchStopped.exit_code, RunnerError.exit_code)
        return () if self.servers is None else (TrackingUnreachable.exit_code,)

    @property
    def home(self) -> Path:
        """The store's folder."""
        return self.folder / "store"

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        backend = ("--backend", "ray") if self.kind.is_on_ray else ()
        command = arguments or ("search", "experiment.yaml", "--plain", *backend)
        with (self.folder / "output.txt").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "runner", *command],
                cwd=self.folder,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _environment(self) -> Mapping[str, str]:
        servers = {} if self.servers is None else self.servers.environment
        home = {"RUNNER_HOME": str(self.home), "OMP_NUM_THREADS": "1"}
        return {**os.environ, **home, **servers}

    def _where(self) -> dict[str, str | None]:
        if self.servers is None:
            return {"uri": None, "storage": None}
        return {"uri": self.servers.tracking, "storage": self.servers.storage}

    def _hurt(self, process: "subprocess.Popen[bytes]", *, kills: int) -> bool:
        """Kill until the driver is dead or has ended by itself; gives whether it has."""
        while sum(self.shaken.kills.values()) < kills:
            try:
                process.wait(self._pause_s())
            except subprocess.TimeoutExpired:
                pass
            else:
                return True
            if self._kill(process):
                return False
        self._wait(process)
        return True

    def _pause_s(self) -> float:
        """Until the next kill: often soon, so that the start is met too, and sometimes late."""
        uniform = self.generator.uniform
        return self.kind.slow * self.generator.choice([uniform(0.0, 3.0), uniform(2.0, 12.0)])

    def _kill(self, process: "subprocess.Popen[bytes]") -> bool:
        """Kill one process, or all at once; gives whether the driver is dead."""
        (victim,) = self.generator.choices(list(self._often), list(self._often.values()))
        if victim == SERVER:
            assert self.servers is not None
            self._note(self.servers.kill(self.generator))
            return False
        ours = self._ours()
        if found := [one for one in ours if _is_named(one, NAMED.get(victim, "nothing"))]:
            self._note(victim)
            _kill(self.generator.choice(found))
            self._is_without_ray = self._is_without_ray or victim in (RAYLET, HEAD)
            return False
        victim = victim if victim == ALL else DRIVER
        self._note(victim)
        process.kill()
        if victim == ALL:
            for one in ours:
                _kill(one)
        process.wait()
        return True

    @property
    def _often(self) -> Mapping[str, int]:
        if self.often is not None:
            return self.often
        if self.kind.is_on_ray:
            return OFTEN_ON_RAY
        return OFTEN if self.servers is None else OFTEN_WITH_SERVERS

    def _ours(self) -> list[psutil.Process]:
        """The processes that belong to the search, whoever their parents are now."""
        return [one for one in psutil.process_iter() if _home(one) == str(self.home)]

    def _expect_gone(self, orphans: list[psutil.Process]) -> None:
        agents = [one for one in orphans if any(_is_named(one, name) for name in AGENTS)]
        others = [one for one in orphans if one not in agents]
        for some, within_s in ((others, GONE_WITHIN_S), (agents, AGENTS_GONE_WITHIN_S)):
            _, left = psutil.wait_procs(some, timeout=within_s)
            for orphan in left:
                if _home(orphan) is None:
                    # Dead, and its parent has not asked how it died.
                    continue
                self._wrong(f"{_shown(orphan)} outlived its driver by {within_s:g} s")
                _kill(orphan)

    def _look(self) -> None:
        """Another command on the study: after it nothing that is dead looks alive."""
        process = self._start("status", self.name)
        said = self._wait(process)
        if self.servers is not None:
            self.servers.mend()
        if process.returncode == 0:
            self.shaken.wrong += alive(self.home, self.name, **self._where())
        elif "no study" not in said:
            self._wrong(f"status ended with {process.returncode}: {said[-2000:]}")

    def _see(self) -> tuple[Seen, list[str]]:
        return see(self.home, self.name, **self._where())

    def _wait(self, process: "subprocess.Popen[bytes]") -> str:
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._wrong(f"the command did not end: {self._said()[-2000:]}")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return self._said()

    def _said(self) -> str:
        return (self.folder / "output.txt").read_text(errors="replace")

    def _note(self, victim: str) -> None:
        self.shaken.kills[victim] += 1
        lines = self._said().splitlines()
        last = lines[-1] if lines else "(nothing said yet)"
        with (self.folder / "kills.txt").open("a") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {victim}: {last}\n")

    def _wrong(self, text: str) -> None:
        self.shaken.wrong.append(f"after {sum(self.shaken.kills.values())} kills: {text}")


def _home(process: psutil.Process) -> str | None:
    """The store that a process was told of."""
    try:
        home: str | None = process.environ().get("RUNNER_HOME")
    except (psutil.Error, OSError):
        home = None
    return home


def _is_named(process: psutil.Process, name: str) -> bool:
    try:
        return any(name in word for word in process.cmdline())
    except psutil.Error:
        return False


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _shown(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return str(process)
