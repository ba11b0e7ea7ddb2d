"""Where experiment files and search spaces are looked up by name."""

from collections.abc import Iterator
from pathlib import Path

from runner.errors import ExperimentError, Problem, nearest_spelling

PACKAGE = Path(__file__).resolve().parents[1]
SUFFIXES = (".yaml", ".yml")


def find_experiment(name_or_path: str) -> Path:
    """The experiment file a name or path means.

    A path is taken as it is; a bare name is looked up, with or without its suffix, in the
    working directory, in experiments/ there, and among the experiments of the runner itself.

    Raises:
        ExperimentError: If there is none; names the nearest experiment.
    """
    folders = [Path(), *_folders("experiments")]
    if _is_bare(name_or_path):
        found = _first(name_or_path, folders)
    else:
        found = _first(name_or_path, [Path()])
    if found is not None:
        return found
    places = ", ".join(f"{folder}/" if folder != Path() else "." for folder in folders)
    rule = "no such experiment file" + (f"; looked in {places}" if _is_bare(name_or_path) else "")
    near = nearest_spelling(Path(name_or_path).stem, _names(folders))
    raise ExperimentError([Problem(ascii_safe(name_or_path), None, "", rule, None, near)])


def find_space(name: str, beside: Path) -> Path | None:
    """The search-space file a name means, or None.

    A bare name is looked up in search_spaces/ beside the experiment, in the working directory,
    and among those of the runner itself; a path is taken from the experiment's folder.
    """
    return _first(name, _space_folders(beside) if _is_bare(name) else [beside])


def space_names(beside: Path) -> list[str]:
    """The names of all search spaces that `find_space` can find."""
    return sorted(set(_names(_space_folders(beside))))


def shown(path: Path) -> str:
    """A path as messages show it: relative where it lies in the working directory."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def ascii_safe(text: str) -> str:
    """Text that can be printed anywhere, whatever bytes a shell put into it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _space_folders(beside: Path) -> list[Path]:
    near = [beside / "search_spaces", beside.parent / "search_spaces"]
    return [*near, *_folders("search_spaces")]


def _folders(kind: str) -> list[Path]:
    """The folders of one kind: the working directory's, the repository's, the package's."""
    folders = [Path(kind)]
    repository = PACKAGE.parent
    if (repository / "pyproject.toml").is_file():
        folders.append(repository / kind)
    return [*folders, PACKAGE / "shipped" / kind]


def _is_bare(name: str) -> bool:
    return "/" not in name and "\\" not in name


def _first(name: str, folders: list[Path]) -> Path | None:
    return next((path for path in _candidates(name, folders) if _is_file(path)), None)


def _candidates(name: str, folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        if name.endswith(SUFFIXES) or "/" in name or folder == Path():
            yield folder / name
        for suffix in SUFFIXES:
            yield folder / f"{name}{suffix}"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _names(folders: list[Path]) -> list[str]:
    found = []
    for folder in folders:
        for suffix in SUFFIXES:
            found += [path.stem for path in folder.glob(f"*{suffix}")]
    return found
