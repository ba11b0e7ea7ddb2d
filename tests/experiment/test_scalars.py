"""Plain YAML scalars: what is a number, what is text."""

import math

import pytest

from runner.experiment.scalars import plain_scalar, printable


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-3", -3),
        ("+3", 3),
        ("0", 0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.0e+3", 1000.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("-.inf", -math.inf),
    ],
)
def test_plain_scalar_with_a_value_gives_it(text: str, value: object) -> None:
    """Fails where a number may have no exponent."""
    result = plain_scalar(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "yes",
        "on",
        "off",
        "NO",
        "y",
        "010",
        "0o17",
        "0x1F",
        "1_000",
        "1:30",
        "190:20:30",
        "2026-11-22",
        "2026-11-22T10:00:00Z",
        "1e",
        "e5",
        ".",
        "-",
        "1.2.3",
        "None",
        "00.5",
        "tRue",
    ],
)
def test_plain_scalar_that_yaml_1_1_would_twist_stays_text(text: str) -> None:
    """Fails where `no` and `on` are booleans."""
    assert plain_scalar(text) == text


def test_plain_scalar_with_more_digits_than_64_bits_is_a_float() -> None:
    assert plain_scalar("1" * 30) == pytest.approx(1.1111e29, rel=1e-3)
    assert plain_scalar("9" * 5000) == math.inf


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1e-5, "1e-05"),
        ("a", "'a'"),
        ([1, "b"], "[1, 'b']"),
        ({"a": 1}, "a mapping"),
        (list(range(9)), "a list of 9"),
        ("x" * 100, "'" + "x" * 76 + "..."),
        ("http://me:secret@host/x", "'http://***@host/x'"),
    ],
)
def test_printable_gives_the_spelling_of_the_file(value: object, text: str) -> None:
    assert printable(value) == text
