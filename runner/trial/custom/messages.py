"""What a command says on its standard output: a line that is a JSON object is a message.

    {"step": 1, "accuracy": 0.9}    a report
    {"artifact": "curve.png"}       a file or folder for the trial's MLflow run
    {"model": "model.pt"}           what promotion registers
    {"checkpoint": "3.pt"}          that file or folder in the folder of checkpoints is complete
    {"checkpoint": true}            everything in the folder of checkpoints is complete

One line may say several of them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from runner.errors import TrialFailed

_LONGEST_SHOWN = 300


@dataclass(frozen=True)
class Message:
    """One line's content.

    Attributes:
        line: As it was written, for messages.
        step: Of a report; None if it is none.
        metrics: Of the report.
        artifact: Path of a file or folder; None for none.
        model: Likewise.
        checkpoint: Name of a file or folder; True for all there are; None for none.
    """

    line: str
    step: Any
    metrics: Mapping[str, Any]
    artifact: str | None
    model: str | None
    checkpoint: str | Literal[True] | None


def read_line(line: str) -> Message | None:
    """The message in a line; None if it is no JSON object, and so for the log.

    Raises:
        TrialFailed: If it is a JSON object, and not a message.
    """
    text = line.strip()
    if not text.startswith("{"):
        return None
    try:
        content = json.loads(text)
    except ValueError:
        return None
    except RecursionError:
        raise TrialFailed(bad(text, "it is nested too deeply")) from None
    rest = dict(content)
    step = rest.pop("step", None)
    artifact, model = (_path(rest.pop(key, None), key, text) for key in ("artifact", "model"))
    checkpoint = _checkpoint(rest.pop("checkpoint", None), text)
    if step is None and (rest or not (artifact or model or checkpoint)):
        raise TrialFailed(bad(text, "it has no step; print what is no message to stderr"))
    return Message(text, step, rest, artifact, model, checkpoint)


def bad(line: str, why: str) -> str:
    """What is wrong with a line, and the line."""
    shown = line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}..."
    return f"the command printed a bad message: {why}: {shown}"


def _checkpoint(value: object, line: str) -> str | Literal[True] | None:
    if value is None or value is True:
        return value
    if isinstance(value, str) and value not in ("", ".", "..") and "/" not in value:
        return value
    why = "checkpoint must be true, or the name of a file or folder in the folder of checkpoints"
    raise TrialFailed(bad(line, why))


def _path(value: object, key: str, line: str) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise TrialFailed(bad(line, f"{key} must be a path"))
    return value
