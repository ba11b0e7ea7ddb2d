"""Seeds derived from names and numbers, so that every random stream has its own."""

import hashlib
import random


def derive_seed(*parts: int | str) -> int:
    """A seed that depends on all parts and their order, in [0, 2**31).

    Source: own definition: the first 31 bits of SHA-256 over the joined parts.
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFF_FFFF


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (every device)."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
