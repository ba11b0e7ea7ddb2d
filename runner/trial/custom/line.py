"""A trial's line to its study, which remembers what the study wanted."""

from runner.trial.custom.history import History
from runner.trial.job import Attempt, Channel, Decision, Report


class Line:
    """Sends the reports of one attempt until the study wants it to leave.

    Attributes:
        decision: What the study wants, as far as it was asked; it does not change any more once
            it is not CONTINUE.
        has_gone: Whether the driver itself has left.
        step: Of the last report that was sent; 0 before the first.
    """

    def __init__(self, channel: Channel, key: Attempt) -> None:
        self._channel = channel
        self._key = key
        self.decision = Decision.CONTINUE
        self.has_gone = False
        self.step = 0

    def send(self, report: Report) -> Decision:
        """Send a report; nothing is sent once the trial is to leave."""
        if self.decision is Decision.CONTINUE:
            try:
                self.step = report.step
                self.decision = self._channel.report(self._key, report)
            except SystemExit:
                # The channel's word for a driver that has gone; user code may exit as well.
                self.has_gone = True
                raise
        return self.decision

    def send_last(self, report: Report) -> None:
        """Send the report of a trial that has run to its end, whatever the study wants of it."""
        wanted = self.decision
        self.send(report)
        self.decision = wanted

    def ask(self) -> Decision:
        """What the study wants now."""
        if self.decision is Decision.CONTINUE:
            try:
                self.decision = self._channel.decision(self._key)
            except SystemExit:
                self.has_gone = True
                raise
        return self.decision

    def replay(self, history: History) -> Decision:
        """Send a checkpoint's reports again: it is the truth about a trial that goes on."""
        for report in history.reports:
            self.send(report)
        return self.decision
