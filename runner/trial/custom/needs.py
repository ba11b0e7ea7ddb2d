"""Which files of the driver's machine an objective of one's own consists of."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from runner.errors import ExperimentError
from runner.experiment import Experiment
from runner.trial.custom.call import base_folder
from runner.trial.custom.imports import code_files
from runner.trial.custom.inspection import files_in_command
from runner.trial.custom.source import Reference
from runner.trial.job import Files


def needs_of(experiment: Experiment) -> tuple[Files, ...]:
    """The code, and what `ray.files` names beside it; see `Objective.needs`.

    Raises:
        ExperimentError: If `ray.files` names what is not there, or not below the code's folder.
    """
    found: dict[Path, set[Path]] = {}
    for key in ("objective", "evaluate"):
        if (written := getattr(experiment, key)) is not None:
            file = Reference.of(written).file
            found.setdefault(file.parent, set()).update(code_files(file))
    main = base_folder(experiment)
    if experiment.objective is not None:
        main = Reference.of(experiment.objective).file.parent
    else:
        found.setdefault(main, set()).update(files_in_command(experiment))
    found.setdefault(main, set()).update(_further(experiment, main))
    kept = ((folder, _names(files, folder)) for folder, files in found.items())
    return tuple(Files(_key(experiment), str(folder), names) for folder, names in kept if names)


def _key(experiment: Experiment) -> str:
    return "objective" if experiment.objective is not None else "command"


def _names(files: Iterable[Path], folder: Path) -> tuple[str, ...]:
    """Those of the files that are in a folder, relative to it."""
    plain = (Path(os.path.normpath(file)) for file in files)
    return tuple(
        sorted(
            file.relative_to(folder).as_posix() for file in plain if file.is_relative_to(folder)
        )
    )


def _further(experiment: Experiment, main: Path) -> Iterator[Path]:
    """What `ray.files` names."""
    from runner.data import files_below

    for number, written in enumerate(experiment.ray.files):
        path = Path(os.path.normpath(base_folder(experiment) / Path(written).expanduser()))
        rule = None
        if not path.is_relative_to(main):
            rule = f"must lie in {main}, where the code is"
        elif not path.exists():
            rule = f"no such file or folder: {path}"
        if rule is not None:
            problem = experiment.problem(f"ray.files.{number}", rule, seen=written)
            raise ExperimentError([problem])
        if path.is_dir():
            yield from (path / name for name in files_below(path))
        else:
            yield path
