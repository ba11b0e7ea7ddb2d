"""A command of the user's, in any language, as the objective of a search."""

import logging
import queue
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner.errors import TrialFailed, UserCodeFailed
from runner.experiment import Experiment, Store
from runner.heartbeat import pulse
from runner.processes import signal_name
from runner.trial.custom.call import Call, base_folder
from runner.trial.custom.ending import ending_of, notes_of
from runner.trial.custom.folders import TrialFolders
from runner.trial.custom.history import History
from runner.trial.custom.inspection import inspect_command
from runner.trial.custom.line import Line
from runner.trial.custom.listening import Listening
from runner.trial.custom.needs import needs_of
from runner.trial.custom.process import Command
from runner.trial.job import (
    Channel,
    Decision,
    Ending,
    Facts,
    Fault,
    Files,
    Hint,
    Job,
    Lease,
    Objective,
    Outcome,
    TrialSpec,
)

logger = logging.getLogger(__name__)

# How often the study is asked whether the trial shall leave, and the process whether it is there.
TICK_S = 0.1
# A command gets this long between SIGTERM and SIGKILL; less than a worker's own grace.
STOP_S = 10.0
# What is still in its output after its end is read within this time, unless a process that has
# left the group keeps it open.
DRAIN_S = 5.0


@dataclass
class CustomCommand:
    """Runs the experiment's command, once a trial."""

    experiment: Experiment
    store: Store

    def hint(self, params: Mapping[str, Any], facts: Facts) -> Hint:
        """Nothing is known of the user's own code; see `Objective.hint`."""
        return Hint()

    def needs(self) -> tuple[Files, ...]:
        """See `Objective.needs`."""
        return needs_of(self.experiment)

    def moved(self, store: Store, places: Mapping[str, str]) -> Objective:
        """See `Objective.moved`."""
        return replace(self, experiment=self.experiment.relocated(places), store=store)

    def inspect(self, lease: Lease) -> Facts:
        """Look for the program and at the places to fill in; see `Objective.inspect`."""
        return inspect_command(self.experiment)

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        """Run each of the job's trials; see `Objective.run`."""
        for spec in job.trials:
            channel.end(spec.key, self._run_one(spec, lease, Line(channel, spec.key)))

    def _run_one(self, spec: TrialSpec, lease: Lease, line: Line) -> Ending:
        folders = TrialFolders(Path(spec.folder))
        folders.begin()
        history = History.of(self.experiment)
        if folders.checkpoint() is not None:
            history.restore(folders.history())
            logger.info("going on after step %d", history.step)
        try:
            if line.replay(history) is not Decision.CONTINUE:
                notes = notes_of(lease, history, seconds=history.seconds)
                ending = ending_of(history, line.decision, notes=notes)
            else:
                ending = _Attempt(self.experiment, spec, lease, line, history, folders).run()
        except Exception as error:
            # It may be run again from here; if not, the study removes what is left.
            folders.end(Outcome.PAUSED)
            raise UserCodeFailed(str(error)) from error
        folders.end(ending.outcome if ending.fault is None else Outcome.PAUSED)
        return ending


@dataclass
class _Attempt:
    """One run of the command."""

    experiment: Experiment
    spec: TrialSpec
    lease: Lease
    line: Line
    history: History
    folders: TrialFolders

    def __post_init__(self) -> None:
        self._begun_s = time.monotonic()
        self._earlier_s = self.history.seconds
        self._kill_at_s: float | None = None
        self._over_at_s: float | None = None

    def run(self) -> Ending:
        """Start the command and follow it to its end."""
        working = base_folder(self.experiment)
        call = Call.of(self.experiment, self.spec, self.lease, self.folders, self.history)
        logger.info("command: %s", call.shown)
        try:
            command = Command(call.words, working=working, environment=call.environment)
        except OSError as error:
            raise TrialFailed(f"{call.words[0]} cannot be started: {error.strerror}") from error
        listening = Listening(command, self.history, self.folders, working, self._seconds)
        try:
            self._follow(command, listening)
        finally:
            command.close()
            is_all_heard = listening.join(DRAIN_S)
        if not is_all_heard:
            raise TrialFailed(
                "a process that the command started has left its process group and holds its "
                "output open; start it in the same group"
            )
        return self._ending(command, listening, call.shown)

    def _seconds(self) -> float:
        return self._earlier_s + time.monotonic() - self._begun_s

    def _follow(self, command: Command, listening: Listening) -> None:
        """Pass reports on and decisions back until the command and its output have ended."""
        while True:
            try:
                heard = listening.heard.get(timeout=TICK_S)
            except queue.Empty:
                if self._is_over(command):
                    return
            else:
                if isinstance(heard, Exception):
                    raise heard
                if heard is None:
                    self._wait_for_exit(command)
                    return
                self.line.send(heard)
            self._heed(command)

    def _wait_for_exit(self, command: Command) -> None:
        """A command may close its output long before it ends."""
        while command.code is None:
            self._heed(command)
            time.sleep(TICK_S)

    def _heed(self, command: Command) -> None:
        """Make the command leave if the study wants it to: gently at first."""
        if command.code is not None:
            return
        with pulse.unnoticed():
            decision = self.line.ask()
        if decision is Decision.CONTINUE:
            return
        if self._kill_at_s is None:
            logger.info("%s: SIGTERM", self.line.decision.outcome)
            command.terminate()
            self._kill_at_s = time.monotonic() + STOP_S
        elif time.monotonic() > self._kill_at_s:
            logger.warning("it did not leave within %g s: SIGKILL", STOP_S)
            command.kill()

    def _is_over(self, command: Command) -> bool:
        """Whether the command has ended, and long enough ago for its output to have been read."""
        if command.code is None:
            return False
        if self._over_at_s is None:
            # What it has started and left behind would hold its output open.
            command.kill()
            self._over_at_s = time.monotonic() + DRAIN_S
        return time.monotonic() > self._over_at_s

    def _ending(self, command: Command, listening: Listening, shown: str) -> Ending:
        # What it reported when it had been told to leave is not part of how it ended.
        self.history.forget_after(self.line.step)
        notes = notes_of(self.lease, self.history, seconds=self._seconds())
        code = command.code
        if self.line.decision is Decision.CONTINUE and code != 0:
            assert code is not None
            said = listening.last_lines
            last = said.splitlines()[-1] if said else "it said nothing on stderr"
            return Ending(
                Outcome.USER_ERROR,
                reason=f"the command {_how(code)}: {last}",
                traceback=f"{shown}\n{said}\n",
                notes=notes,
                fault=Fault(f"the command {_how(code)}", last),
            )
        return ending_of(self.history, self.line.decision, notes=notes)


def _how(code: int) -> str:
    if code < 0:
        return f"was ended by signal {signal_name(code)}"
    hint = " (the shell's word for a program that is not there)" if code == 127 else ""
    return f"ended with exit code {code}{hint}"
