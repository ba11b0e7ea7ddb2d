"""Thousands of made-up files: each loads, or is refused with file, line, key and rule; never
another exception, and never is anything run, imported or written."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, seed
from hypothesis import strategies as st

from runner.errors import ExperimentError
from runner.experiment import load_experiment
from runner.experiment.document import parse_document
from tests.experiment.forms import FORMS, WRONG, changed, edited_forms, keys_of_form, written
from tests.experiment.fuzzing import SEED, quick, thorough
from tests.experiment.soundness import assert_sound, problems_of
from tests.experiment.watching import nothing_runs
from tests.experiment.yaml_texts import explosions, yaml_texts

Check = Callable[[str], bool]
ANY_TEXT = st.text(max_size=200) | st.text(
    alphabet="ab:-[]{}#&*!|>'\"%@`,? \n\n  1.e<\\", max_size=200
)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is imported with the first refusal has been."""
    path = tmp_path_factory.mktemp("warm") / "x.yaml"
    for form in FORMS.values():
        for text in (written(form)[0], written({**form, "train": {"epochs": "x", "y": 1}})[0]):
            path.write_text(text)
            _load_or_not(path)


@pytest.fixture
def check(folder: Path, warm: None) -> Check:
    """Whether a text is refused, and soundly."""
    path = folder / "x.yaml"

    def is_refused(text: str) -> bool:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        problems = problems_of(lambda: load_experiment(str(path)))
        assert_sound(problems, path.read_bytes())
        return bool(problems)

    print(f"RUNNER_FUZZ_SEED={SEED}")  # shown where the test fails
    return is_refused


def _load_or_not(path: Path) -> None:
    try:
        load_experiment(str(path))
    except ExperimentError:
        return


@pytest.mark.parametrize("name", FORMS)
def test_forms_are_right_before_anything_is_changed(check: Check, name: str) -> None:
    assert not check(written(FORMS[name])[0])


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['true']",
        "!!python/object/apply:subprocess.Popen [['true']]",
        "!!python/object/apply:eval ['1']",
        "!!python/object/apply:exec ['a = 1']",
        "!!python/module:tabnanny",
    ],
)
def test_what_pyyaml_itself_would_run_is_seen_by_the_watch(text: str, check: Check) -> None:
    """Fails where the composer looks at no tag."""
    sys.modules.pop("tabnanny", None)
    with pytest.raises(AssertionError, match="ran, imported or wrote"), nothing_runs():
        yaml.unsafe_load(text)
    sys.modules.pop("tabnanny", None)
    assert check(f"name: {text}\n")
    # As such, and not for the plain value that would be left of it.
    with pytest.raises(ExperimentError, match=r"tags \(!name\) are not allowed"):
        parse_document(f"name: {text}\n".encode(), shown="x.yaml", what="an experiment")


@quick(150)
@given(text=ANY_TEXT)
def test_any_text_is_refused(check: Check, text: str) -> None:
    assert check(text)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@seed(SEED)
@thorough(2500)
@given(text=ANY_TEXT)
def test_any_text_is_refused_thousands_of_times(check: Check, text: str) -> None:
    assert check(text)


@quick(150)
@given(text=yaml_texts())
def test_text_like_yaml_loads_or_is_refused(check: Check, text: str) -> None:
    check(text)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@seed(SEED)
@thorough(2500)
@given(text=yaml_texts())
def test_text_like_yaml_loads_or_is_refused_thousands_of_times(check: Check, text: str) -> None:
    check(text)


@quick(40)
@given(text=explosions())
def test_anchors_that_explode_load_or_are_refused(check: Check, text: str) -> None:
    assert check(text)


@quick(200)
@given(form=edited_forms())
def test_edited_experiment_loads_or_is_refused(check: Check, form: dict[str, Any]) -> None:
    check(written(form)[0])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@seed(SEED)
@thorough(2500)
@given(form=edited_forms())
def test_edited_experiment_loads_or_is_refused_thousands_of_times(
    check: Check, form: dict[str, Any]
) -> None:
    check(written(form)[0])


def assert_placed(folder: Path, form: dict[str, Any]) -> int:
    """How many problems an experiment has, each at the line where its key is written."""
    text, places = written(form)
    path = folder / "x.yaml"
    path.write_text(text)
    problems = problems_of(lambda: load_experiment(str(path)))
    assert_sound(problems, text)
    for problem in problems:
        parts = problem.key.split(".")
        # A key that is no word is told at its own line, but has no name: its section's is told.
        if problem.file == str(path) and problem.rule != "a key must be a word":
            # What is missing is told at the section that lacks it.
            of_key, of_section = (places.get(".".join(parts[:length])) for length in (2, 1))
            assert problem.line == (of_key or of_section or 1)
    return len(problems)


def test_every_key_of_every_form_with_some_wrong_value_is_refused_at_its_line(
    folder: Path, check: Check
) -> None:
    """Fails where every line, or every key's, is the first (`_TreeReader`)."""
    wrong = tried = 0
    for number, form in enumerate(FORMS.values()):
        for place, path in enumerate(keys_of_form(form)):
            if place % 4 != number % 4:
                continue
            value = WRONG[(place // 4 + 7 * number) % len(WRONG)]
            wrong += assert_placed(folder, changed(form, path, value)) > 0
            tried += 1
    assert tried > 300
    assert wrong > tried // 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FORMS)
def test_every_key_of_a_form_with_every_kind_of_wrong_value_is_refused_at_its_line(
    folder: Path, check: Check, name: str
) -> None:
    """A quarter of all pairs, in each form another: together the forms have every one."""
    keys = keys_of_form(FORMS[name])
    assert len(keys) > 60
    pairs = [(place + number, path, value) for place, path in enumerate(keys)
             for number, value in enumerate(WRONG)]  # fmt: skip
    chosen = [pair[1:] for pair in pairs if pair[0] % 4 == list(FORMS).index(name) % 4]
    wrong = [assert_placed(folder, changed(FORMS[name], path, value)) > 0
             for path, value in chosen]  # fmt: skip
    assert sum(wrong) > len(wrong) // 2
