"""In which form a trial with adapters is promoted."""

from enum import StrEnum


class Form(StrEnum):
    """MERGED: one model with all its weights. ADAPTER: what was trained alone, for its base."""

    MERGED = "merged"
    ADAPTER = "adapter"
