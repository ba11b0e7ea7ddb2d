"""What every refusal of an experiment must have, whatever the file holds.

A file and a rule always. A line always, but where an option of the command line is at fault. A key
always, but where there are none: in a text that is no YAML mapping as it is understood here (not
UTF-8, tabs, tags, wrong syntax, a list), and in an option that has not the form key=value.
"""

from collections.abc import Callable

from runner.errors import ExperimentError, Problem
from runner.experiment.document import parse_document
from tests.experiment.watching import nothing_runs


def problems_of(load: Callable[[], object]) -> tuple[Problem, ...]:
    """Why a load is refused, () if it is not; any other exception goes through.

    Fails the test if the load runs, imports or writes anything.
    """
    problems = None
    with nothing_runs():
        try:
            load()
        except ExperimentError as err:
            problems = err.problems
    assert problems != ()
    return problems or ()


def assert_sound(problems: tuple[Problem, ...], content: str | bytes) -> None:
    """Fails the test unless each problem has all that a problem of this file can have."""
    encoded = content.encode() if isinstance(content, str) else content
    for problem in problems:
        text = str(problem)
        text.encode()
        assert problem.file
        assert problem.rule
        assert text.startswith(problem.file)
        if problem.file.startswith("--set "):
            assert problem.line is None
            assert problem.key or "=" in problem.rule or "in a key" in problem.rule
            continue
        assert problem.line is not None
        # PyYAML also begins a line after these three.
        breaks = sum(encoded.count(mark) for mark in (b"\n", b"\r", b"\xc2\x85", b"\xe2\x80"))
        assert 1 <= problem.line <= breaks + 2
        assert problem.key or not is_yaml(encoded)


def is_yaml(content: bytes) -> bool:
    """Whether it is a mapping of keys to values: then everything in it has a key."""
    try:
        parse_document(content, shown="x.yaml", what="an experiment")
    except ExperimentError:
        return False
    return True
