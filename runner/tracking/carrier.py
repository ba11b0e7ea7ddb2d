"""Who takes records to MLflow: an object of this process, or another process."""

from collections.abc import Callable
from typing import Protocol

from runner.tracking.records import Record, RunKey


class NotTaken(Exception):
    """MLflow has not taken a record.

    Attributes:
        is_refusal: Whether the record itself is at fault, so that repeating it is useless.
    """

    def __init__(self, why: str, *, is_refusal: bool) -> None:
        super().__init__(why)
        self.is_refusal = is_refusal


class Carrier(Protocol):
    """Takes the records of one study to MLflow, one at a time.

    Attributes:
        run_ids: Run of each trial; None is the parent run. Grows as runs are created.
        hear: Told of each trial's run that is made.
    """

    run_ids: dict[RunKey, str]
    hear: Callable[[int, str], None] | None

    def carry(self, record: Record, *, is_retry: bool = False) -> None:
        """Make MLflow hold a record; repeating it changes nothing.

        Args:
            record: What to write.
            is_retry: Whether an earlier attempt may have got through unseen.
        Raises:
            NotTaken: If MLflow refuses it or cannot be reached.
        """
        ...

    def close(self) -> None:
        """Nothing more will be carried; safe to call twice."""
        ...
