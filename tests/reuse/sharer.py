"""A process that asks the store for features and says what it computed; run by the tests.

It writes a line for each chunk before it computes it, and a digest of all rows at the end. It may
be told to stay inside a chunk for good, so that it can be killed there.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

import torch

from runner.reuse import FeatureStore, Ragged, Rows

COUNT, CHUNK_ROWS, WIDTH = 600, 16, 96
CUTS = ("dense", "ragged")
ROW_BYTES = {"dense": 4 * WIDTH, "ragged": 2 * 4 * WIDTH}


def prefix(positions: torch.Tensor) -> dict[str, Rows]:
    """Rows whose last bits depend on what is computed together."""
    weight = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(0))
    inputs = torch.sin(positions[:, None].float() * torch.arange(WIDTH) / 7)
    outputs = torch.tanh(inputs @ weight) @ weight
    lengths = positions % 5
    return {
        "dense": outputs,
        "ragged": Ragged(torch.repeat_interleave(outputs, lengths, dim=0), lengths),
    }


def main(cache: str, *, name: str, hang_at: int | None, pause_s: float) -> None:
    """Ask once; say `ready` first, and wait for a line of input so that several begin at once."""
    print("ready", flush=True)
    sys.stdin.readline()

    def compute(positions):
        print(f"chunk {positions[0] // CHUNK_ROWS}", flush=True)
        if hang_at is not None and positions[0] // CHUNK_ROWS >= hang_at:
            print("hangs", flush=True)
            time.sleep(600)
        time.sleep(pause_s)
        return prefix(torch.from_numpy(positions))

    store = FeatureStore(Path(cache), limit_bytes=10**8, chunk_rows=CHUNK_ROWS)
    features = store.get(name, count=COUNT, cuts=CUTS, row_bytes=ROW_BYTES, compute=compute)
    digest = hashlib.sha256(b"".join(features[cut].all().numpy().tobytes() for cut in CUTS))
    print(f"digest {digest.hexdigest()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], **json.loads(sys.argv[2]))
