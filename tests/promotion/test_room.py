"""The room's face: cheap to import, and its names are what they say."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "timm", "transformers", "peft", "mlflow", "pandas", "sklearn")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_room_imports_nothing_heavy_until_it_is_used():
    code = "import sys, runner.promotion as room; room.Form, room.InputFile; print(*sys.modules)"
    loaded = run(code).split()

    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.slow
def test_room_gives_functions_and_not_the_modules_of_the_same_name():
    code = (
        "from runner.promotion import promote, predict; print(promote.__name__, predict.__name__)"
    )

    assert run(code) == "promote predict"


def test_room_has_no_other_names():
    import runner.promotion

    with pytest.raises(AttributeError, match="module 'runner.promotion' has no attribute 'forms'"):
        runner.promotion.forms  # noqa: B018
