"""Places in a command."""

import pytest

from runner.experiment import Scalar
from runner.trial.custom.template import filled, names_in, value_text


def test_filled_puts_values_in_and_leaves_other_braces() -> None:
    command = ["train", "--lr={rate}", "{{rate}}", '{"a": {"b": 1}}', "{rate}{seed}", "{ rate }"]
    words = filled(command, {"rate": 1e-5, "seed": 7})
    assert words == ["train", "--lr=1e-05", "{rate}", '{"a": {"b": 1}}', "1e-057", "{ rate }"]


def test_filled_never_fills_in_what_a_value_says() -> None:
    assert filled(["{a}"], {"a": "{b} $(rm -r /) ;", "b": "x"}) == ["{b} $(rm -r /) ;"]


def test_names_in_lists_places_in_order() -> None:
    assert list(names_in(["x{b}{a}", "{{c}}", "{b}"])) == ["b", "a", "b"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (None, "null"), (0.1 + 0.2, "0.30000000000000004"), (3, "3"), ("a b", "a b")],
)
def test_value_text_is_exact_and_as_in_yaml(value: Scalar, text: str) -> None:
    assert value_text(value) == text
