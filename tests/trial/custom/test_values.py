"""Names and values of reported metrics."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from runner.errors import TrialFailed
from runner.trial.custom.values import named_values, returned_values, step_number


def test_named_values_without_a_slash_are_of_validation() -> None:
    named = named_values({"accuracy": 1, "train/loss": 0.5, "möglich": 0})
    assert named == {"validation/accuracy": 1.0, "train/loss": 0.5, "validation/möglich": 0.0}
    assert all(type(value) is float for value in named.values())


@pytest.mark.parametrize(
    "number",
    [np.float32(0.5), np.array(0.5), np.array([0.5]), torch.tensor(0.5), torch.tensor([[0.5]])],
)
def test_named_values_of_arrays_with_one_element_are_numbers(number: Any) -> None:
    assert named_values({"accuracy": number}) == {"validation/accuracy": 0.5}


def test_named_values_may_be_nan() -> None:
    assert math.isnan(named_values({"auroc": math.nan})["validation/auroc"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.inf, "validation/loss is inf; a metric must be a finite number, or NaN where"),
        (10**400, "validation/loss is inf; "),
        ("0.5", "validation/loss is '0.5', of type str; a metric must be a number"),
        (True, "validation/loss is True, of type bool; a metric must be a number"),
        (None, "validation/loss is None, of type NoneType; a metric must be a number"),
        (1j, "validation/loss is 1j, of type complex; a metric must be a number"),
        (torch.zeros(3), "validation/loss is tensor([0., 0., 0.]), of type Tensor; a metric must"),
    ],
)
def test_named_values_that_are_no_numbers_are_refused(value: Any, message: str) -> None:
    with pytest.raises(TrialFailed) as caught:
        named_values({"loss": value})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "'' cannot be a metric's name: it must be letters, digits, '_', '-', '.', blanks"),
        ("a//b", "'a//b' cannot be"),
        ("/a", "'/a' cannot be"),
        ("../a", "'../a' cannot be"),
        ("50%", "'50%' cannot be"),
        (3, "3 cannot be"),
        ("x" * 300, "the metric's name 'validation/xxxxxxxxxxxxxxxxxxxxxxxxxxxxx'... is longer"),
    ],
)
def test_named_values_with_a_name_that_mlflow_refuses_are_refused(name: Any, message: str) -> None:
    with pytest.raises(TrialFailed) as caught:
        named_values({name: 0.5})
    assert str(caught.value).startswith(message)


def test_named_values_that_name_one_metric_twice_are_refused() -> None:
    with pytest.raises(TrialFailed, match="^a report has validation/loss twice$"):
        named_values({"loss": 1, "validation/loss": 2})


def test_named_values_of_an_empty_report_are_refused() -> None:
    with pytest.raises(TrialFailed, match="^a report has no metric; write it beside the step"):
        named_values({})


def test_step_number_of_a_numpy_integer_is_a_python_one() -> None:
    assert type(step_number(np.int64(3))) is int


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (0, "the step is 0; steps are counted from 1 (in a loop that counts from 0: step + 1)"),
        (-2, "the step is -2; steps are counted from 1 (in a loop that counts from 0: step + 1)"),
        (1.0, "the step is 1.0; it must be a whole number, 1 or more"),
        (True, "the step is True; it must be a whole number, 1 or more"),
        ("1", "the step is '1'; it must be a whole number, 1 or more"),
        (10**12, "the step is 1000000000000; it can be 1000000000 at most"),
    ],
)
def test_step_number_that_is_none_is_refused(step: Any, message: str) -> None:
    with pytest.raises(TrialFailed) as caught:
        step_number(step)
    assert str(caught.value) == message


def test_returned_values_of_a_number_are_the_search_metric() -> None:
    assert returned_values(np.float64(0.5), "f1") == {"validation/f1": 0.5}
    assert returned_values({"f1": 0.5, "test/f1": 1}, "f1") == {"validation/f1": 0.5, "test/f1": 1}
    assert returned_values(None, "f1") is None


@pytest.mark.parametrize("returned", ["0.5", True, [0.5, 0.6], object])
def test_returned_values_of_anything_else_are_refused(returned: Any) -> None:
    with pytest.raises(TrialFailed) as caught:
        returned_values(returned, "f1")
    assert "it may return a number (the f1), a mapping of metrics, or nothing" in str(caught.value)
