"""The room's door: everything it promises is there, and it brings in torch and numpy alone."""

import subprocess
import sys

import pytest

import runner.reuse


@pytest.mark.slow
def test_importing_the_room_brings_in_no_library_of_models():
    program = (
        "import sys, runner.reuse;"
        "print([m for m in ('torchvision', 'timm', 'transformers', 'sklearn', 'pandas', 'mlflow',"
        " 'optuna') if m in sys.modules])"
    )

    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("name", runner.reuse.__all__)
def test_every_public_name_is_there(name):
    assert getattr(runner.reuse, name) is not None
