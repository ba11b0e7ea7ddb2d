"""Loading a function from a file, and every reason why that fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from runner.trial.custom.source import UnusableFunction, load_function


def load(folder: Path, code: str, name: str = "objective", file: str = "my_train.py") -> object:
    (folder / file).write_text(code, "utf-8")
    return load_function(f"{folder / file}:{name}")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def objective(trial:\n", "my_train.py:1: '(' was never closed (SyntaxError)"),
        ("def a():\n  x\n y\n", "my_train.py:3: unindent does not match any outer indentation"),
        (
            "import os\nimport xgbost\n",
            "my_train.py:2: importing my_train.py raised ModuleNotFoundError: No module named "
            "'xgbost'",
        ),
        ("x = 1\n1 / 0\n", "my_train.py:2: importing my_train.py raised ZeroDivisionError: divi"),
        ("import sys\nsys.exit(2)", "my_train.py:2: importing my_train.py raised SystemExit: 2"),
        (
            "def objectiv(trial): pass\ndef other(trial): pass\nfrom os.path import join",
            "my_train.py has no function 'objective'; it has objectiv, other; did you mean "
            "'objectiv'?",
        ),
        ("", "my_train.py has no function 'objective'"),
        ("objective = 3", "my_train.py: objective is of type int, not a function"),
        ("class objective: pass", "my_train.py: objective is a class, not a function"),
        (
            "x = 1\nasync def objective(trial): pass",
            "my_train.py:2: objective is a coroutine (async def); it must be a plain function",
        ),
        (
            "def objective(trial): yield 1",
            "my_train.py:1: objective is a generator (it has a yield); it must be a plain",
        ),
        (
            "def objective(trial, data): pass",
            "my_train.py:1: objective must take one argument, the trial; it is "
            "objective(trial, data)",
        ),
        ("def objective(): pass", "my_train.py:1: objective must take one argument, the trial"),
        ("def objective(*, trial): pass", "my_train.py:1: objective must take one argument"),
    ],
)
def test_load_function_that_cannot_be_used_says_why_and_where(
    tmp_path: Path, code: str, message: str
) -> None:
    with pytest.raises(UnusableFunction) as caught:
        load(tmp_path, code)
    assert str(caught.value).startswith(message)


def test_load_function_with_a_mistake_in_a_module_beside_it_names_that_module(
    tmp_path: Path,
) -> None:
    (tmp_path / "helping.py").write_text("x = 1\nx.y\n")
    with pytest.raises(UnusableFunction) as caught:
        load(tmp_path, "import helping\n")
    assert str(caught.value).startswith(
        "helping.py:2: importing my_train.py raised AttributeError: 'int' object has no"
    )


def test_load_function_from_a_file_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "my_train.py").touch()
    with pytest.raises(UnusableFunction) as caught:
        load_function(f"{tmp_path}/my_trian.py:objective")
    assert str(caught.value) == (
        f"no such file: {tmp_path}/my_trian.py; did you mean 'my_train.py'?"
    )


@pytest.mark.parametrize(
    "code",
    [
        "def objective(trial, *rest, depth=3): pass",
        "objective = lambda trial: 0",
        "from functools import partial\nobjective = partial(lambda a, trial: a, 1)",
        "class C:\n    def __call__(self, trial): pass\nobjective = C()",
    ],
)
def test_load_function_takes_anything_that_can_be_called_with_a_trial(
    tmp_path: Path, code: str
) -> None:
    assert callable(load(tmp_path, code))


@pytest.mark.parametrize("file", ["json.py", "my-train.py", "训练.v2.py", "xml.py"])
def test_load_function_does_not_take_another_modules_name(tmp_path: Path, file: str) -> None:
    import json

    assert callable(load(tmp_path, "def objective(trial): pass", file=file))
    assert sys.modules["json"] is json
    assert not str(getattr(sys.modules.get("xml"), "__file__", "")).startswith(str(tmp_path))


def test_load_function_again_has_the_file_as_it_is_now(tmp_path: Path) -> None:
    for number in (1, 2):
        function = load(tmp_path, f"def objective(trial): return {number}")
        assert callable(function)
        assert function(None) == number


def test_load_function_has_the_modules_beside_it_as_they_are_now(tmp_path: Path) -> None:
    code = "import nebenan, net.layers\ndef objective(trial): return nebenan.x, net.layers.x"
    seen = []
    for folder, x in (("a", 1), ("b", 2), ("a", 3)):
        (tmp_path / folder / "net").mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "nebenan.py").write_text(f"x = {x}  #{'-' * x}")
        (tmp_path / folder / "net" / "layers.py").write_text(f"x = {x}  #{'-' * x}")
        function = load(tmp_path / folder, code)
        assert callable(function)
        seen.append(function(None))
    assert seen == [(1, 1), (2, 2), (3, 3)]


def test_loaded_functions_can_be_sent_to_processes_of_their_own(tmp_path: Path) -> None:
    """As a loader of data with spawned workers does."""
    (tmp_path / "my_train.py").write_text(
        "import multiprocessing\n"
        "def square(x): return x * x\n"
        "def objective(trial):\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        return sum(pool.map(square, [1, 2]))\n"
    )
    script = tmp_path / "main.py"
    script.write_text(
        "from pathlib import Path\n"
        "from runner.trial.custom.source import load_function\n"
        "from runner.trial.custom.surroundings import beside\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "if __name__ == '__main__':\n"
        "    function = load_function(f'{folder}/my_train.py:objective')\n"
        "    with beside(folder):\n"
        "        print(function(None))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.stdout == "5\n", done.stderr
