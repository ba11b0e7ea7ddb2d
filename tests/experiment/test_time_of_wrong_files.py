"""Files as long as they may be are refused within seconds, whatever is wrong with them."""

import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from runner.errors import Problem
from tests.experiment.conftest import MINIMAL

Problems = Callable[..., tuple[Problem, ...]]
OWN = "name: a\ntask: custom\nobjective: a.py:f\nsearch:\n  metric: m\n  direction: maximize\n"


def chain(length: int) -> str:
    """Parameters each of which needs the next one, in the order that takes longest to sort."""
    names = [f"p{number:04d}" for number in range(length)]
    lines = [
        f"    {name}: {{fixed: 1, when: {{{after}: 1}}}}\n" for name, after in pairwise(names)
    ]
    return f"{OWN}  space:\n{''.join(lines)}    {names[-1]}: 1\n    x: []\n"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (MINIMAL + "".join(f"key_{n:05d}: 1\n" for n in range(4900)), 4900),
        (MINIMAL + "".join(f"nam: {n}\n" for n in range(4900)), 4899),
        (MINIMAL + "description: ['" + "://" * 80_000 + "']\n", 1),
        (MINIMAL + f"train: {{optimizer: {'a' * 200_000}}}\n", 1),
        (MINIMAL + f"seed: {'//a:b@' * 40_000}\n", 1),
        (OWN + f"  space: {{x: {{choice: [{', '.join(map(str, range(2500)))}, 7]}}}}\n", 1),
        (chain(1200), 1),
    ],
    ids=["unknown-keys", "double-keys", "addresses", "word", "passwords", "choices", "chain"],
)
def test_long_file_is_refused_within_seconds(problems: Problems, text: str, count: int) -> None:
    started = time.perf_counter()

    found = problems(text)

    assert time.perf_counter() - started < 30
    assert len(found) == count
    assert all(problem.line and problem.key for problem in found)
    assert all(len(str(problem)) < 3000 for problem in found)
