"""Wishes from other terminals: stop this, try that. The driver picks them up.

Of a study in a folder they are files there; a database has a table of them.
"""

import json
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from runner.experiment import write_whole

logger = logging.getLogger(__name__)

INBOX = "inbox"


@dataclass(frozen=True)
class StopTrial:
    """Prune one running trial."""

    id: str
    number: int


@dataclass(frozen=True)
class StopStudy:
    """End the whole search gracefully; the same command continues it."""

    id: str
    asked_at: float


@dataclass(frozen=True)
class Enqueue:
    """Try a setting next."""

    id: str
    params: Mapping[str, Any]


Wish = StopTrial | StopStudy | Enqueue


def post(folder: Path, kind: str, content: Mapping[str, Any]) -> str:
    """Leave a wish in a study's inbox; gives its id.

    Args:
        folder: The study's.
        kind: "stop-trial" ({"number"}), "stop-study" ({}) or "enqueue" ({"params"}).
    Raises:
        DiskRefused: If it cannot be written.
    """
    wish_id, text = written(kind, content)
    write_whole(folder / INBOX / f"{wish_id}.json", text)
    return wish_id


def pending(folder: Path) -> list[Wish]:
    """The wishes in an inbox, oldest first. They stay there until `settled`.

    One that a power cut has left half written is removed: nobody can say what it was.
    """
    inbox = folder / INBOX
    if not inbox.is_dir():
        return []
    found = (_wish_in(path) for path in sorted(inbox.glob("*.json")))
    return [wish for wish in found if wish is not None]


def _wish_in(path: Path) -> Wish | None:
    try:
        return parsed(path.stem, path.read_text())
    except OSError as error:
        _warn_once(f"the wish {path} cannot be read: {error}")
    except (ValueError, KeyError, TypeError) as error:
        _warn_once(f"the wish {path} is damaged and removed: {error}")
        _remove(path)
    return None


def settled(folder: Path, wish: Wish) -> None:
    """Remove a wish that has been fulfilled or can no longer be."""
    _remove(folder / INBOX / f"{wish.id}.json")


def _remove(path: Path) -> None:
    """Another user's may stay: what it asks for is done already, and doing it again is nothing."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _warn_once(f"the wish {path} cannot be removed: {error}")


@cache
def _warn_once(text: str) -> None:
    """The inbox is read twice a second."""
    logger.warning(text)


def written(kind: str, content: Mapping[str, Any]) -> tuple[str, str]:
    """A new wish as text, and its id, by which wishes sort."""
    wish_id = f"{time.time_ns()}-{secrets.token_hex(3)}"
    return wish_id, json.dumps({"kind": kind, "asked_at": time.time(), **content})


def parsed(wish_id: str, text: str) -> Wish:
    """A wish from its text."""
    content = json.loads(text)
    if content["kind"] == "stop-trial":
        return StopTrial(wish_id, int(content["number"]))
    if content["kind"] == "stop-study":
        return StopStudy(wish_id, float(content["asked_at"]))
    return Enqueue(wish_id, content["params"])
