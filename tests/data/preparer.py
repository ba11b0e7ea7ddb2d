"""A process that asks for a prepared set and keeps it; run by the tests.

It says `writes N` before it writes piece N, `has DIGEST` once it has the set, or `no room`; and
ends when its input does.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np

from runner.data.budget import Allowance, NoRoom
from runner.data.prepared import PreparedSets, SetWriter

PIECES, PIECE_BYTES = 8, 64 * 1024
SET_BYTES = PIECES * PIECE_BYTES


def content(name: str) -> list[bytes]:
    """The pieces of a set."""
    seed = np.random.default_rng(list(name.encode()))
    return [seed.bytes(PIECE_BYTES) for _ in range(PIECES)]


def digest(name: str) -> str:
    """What a process says that has it whole."""
    return hashlib.sha256(b"".join(content(name))).hexdigest()


def main(cache: str, name: str, *, limit_bytes: int, hang_at: int | None, pause_s: float) -> None:
    print("ready", flush=True)
    sys.stdin.readline()

    def write(file: SetWriter) -> None:
        for number, piece in enumerate(content(name)):
            print(f"writes {number}", flush=True)
            file.write(piece)
            time.sleep(600 if number == hang_at else pause_s)

    def whole(found: np.ndarray) -> np.ndarray | None:
        return found if len(found) == SET_BYTES else None

    sets = PreparedSets(Path(cache), Allowance(limit_bytes / 2**30))
    path = Path(cache) / "pixels" / f"{name}.npy"
    try:
        found = sets.get(path, parse=whole, write=write, needed_bytes=lambda: SET_BYTES)
    except NoRoom:
        print("no room", flush=True)
        return
    print(f"has {hashlib.sha256(found).hexdigest()}", flush=True)
    sys.stdin.readline()
    print(f"still {hashlib.sha256(found).hexdigest()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))
