"""The room's door: cheap to open, and everything it promises is there."""

import subprocess
import sys

import pytest

import runner.data


def test_importing_the_room_brings_in_no_heavy_library():
    program = (
        "import sys, runner.data;"
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'pandas', 'datasets',"
        " 'matplotlib', 'pyarrow') if m in sys.modules])"
    )

    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("name", runner.data.__all__)
def test_every_public_name_is_there(name):
    assert getattr(runner.data, name) is not None


def test_name_that_is_not_there_is_refused():
    with pytest.raises(AttributeError, match=r"'runner.data' has no attribute 'nothing'"):
        _ = runner.data.nothing
