"""Made-up `--set` options, settings of `enqueue` and arguments of a model: taken, or refused."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from runner.errors import ExperimentError
from runner.experiment import load_experiment, parse_setting, parse_size
from tests.experiment.forms import FORMS, WRONG, flow, keys_of_form, written
from tests.experiment.fuzzing import SEED, quick, thorough
from tests.experiment.soundness import assert_sound, problems_of
from tests.experiment.yaml_texts import JUNK, NODES, PREFIXES, SCALARS, WORDS, flow_text

Check = Callable[[list[str]], bool]
KEYS = sorted({".".join(map(str, path)) for form in FORMS.values() for path in keys_of_form(form)})
# What a shell may hand over: bytes that are not UTF-8 arrive as half characters.
ODD = st.text(alphabet=st.characters(), max_size=10) | st.sampled_from(["\udcff", "\ud800=1"])


@st.composite
def options(draw: st.DrawFn) -> str:
    """A `key=value` that is mostly right."""
    key = draw(
        st.sampled_from(KEYS)
        | st.builds(
            "{}.{}".format, st.sampled_from(KEYS), st.sampled_from([*WORDS, "0", "99", ""])
        )
        | st.sampled_from(["", ".", "a" + ".a" * 60, "search.space.x.y", "data.0", "\udcff"])
        | ODD
    )
    value = draw(
        st.sampled_from(SCALARS)
        | NODES.map(flow_text)
        | st.sampled_from(WRONG).map(flow)
        | st.builds("{}{}".format, st.sampled_from(PREFIXES), st.sampled_from(JUNK))
        | st.sampled_from(["[" * 90, "{a: " * 90, "[" * 9 + "]" * 9, "&a [*a]"])
        | ODD
    )
    return key + draw(st.sampled_from([*["="] * 12, " = ", "", "=="])) + value


@pytest.fixture
def check(folder: Path) -> Check:
    """Whether an experiment with some options is refused, and soundly."""
    path = folder / "x.yaml"
    path.write_text(written(FORMS["folder"])[0])

    def is_refused(given: list[str]) -> bool:
        problems = problems_of(lambda: load_experiment(str(path), given))
        assert_sound(problems, path.read_bytes())
        return bool(problems)

    load_experiment(str(path), ["search.trials=5", "search.first=[{batch_size: 16}]"])
    print(f"RUNNER_FUZZ_SEED={SEED}")
    return is_refused


@quick(120)
@given(given_options=st.lists(options(), min_size=1, max_size=3))
def test_any_options_are_taken_or_refused(check: Check, given_options: list[str]) -> None:
    check(given_options)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@seed(SEED)
@thorough(2500)
@given(given_options=st.lists(options(), min_size=1, max_size=3))
def test_any_options_are_taken_or_refused_thousands_of_times(
    check: Check, given_options: list[str]
) -> None:
    check(given_options)


def test_option_that_nests_without_end_is_refused(check: Check) -> None:
    assert check(["model.arguments" + ".a" * 5000 + "=1"])
    assert check(["model.arguments.a=" + "[" * 5000])


@quick(80)
@given(value=NODES.map(flow_text) | st.sampled_from(WRONG).map(flow))
def test_any_arguments_of_a_model_are_json_or_refused(folder: Path, value: str) -> None:
    path = folder / "x.yaml"
    path.write_text(f"name: a\ndata: {{source: bundled, name: digits}}\nmodel:\n  name: x\n"
                    f"  arguments: {value}\n")  # fmt: skip
    found: list[Any] = []
    problems = problems_of(lambda: found.append(load_experiment(str(path))))
    assert_sound(problems, path.read_bytes())
    for experiment in found:
        assert json.loads(json.dumps(experiment.resolved(), allow_nan=False))


def assert_setting(text: str) -> None:
    """Fails the test unless a setting is taken, as something that can be kept, or refused."""
    try:
        name, value = parse_setting(text)
    except ExperimentError as err:
        (problem,) = err.problems
        str(problem).encode()
        assert problem.file == "command line"
        assert problem.rule
        return
    assert name
    f"{name}={value}".encode()
    assert value is None or isinstance(value, bool | int | float | str)
    assert f"{name}{value}".isprintable()


@quick(200)
@given(text=options() | ODD)
def test_any_setting_is_taken_or_refused(text: str) -> None:
    assert_setting(text)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@seed(SEED)
@thorough(2500)
@given(text=options() | ODD)
def test_any_setting_is_taken_or_refused_thousands_of_times(text: str) -> None:
    assert_setting(text)


@pytest.mark.parametrize("text", ["a=b\nc", "a\x07=1", "a=\udcff", "\udcff=1", "a=b\u2028c"])
def test_setting_with_a_control_character_is_refused(text: str) -> None:
    with pytest.raises(ExperimentError, match="control characters are not allowed"):
        parse_setting(text)


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "GB", "1e5", "-1", "٣x", "", "\udcff"])
def test_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ExperimentError, match="must be a size such as 500MB"):
        parse_size(text)


@quick(100)
@given(text=ODD | st.builds("{}{}".format, st.floats(0), st.sampled_from(["", "GB", " tb", "x"])))
def test_any_size_is_bytes_or_refused(text: str) -> None:
    try:
        size = parse_size(text)
    except ExperimentError as err:
        str(err).encode()
        return
    assert size >= 0
    assert math.isfinite(float(size))
