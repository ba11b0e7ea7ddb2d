"""An objective whose trials say which devices they were given."""

import os

from runner.trial import Channel, Ending, Job, Lease, Outcome
from tests.objectives import Scripted


class Seeing(Scripted):
    """Ends each trial at once, with its lease's devices and those that CUDA would see."""

    def run(self, job: Job, lease: Lease, channel: Channel) -> None:
        notes = {"devices": lease.devices, "visible": os.environ.get("CUDA_VISIBLE_DEVICES", "")}
        for spec in job.trials:
            channel.end(spec.key, Ending(Outcome.COMPLETE, 0.5, 1, notes=notes))
