"""What makes a study one study, and saying readably what is different."""

from collections.abc import Iterator, Mapping
from typing import Any

from runner.errors import StudyChanged

_MISSING = "(not there)"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Each leaf that differs, as "key: before -> now"."""
    for name in sorted({*old, *new}):
        before, now = old.get(name, _MISSING), new.get(name, _MISSING)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from differences(before, now, f"{prefix}{name}.")
        elif before != now:
            yield f"{prefix}{name}: {before!r} -> {now!r}".replace(repr(_MISSING), _MISSING)


def require_same(
    study: str, old: Mapping[str, Any], new: Mapping[str, Any], *, detail: str = ""
) -> None:
    """Refuse to continue a study with another experiment.

    Args:
        study: The study's name, for the message.
        old: Identity the study was begun with.
        new: Identity asked for now.
        detail: More to say, for example which files changed.
    Raises:
        StudyChanged: If the two differ; the message lists every difference.
    """
    changed = list(differences(old, new))
    if not changed:
        return
    listed = "\n".join(f"  {line}" for line in changed)
    raise StudyChanged(
        f"the study {study!r} was begun with other settings:\n{listed}\n{detail}"
        "Its trials would not be comparable. Put the settings back to continue it, or add --new "
        "to begin the next study under the same name (the old one is kept)."
    )
