"""One trial by itself, outside of any search."""

from collections.abc import Callable

from runner.heartbeat import pulse
from runner.trial.boundary import run_job
from runner.trial.job import Attempt, Decision, Ending, Job, Lease, Objective, Report


class Printed:
    """A channel that says every report in one line and always lets the trial go on.

    Args:
        say: Takes the lines.
        metric: Short name of the validation metric to show beside the losses; None: all of them.
    """

    def __init__(self, say: Callable[[str], None], *, metric: str | None = None) -> None:
        self._say = say
        self._metric = metric
        self.reports: list[Report] = []
        self.ending: Ending | None = None

    def report(self, key: Attempt, report: Report) -> Decision:
        """See `Channel.report`."""
        self.reports.append(report)
        shown = [
            f"{name} {value:.4f}" for name, value in report.metrics.items() if self._is_shown(name)
        ]
        self._say(f"epoch {report.step}: {', '.join(shown)}")
        return Decision.CONTINUE

    def _is_shown(self, name: str) -> bool:
        if self._metric is None:
            return name == "train/loss" or name.startswith("validation/")
        return name in (f"validation/{self._metric}", "train/loss", "validation/loss")

    def decision(self, key: Attempt) -> Decision:
        """See `Channel.decision`."""
        pulse.beat()
        return Decision.CONTINUE

    def end(self, key: Attempt, ending: Ending) -> None:
        """See `Channel.end`."""
        self.ending = ending


def run_alone(objective: Objective, job: Job, lease: Lease, channel: Printed) -> Ending:
    """Run a job of one trial in this process; gives its ending, failures included."""
    run_job(objective, job, lease, channel)
    if channel.ending is None:
        raise RuntimeError("the trial ended without an ending")
    return channel.ending
