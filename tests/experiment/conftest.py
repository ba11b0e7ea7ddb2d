"""Experiment files to load, and what every refusal must have."""

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import ExperimentError, Problem
from runner.experiment import Experiment, load_experiment

REPOSITORY = Path(__file__).parents[2]
FILES = Path(__file__).parent / "files"
# So that its assertions say what they saw; no conftest imports it.
pytest.register_assert_rewrite("tests.experiment.soundness")

MINIMAL = """\
name: cats
data: {source: bundled, name: digits}
model: {name: resnet18}
"""


@pytest.fixture(scope="session")
def experiment_files() -> list[Path]:
    """Every experiment file there is: those of the tests and the shipped ones."""
    return sorted(FILES.glob("*.yaml")) + sorted((REPOSITORY / "experiments").glob("*.yaml"))


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Experiment]:
    """Loads an experiment from text (or bytes), written as cats.yaml in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str | bytes, *overrides: str) -> Experiment:
        content = text.encode() if isinstance(text, str) else text
        (tmp_path / "cats.yaml").write_bytes(content)
        return load_experiment("cats.yaml", overrides)

    return load_text


@pytest.fixture
def problems(load: Callable[..., Experiment]) -> Callable[..., tuple[Problem, ...]]:
    """The problems with which a text is refused."""

    def refused(text: str | bytes, *overrides: str) -> tuple[Problem, ...]:
        with pytest.raises(ExperimentError) as info:
            load(text, *overrides)
        return info.value.problems

    return refused


@pytest.fixture
def messages(problems: Callable[..., tuple[Problem, ...]]) -> Callable[..., list[str]]:
    """The same as the user reads them."""
    return lambda text, *overrides: [str(problem) for problem in problems(text, *overrides)]


def _is_sound(problem: Problem) -> bool:
    """Whether a user can find what is wrong and knows what would be right."""
    is_placed = problem.line is not None or problem.file.startswith("--set ")
    text = str(problem)
    text.encode()
    return bool(problem.file and problem.rule and is_placed and text.startswith(problem.file))


@pytest.fixture(scope="session")
def refused() -> Callable[[Callable[[], object]], bool]:
    """Whether a load is refused soundly; any other exception goes through and fails the test."""

    def is_refused(load: Callable[[], object]) -> bool:
        problems: tuple[Problem, ...] | None = None
        try:
            load()
        except ExperimentError as err:
            problems = err.problems
        assert problems is None or [p for p in problems if _is_sound(p)] == list(problems) != []
        return problems is not None

    return is_refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for spoilt files, with the tests' own search space in it."""
    (tmp_path / "search_spaces").mkdir()
    space = (FILES / "search_spaces" / "tiny.yaml").read_text()
    (tmp_path / "search_spaces" / "tiny.yaml").write_text(space)
    return tmp_path


@pytest.fixture(scope="session")
def minimal() -> str:
    """The three lines that every experiment needs."""
    return MINIMAL
