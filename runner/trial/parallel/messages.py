"""What passes between the leader of some ranks, which is rank 0, and the helpers."""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from runner.trial.job import Lease, TrialSpec

if TYPE_CHECKING:
    from runner.trial.objective import FineTune


@dataclass(frozen=True)
class Setup:
    """First message to a helper: what it works for.

    Attributes:
        objective: Has the experiment; what it loads is the helper's own.
        lease: The helper's device and threads.
        rank: Which it is, from 1.
        size: How many ranks there are, the leader included.
        meeting: File through which they find each other.
    """

    objective: "FineTune"
    lease: Lease
    rank: int
    size: int
    meeting: str


@dataclass(frozen=True)
class Task:
    """A trial to train; the leader's standard error follows it as a descriptor.

    Attributes:
        spec: Which; its folder has the checkpoint to go on from, if there is one.
        micro_batch: Examples of a forward pass at most.
    """

    spec: TrialSpec
    micro_batch: int


class Order(Enum):
    """What the leader wants of helpers that train."""

    STEP = "step"
    REST = "rest"


class Said(Enum):
    """What a helper says of itself."""

    UP = "up"
    """It has imported its libraries and waits for the others."""
    ALIVE = "alive"
    """It starts, or prepares, and gets on with it."""
    PREPARED = "prepared"
    """Its model is as the leader's, and it waits for the first step."""


@dataclass(frozen=True)
class Failure:
    """The last thing a helper says: why its trial cannot go on.

    Attributes:
        is_out_of_memory: Whether memory ran out.
        text: The exception, its kind in front.
        traceback: Of the exception.
    """

    is_out_of_memory: bool
    text: str
    traceback: str
