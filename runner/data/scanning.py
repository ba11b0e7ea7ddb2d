"""Looking at every file once: does it decode, and what is its digest.

Results are kept under `cache/scans/`, keyed by path, size and time of change, so opening the
same data again costs one `stat` a file.
"""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import PIL

from runner.data.cache import SCANS, entry_path, write_whole
from runner.data.decoding import (
    DECODER_VERSION,
    Unreadable,
    byte_limit,
    decode,
    pixel_limit,
)
from runner.machine import usable_cores

# Size in bytes, time of change in nanoseconds; a negative second number is a hash, not a time.
Stamp = tuple[int, int]
_CHECK_SIDE = 32  # pixels; a JPEG drafted to this size is still read to its last byte
_BLOCK = 4096  # files queued at once: a million waiting futures would cost a gigabyte
_SAME_TICK_NS = 50_000_000  # a file this young may change again without its time stamp moving
_COARSE_TICK_NS = 2_000_000_000  # the same for file systems that keep whole seconds


class Contents(Protocol):
    """Encoded images by position, with a cheap sign that tells when one has changed."""

    @property
    def scan_name(self) -> str:
        """What tells this set from others in the cache of scans."""

    def keys(self) -> Sequence[str]:
        """One key for each position, unique in the set."""

    def stamp(self, position: int) -> Stamp | None:
        """Changes when the content does; None where there is nothing to read."""

    def read(self, position: int) -> bytes:
        """The encoded image.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it has a name that no file can have.
        """


@dataclass(frozen=True, slots=True)
class Finding:
    """What looking at one file gave.

    Attributes:
        digest: SHA-256 of the content; empty where it could not be read.
        problem: Why it cannot be used; None where it can.
    """

    digest: str
    problem: str | None


Known = dict[str, tuple[Stamp, Finding]]


def scan(
    contents: Contents, *, cache: Path | None, max_pixels: int | None = None
) -> list[Finding]:
    """One finding for each position of `contents`.

    Args:
        contents: What to look at.
        cache: Folder of caches; None looks at every file again.
        max_pixels: As of `decode`.
    """
    known = _load(contents, cache, max_pixels)
    keys = contents.keys()
    stamps = [contents.stamp(position) for position in range(len(keys))]
    findings: dict[int, Finding] = {}
    for position, (key, stamp) in enumerate(zip(keys, stamps, strict=True)):
        if key in known and known[key][0] == stamp:
            findings[position] = known[key][1]
    unseen = [position for position in range(len(keys)) if position not in findings]
    started_ns = time.time_ns()
    findings.update(zip(unseen, _look_all(contents, unseen, stamps, max_pixels), strict=True))
    if unseen and cache is not None:
        fresh = {
            keys[position]: (stamp, findings[position])
            for position, stamp in enumerate(stamps)
            if stamp is not None and _is_settled(stamp, started_ns)
        }
        _save(contents, cache, fresh, max_pixels)
    return [findings[position] for position in range(len(keys))]


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _look_all(
    contents: Contents,
    positions: list[int],
    stamps: Sequence[Stamp | None],
    max_pixels: int | None,
) -> list[Finding]:
    """Findings for these positions, decoded side by side (Pillow lets go of the GIL)."""
    most_bytes = byte_limit(max_pixels)

    def look(position: int) -> Finding:
        """One finding."""
        stamp = stamps[position]
        if stamp is not None and most_bytes is not None and stamp[0] > most_bytes:
            return Finding("", _too_long(stamp[0], most_bytes))
        try:
            encoded = contents.read(position)
        except FileNotFoundError:
            return Finding("", "no such file")
        except OSError as err:
            return Finding("", f"cannot be read: {err.strerror or err}")
        except ValueError as err:
            return Finding("", f"cannot be read: {err}")
        try:
            decode(encoded, enough=_CHECK_SIDE, max_pixels=max_pixels)
        except Unreadable as err:
            return Finding(digest_of(encoded), str(err))
        return Finding(digest_of(encoded), None)

    with warnings.catch_warnings(), ThreadPoolExecutor(usable_cores()) as pool:
        warnings.filterwarnings("ignore", module="PIL")
        found: list[Finding] = []
        for start in range(0, len(positions), _BLOCK):
            found.extend(pool.map(look, positions[start : start + _BLOCK]))
        return found


def _too_long(size: int, most: int) -> str:
    return (
        f"a file of {size / 1e6:,.0f} MB; one picture within the limit of pixels takes at most "
        f"{most / 1e6:,.0f}. Save its first picture alone, or raise data.max_megapixels"
    )


def _is_settled(stamp: Stamp, now_ns: int) -> bool:
    """Whether a later change would move the time stamp."""
    changed_ns = stamp[1]
    tick_ns = _COARSE_TICK_NS if changed_ns % 1_000_000_000 == 0 else _SAME_TICK_NS
    return now_ns - changed_ns > tick_ns


def _path(contents: Contents, cache: Path) -> Path:
    return entry_path(cache, SCANS, digest_of(os.fsencode(contents.scan_name))[:32], ".json")


def _decoder(max_pixels: int | None) -> list[object]:
    """What a finding depends on, beside the file."""
    return [DECODER_VERSION, PIL.__version__, pixel_limit(max_pixels)]


def _load(contents: Contents, cache: Path | None, max_pixels: int | None) -> Known:
    """What is known from earlier scans; nothing where the file is missing or damaged."""
    if cache is None:
        return {}
    try:
        stored = json.loads(_path(contents, cache).read_text(encoding="utf-8"))
        if stored["decoder"] != _decoder(max_pixels):
            return {}
        return {
            key: ((size, changed_ns), Finding(digest, problem))
            for key, (size, changed_ns, digest, problem) in stored["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _save(contents: Contents, cache: Path, known: Known, max_pixels: int | None) -> None:
    """Keep findings for the next opening; a cache that cannot be written is no failure."""
    files = {key: [*stamp, found.digest, found.problem] for key, (stamp, found) in known.items()}
    stored = {"decoder": _decoder(max_pixels), "files": files}
    write_whole(_path(contents, cache), json.dumps(stored).encode())
