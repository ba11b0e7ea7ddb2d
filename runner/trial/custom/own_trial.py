"""What a user's function gets: its trial."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.errors import nearest_spelling
from runner.trial.custom.folders import TrialFolders, size_text
from runner.trial.custom.history import History
from runner.trial.custom.line import Line
from runner.trial.job import Decision, Lease, TrialSpec

logger = logging.getLogger(__name__)


class StopTrial(BaseException):
    """Raised in a user's function when the study wants the trial to leave; let it through.

    It is not an `Exception`, so that `except Exception` does not catch it. A function that
    catches it all the same and returns has been stopped none the less.

    Attributes:
        outcome: How the trial ends by it: "pruned", "paused" or "timed_out".
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"the study wants the trial to leave ({decision.outcome})")
        self.outcome = decision.outcome.value


class Params(dict[str, Any]):
    """A trial's parameters; one that is not there is answered with those that are."""

    def __missing__(self, name: str) -> Any:
        near = nearest_spelling(str(name), self)
        hint = f"; did you mean {near!r}?" if near else ""
        raise KeyError(
            f"the trial has no parameter {name!r}; it has {', '.join(self) or 'none'}{hint} (give "
            "it a start value in `params`, or vary it in search.space)"
        )


class CustomTrial:
    """One trial, as a function of the user's gets it.

    Attributes:
        params: The parameters' values by name: `params` of the experiment, and on top of them
            what the search has chosen.
        number: The trial's number in its study, counted from 0.
        seed: For everything random in it.
        devices: The devices it holds, for example ("cuda:0",) or ("cpu",).
        threads: CPU threads it should use.
        folder: Its own folder for scratch files; still there when the trial goes on.
    """

    def __init__(
        self,
        spec: TrialSpec,
        lease: Lease,
        line: Line,
        *,
        history: History,
        folders: TrialFolders,
        params: Mapping[str, Any],
    ) -> None:
        self.params = Params(params)
        self.number = spec.key.trial
        self.seed = spec.seed
        self.devices = lease.devices
        self.threads = lease.threads
        self.folder = folders.scratch
        self._line = line
        self._history = history
        self._folders = folders
        self._begun_s = time.monotonic()

    @property
    def device(self) -> str:
        """The first of its devices: "cuda:0", "mps" or "cpu"."""
        return self.devices[0]

    @property
    def step(self) -> int:
        """The last step that was reported, by earlier attempts too; 0 before the first."""
        return self._history.step

    @property
    def is_best(self) -> bool:
        """Whether the last step has the best value of the search metric so far."""
        best = self._history.best
        return best is not None and best[1] == self.step

    @property
    def seconds(self) -> float:
        """Time spent on the trial, earlier attempts included, up to their checkpoint."""
        return self._history.seconds + time.monotonic() - self._begun_s

    def report(self, step: int, **metrics: Any) -> None:
        """Tell the study how the trial does.

        Args:
            step: Counted from 1, ascending; a second report of the same step adds to the first.
            metrics: Finite numbers, or NaN where one is not defined. A name without a slash is
                one of validation: `accuracy` becomes `validation/accuracy`. Others keep their
                name: `**{"train/loss": 0.3}`.
        Raises:
            StopTrial: If the study wants the trial to leave; let it through.
            TrialFailed: If the step, a name or a value cannot be reported.
        """
        self._leave_if_told()
        self._line.send(self._history.add(step, metrics))
        self._leave_if_told()

    def should_stop(self) -> bool:
        """Whether the study wants the trial to leave; cheap enough to ask before every batch.

        A function that was told so and returns has been stopped, not completed.
        """
        return self._line.ask() is not Decision.CONTINUE

    def log_artifact(self, name: str | Path, content: str | bytes | None = None) -> None:
        """Keep a file for the trial's MLflow run; it is there when the trial has ended.

        Args:
            name: With content, the name to keep it by, as a relative path. Without, a file or
                folder to copy, seen from the working directory or else from `folder`.
            content: Text or bytes.
        Raises:
            TrialFailed: If there is no such file, or the name leads out of the artifacts.
        """
        if content is None:
            kept = self._folders.add_artifact(self._folders.find(name, working=Path.cwd()))
        else:
            kept = self._folders.write_artifact(str(name), content)
        shown = kept.relative_to(self._folders.artifacts).as_posix()
        logger.info("artifact %s: %s", shown, size_text(kept))

    @contextmanager
    def checkpoint(self) -> Iterator[Path]:
        """A fresh folder; what is written there becomes the trial's checkpoint on leaving.

        All of it or, if the process dies or an exception is raised before, nothing: then the
        checkpoint before it stays. The reports so far are part of it.
        """
        folder = self._folders.open_next()
        try:
            yield folder
        except BaseException:
            self._folders.drop_next()
            raise
        self._folders.commit_next(self._history.to_json(seconds=self.seconds))

    def resume(self) -> Path | None:
        """Folder of the last checkpoint, to go on from; None if the trial starts.

        It is removed when the next checkpoint takes its place.
        """
        return self._folders.checkpoint()

    def save_model(self, path: str | Path) -> None:
        """Keep a file or folder as what promotion registers, in place of one kept before.

        A folder with an MLmodel file, as the `save_model` of MLflow's flavours writes it, becomes
        a model that plain MLflow serves; anything else becomes a version with those files.

        Args:
            path: Seen from the working directory, or else from `folder`; it is copied.
        Raises:
            TrialFailed: If there is no such file or folder.
        """
        kept = self._folders.keep_model(self._folders.find(path, working=Path.cwd()))
        logger.info("model %s: %s", kept.name, size_text(kept))

    def _leave_if_told(self) -> None:
        if self._line.decision is not Decision.CONTINUE:
            raise StopTrial(self._line.decision)
