"""From a name or path to a checked experiment: the first pass, without heavy imports."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from runner.errors import ExperimentError, Problem, nearest_spelling
from runner.experiment.checks import check_whole
from runner.experiment.document import Document, read_document
from runner.experiment.experiment import Experiment, experiment_schema
from runner.experiment.flaws import flaws_of
from runner.experiment.lookup import find_experiment, find_space, shown, space_names
from runner.experiment.marks import Flaw
from runner.experiment.overrides import apply_override

_SPACE = ("search", "space")


def load_experiment(name_or_path: str, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment in a file.

    Args:
        name_or_path: A path, or a bare name that is looked up (see lookup.py).
        overrides: `key=value` texts, applied in order, as of `--set`.
    Raises:
        ExperimentError: If anything is wrong with it; carries every problem, each with file and
            line (or option), key and rule.
    """
    path = find_experiment(name_or_path)
    document = read_document(path, shown=shown(path), what="an experiment")
    problems: list[Problem] = []
    expansion = _Expansion(path.absolute().parent, problems)
    for override in overrides:
        try:
            document = apply_override(document, override, expand=expansion)
        except ExperimentError as err:
            problems += err.problems
    document = expansion(document)
    experiment = _checked(document, problems)
    return experiment.loaded_from(path.absolute(), marks=document.marks)


class _Expansion:
    """Writes out a space that an experiment names; each space's problems are noted once."""

    def __init__(self, beside: Path, problems: list[Problem]) -> None:
        self._beside = beside
        self._problems = problems

    def __call__(self, document: Document) -> Document:
        """The document with its space as a mapping."""
        search = document.value.get("search")
        if not isinstance(search, dict) or not isinstance(search.get("space"), str):
            return document
        try:
            space = self._space(search["space"], document)
        except ExperimentError as err:
            self._problems += err.problems
            # What the space holds is not known, so settings cannot be checked against it.
            is_list = isinstance(search.get("first"), list)
            return _with_search(document, space={}, **({"first": []} if is_list else {}))
        marks = document.marks.with_subtree(_SPACE, space.marks)
        return Document(_with_search(document, space=space.value).value, marks)

    def _space(self, name: str, document: Document) -> Document:
        path = find_space(name, self._beside)
        if path is None:
            names = space_names(self._beside)
            rule = f"no such search space; there are {', '.join(names)}"
            flaw = Flaw(_SPACE, rule, name, nearest_spelling(name, names))
            raise ExperimentError([document.marks.problem(flaw)])
        return read_document(path, shown=shown(path), what="a search space")


def _with_search(document: Document, **changed: object) -> Document:
    search = document.value["search"]
    assert isinstance(search, dict)  # checked by the caller
    value = {**document.value, "search": {**search, **changed}}
    return Document(value, document.marks)


def _checked(document: Document, problems: list[Problem]) -> Experiment:
    """The experiment a document describes; `problems` are those known before."""
    _, flaws = check_whole(document.value)
    try:
        experiment = Experiment.model_validate(document.value)
    except ValidationError as err:
        # Flaws of the whole (empty path) are those of check_whole, which have been found above
        # with their own lines.
        found = [flaw for flaw in flaws_of(err, experiment_schema()) if flaw.path or not flaws]
        raise ExperimentError(_sorted(document, [*found, *flaws], problems)) from err
    # Keys that another task has are no flaw to the model: it leaves them out.
    if flaws or problems:
        raise ExperimentError(_sorted(document, flaws, problems))
    return experiment


def _sorted(document: Document, flaws: list[Flaw], known: list[Problem]) -> list[Problem]:
    """All problems, those of the file in the order of its lines."""
    problems = [*known, *(document.marks.problem(flaw) for flaw in flaws)]
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda problem: (problem.file, problem.line or 0))
