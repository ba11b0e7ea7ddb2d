"""JSON as strict readers take it."""

import json
import math

import pytest

from runner.experiment import json_text


def test_numbers_that_are_none_are_null_at_any_depth() -> None:
    value = {"a": math.nan, "b": [1.5, (math.inf, -math.inf)], "c": {"d": True, "e": None}}
    assert json.loads(json_text(value)) == {
        "a": None,
        "b": [1.5, [None, None]],
        "c": {"d": True, "e": None},
    }


def test_what_json_has_no_form_for_is_an_error_unless_somebody_gives_it_one() -> None:
    """Fails where it is written as text: a number of another library would be none any more."""
    with pytest.raises(TypeError):
        json_text({"a": object})
    assert json_text({"a": 1j}, default=str) == '{"a": "1j"}'
