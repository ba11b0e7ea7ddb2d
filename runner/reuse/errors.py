"""The reuse room's own error: a set of features that may not be made."""

from runner.errors import RunnerError


class TooLarge(RunnerError):
    """A set of features does not fit into the room there is for it; nothing was computed.

    Attributes:
        needed_bytes: What it would take.
        limit_bytes: What it may take: the budget, what others leave of it, or the free memory.
    """

    def __init__(self, needed_bytes: int, limit_bytes: int) -> None:
        self.needed_bytes, self.limit_bytes = needed_bytes, limit_bytes
        super().__init__(
            f"features of {_gib(needed_bytes)} do not fit into the {_gib(limit_bytes)} there are "
            "for them; reuse.gib in the experiment file sets the budget"
        )

    def __reduce__(self) -> tuple[type["TooLarge"], tuple[int, int]]:
        # Exceptions pickle as their message alone, and this one also travels from workers.
        return type(self), (self.needed_bytes, self.limit_bytes)


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
