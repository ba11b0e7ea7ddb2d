"""Whatever hypothesis makes up: each loads, or is refused with file, line, key and rule."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import ExperimentError
from runner.experiment import Experiment, load_experiment

FILES = Path(__file__).parent / "files"
Refused = Callable[[Callable[[], object]], bool]
BRIEFLY = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([10**400, "max", "auto", "none", "1h", "cpu", "hub", "cuda:0", -(10**30)]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["float", "int", "choice", "when", "epochs", "x", "below"]), inner
        )
    ),
    max_leaves=6,
)


@BRIEFLY
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8")))
def test_any_bytes_are_refused_soundly(folder: Path, refused: Refused, content: bytes) -> None:
    (folder / "x.yaml").write_bytes(content)
    assert refused(lambda: load_experiment(str(folder / "x.yaml")))


@BRIEFLY
@given(text=st.text(alphabet="ab:-[]{}#&*!|>'\"%@`,? \n\t1.e<", max_size=60))
def test_any_text_of_yaml_signs_is_refused_soundly(
    folder: Path, refused: Refused, text: str
) -> None:
    (folder / "x.yaml").write_text(text)
    assert refused(lambda: load_experiment(str(folder / "x.yaml")))


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all parts of a value, the whole left out."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from leaves(part, (*path, key))


PHOTOS = load_experiment(str(FILES / "photos_folder.yaml")).resolved()
PATHS = list(leaves(PHOTOS))


def replaced(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """The resolved photos experiment with one part replaced."""
    whole = json.loads(json.dumps(PHOTOS))
    inner = whole
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return dict(whole)


@BRIEFLY
@given(path=st.sampled_from(PATHS), value=VALUES)
def test_any_value_at_any_key_of_a_file_loads_or_is_refused_soundly(
    folder: Path, refused: Refused, path: tuple[str | int, ...], value: object
) -> None:
    (folder / "x.yaml").write_text(yaml.safe_dump(replaced(path, value), allow_unicode=True))
    refused(lambda: load_experiment(str(folder / "x.yaml")))


@BRIEFLY
@given(path=st.sampled_from(PATHS), value=VALUES)
def test_any_value_at_any_key_from_python_is_taken_or_refused(
    path: tuple[str | int, ...], value: object
) -> None:
    try:
        experiment = Experiment.from_resolved(replaced(path, value))
    except ExperimentError:
        return
    json.dumps(experiment.resolved(), allow_nan=False)
    assert Experiment.from_resolved(experiment.resolved()).space == experiment.space
