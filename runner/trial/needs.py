"""Which files of the driver's machine the trials of an experiment read."""

from collections.abc import Iterator
from pathlib import Path

from runner.errors import DataError
from runner.experiment import Experiment, ManifestData, data_paths, model_paths
from runner.trial.job import Files


def needs_of(experiment: Experiment) -> tuple[Files, ...]:
    """What the data and model sections name by a path; see `Objective.needs`."""
    found = [*_of_data(experiment), *_of_model(experiment)]
    return tuple(files for files in found if Path(files.path).is_absolute())


def _of_data(experiment: Experiment) -> Iterator[Files]:
    settings = experiment.data
    paths = data_paths(settings)
    if isinstance(settings, ManifestData):
        if "path" in paths:
            yield from _of_manifest(settings)
        return
    for key, path in paths.items():
        yield Files(f"data.{key}", path)


def _of_manifest(settings: ManifestData) -> Iterator[Files]:
    """The manifest, and of the folder of images those that it names."""
    from runner.data import manifest_names

    path = Path(settings.path)
    yield Files("data.path", settings.path)
    try:
        names = manifest_names(path, settings.path_column)
    except DataError:
        # The second pass says what is wrong with it.
        return
    root = settings.root or str(path.parent)
    inside = tuple(n for n in names if not n.startswith(("/", "../")))
    yield Files("data.root", root, inside)


def _of_model(experiment: Experiment) -> Iterator[Files]:
    for key, path in model_paths(experiment.model).items():
        yield Files(f"model.{key}", path)
