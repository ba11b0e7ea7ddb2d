"""An objective that sleeps: a module of its own, because worker processes import it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.experiment import Store
from runner.trial import (
    Channel,
    Ending,
    Facts,
    Files,
    Hint,
    Job,
    Lease,
    Objective,
    Outcome,
    Report,
)


@dataclass(frozen=True)
class Sleeping:
    """Reports one epoch after so many seconds; needs no processor meanwhile.

    Attributes:
        seconds: How long a trial takes.
    """

    seconds: float

    def hint(self, params: Mapping[str, Any], facts: Facts) -> Hint:
        return Hint()

    def needs(self) -> tuple[Files, ...]:
        return ()

    def moved(self, store: Store, places: Mapping[str, str]) -> Objective:
        return self

    def inspect(self, lease: Lease) -> Facts:
        return Facts()

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        for spec in job.trials:
            time.sleep(self.seconds)
            value = float(spec.params["x0"])
            metrics = {"validation/accuracy": value, "train/loss": 1 - value}
            channel.report(spec.key, Report(1, metrics, time.time_ns() // 1_000_000))
            channel.end(spec.key, Ending(Outcome.COMPLETE, value, 1))
