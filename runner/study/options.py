"""How a search is started, apart from what it searches."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from runner.study.listener import Listener, Silent

logger = logging.getLogger(__name__)

Say = Callable[[str], None]


class BackendName(StrEnum):
    """Where a search may run its jobs."""

    LOCAL = "local"
    INLINE = "inline"
    RAY = "ray"


@dataclass(frozen=True)
class Options:
    """How a search is started.

    Attributes:
        new: Begin the next study under the same name.
        backend: Where jobs run.
        ray_address: The Ray cluster; None: what the experiment says.
        say: Takes one line of news for people.
        listener: Hears what happens to the trials.
        begun_at: When the command was given, seconds since 1970; what others wished for earlier
            is not for it.
    """

    new: bool = False
    backend: BackendName = BackendName.LOCAL
    ray_address: str | None = None
    say: Say = logger.info
    listener: Listener = field(default_factory=Silent)
    begun_at: float = field(default_factory=time.time)
