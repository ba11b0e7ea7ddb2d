"""`runner validate` with wrong files: its exit code, every problem, never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, seed
from hypothesis import strategies as st

from runner.cli import run
from runner.errors import ExperimentError
from runner.experiment import load_experiment
from tests.experiment.forms import FORMS, edited_forms, written
from tests.experiment.fuzzing import SEED, quick, thorough
from tests.experiment.test_fuzzed_options import options
from tests.experiment.yaml_texts import yaml_texts

TEXTS = st.text(max_size=80) | yaml_texts() | edited_forms().map(lambda form: written(form)[0])
Validate = Callable[..., None]


@pytest.fixture
def validate(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Validate:
    """Validates a wrong file; one that is right is no case: its model and data are not there."""
    monkeypatch.chdir(folder)
    path = folder / "x.yaml"

    def validate_text(text: str, *given: str) -> None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        assume(_is_wrong(path, given))
        capsys.readouterr()
        arguments = [str(path), *(f"--set={option}" for option in given)]
        assert run(["validate", *arguments]) == ExperimentError.exit_code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert err == ""
        *problems, last = out.splitlines()
        assert problems
        assert "problem" in last
        assert run(["validate", *arguments, "--json"]) == ExperimentError.exit_code
        listed: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        assert all(each["file"] and each["rule"] for each in listed)

    return validate_text


def _is_wrong(path: Path, given: tuple[str, ...]) -> bool:
    try:
        load_experiment(str(path), given)
    except ExperimentError:
        return True
    return False


@quick(40)
@given(text=TEXTS)
def test_wrong_file_ends_with_three_and_no_traceback(validate: Validate, text: str) -> None:
    validate(text)


@quick(25)
@given(option=options())
def test_wrong_option_ends_with_three_and_no_traceback(validate: Validate, option: str) -> None:
    validate(written(FORMS["folder"])[0], option)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@seed(SEED)
@thorough(1000)
@given(text=TEXTS, given_options=st.lists(options(), max_size=2))
def test_wrong_files_and_options_end_with_three_a_thousand_times(
    validate: Validate, text: str, given_options: list[str]
) -> None:
    validate(text, *given_options)
