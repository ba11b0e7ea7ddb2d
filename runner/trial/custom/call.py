"""The words, environment and folders that a command of the user's is started with."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from runner.errors import TrialFailed
from runner.experiment import Experiment, Scalar
from runner.trial.custom.folders import TrialFolders
from runner.trial.custom.history import History
from runner.trial.custom.template import filled, names_in
from runner.trial.job import Lease, TrialSpec


@dataclass(frozen=True)
class Call:
    """How a command is started for one attempt at a trial.

    Attributes:
        words: The program and its arguments.
        environment: All of its environment variables.
    """

    words: list[str]
    environment: Mapping[str, str]

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        spec: TrialSpec,
        lease: Lease,
        folders: TrialFolders,
        history: History,
    ) -> Self:
        """The call of an attempt.

        Raises:
            TrialFailed: If a parameter of the command has no value: outside of a search, those
                that only the space has.
        Side effects: The folder of checkpoints is made; it holds the last one's files.
        """
        params = experiment.settings(dict(spec.params))
        own: dict[str, Scalar] = {
            "checkpoint": str(folders.open_announced()),
            "device": lease.devices[0],
            "folder": str(folders.scratch),
            "number": spec.key.trial,
            "resume": int(folders.checkpoint() is not None),
            "seed": spec.seed,
            "step": history.step,
        }
        assert experiment.command is not None
        absent = [name for name in names_in(experiment.command) if name not in {**params, **own}]
        if absent:
            raise TrialFailed(
                f"{{{absent[0]}}} of the command has no value in this trial; give it a start "
                "value in `params`"
            )
        # Names of the trial come last: a parameter cannot take their place.
        words = filled(experiment.command, {**params, **own})
        environment = {**search_environment(), **lease.environment, **_threads(lease)}
        environment |= {f"RUNNER_{_VARIABLES.get(k, k).upper()}": str(v) for k, v in own.items()}
        environment["RUNNER_PARAMS"] = json.dumps(params)
        return cls(words, environment)

    @property
    def shown(self) -> str:
        """The command as one could write it in a shell."""
        return shlex.join(self.words)


# A trial's number has the name of its kind in the environment.
_VARIABLES = {"number": "trial"}


def base_folder(experiment: Experiment) -> Path:
    """The folder that a command runs in: the experiment file's, or else the working directory."""
    return experiment.source_file.parent if experiment.source_file is not None else Path.cwd()


def search_environment() -> dict[str, str]:
    """This process's environment; `python` in it is the one that the runner itself runs on.

    That is so in an activated virtual environment anyway, and should not depend on whether it
    is activated.
    """
    environment = {"PYTHONUNBUFFERED": "1", **os.environ}
    if sys.prefix != sys.base_prefix:
        own = str(Path(sys.executable).parent)
        environment["PATH"] = os.pathsep.join([own, environment.get("PATH", os.defpath)])
    return environment


def found_program(program: str, *, working: Path) -> bool:
    """Whether a program can be started from a folder: by its path, or found on PATH."""
    if os.sep in program:
        path = working / program
        return path.is_file() and os.access(path, os.X_OK)
    return shutil.which(program, path=search_environment()["PATH"]) is not None


def _threads(lease: Lease) -> dict[str, str]:
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(lease.threads))
