"""Lines that a command prints."""

import pytest

from runner.errors import TrialFailed
from runner.trial.custom.messages import read_line


@pytest.mark.parametrize(
    "line", ["epoch 1 of 3", "", "[1, 2]", "{'step': 1}", "{not json}", '"text"', "3", "{}x"]
)
def test_read_line_that_is_no_json_object_is_for_the_log(line: str) -> None:
    assert read_line(line) is None


def test_read_line_may_say_everything_at_once() -> None:
    message = read_line(
        '  {"step": 2, "accuracy": 0.5, "train/loss": NaN, "artifact": "a.png", "model": "m", '
        '"checkpoint": "2.pt"}\n'
    )
    assert message is not None
    assert message.step == 2
    assert set(message.metrics) == {"accuracy", "train/loss"}
    assert (message.artifact, message.model, message.checkpoint) == ("a.png", "m", "2.pt")


def test_read_line_of_a_checkpoint_alone_has_no_step() -> None:
    message = read_line('{"checkpoint": true}')
    assert message is not None
    assert (message.step, message.checkpoint) == (None, True)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"accuracy": 0.5}', "it has no step; print what is no message to stderr"),
        ("{}", "it has no step; print what is no message to stderr"),
        ('{"artifact": "a", "level": "info"}', "it has no step; print what is no message to"),
        ('{"artifact": 3}', "artifact must be a path"),
        ('{"model": ""}', "model must be a path"),
        ('{"checkpoint": false}', "checkpoint must be true, or the name of a file or folder in"),
        ('{"checkpoint": 1}', "checkpoint must be true, or the name"),
        ('{"checkpoint": "../x"}', "checkpoint must be true, or the name"),
    ],
)
def test_read_line_with_a_bad_message_is_refused_with_the_line(line: str, why: str) -> None:
    with pytest.raises(TrialFailed) as caught:
        read_line(line)
    assert str(caught.value).startswith(f"the command printed a bad message: {why}")
    assert str(caught.value).endswith(f": {line}")


def test_read_line_that_is_long_is_cut_in_the_message() -> None:
    with pytest.raises(TrialFailed) as caught:
        read_line('{"text": "' + "x" * 5000 + '"}')
    assert len(str(caught.value)) < 450


def test_read_line_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(TrialFailed, match="it is nested too deeply"):
        read_line('{"a":' * 100_000)
