"""Everything a trial has reported, and the best of it."""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from runner.errors import TrialFailed, nearest_spelling
from runner.experiment import Experiment
from runner.trial.custom.values import named_values, step_number
from runner.trial.job import Report

# Names in a message before it says how many more there are.
_MOST_NAMED = 8


@dataclass
class History:
    """The reports of one trial, over all its attempts.

    Attributes:
        metric: Short name of the metric that is searched on.
        is_maximized: Whether a larger value of it is better.
        reports: In ascending order of steps, one a step.
        seconds: How long earlier attempts took up to their checkpoint.
    """

    metric: str
    is_maximized: bool
    reports: list[Report] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """An empty history of a trial of that experiment."""
        return cls(experiment.metric, experiment.direction == "maximize")

    @property
    def full_metric(self) -> str:
        """The name that the search metric is reported under."""
        return f"validation/{self.metric}"

    @property
    def step(self) -> int:
        """The last step reported; 0 before the first."""
        return self.reports[-1].step if self.reports else 0

    @property
    def best(self) -> tuple[float, int] | None:
        """The best value of the search metric and its step, the first of equals; None if none."""
        sign = 1 if self.is_maximized else -1
        known = [
            (value, report.step)
            for report in self.reports
            if math.isfinite(value := report.metrics.get(self.full_metric, math.nan))
        ]
        return max(known, key=lambda each: (sign * each[0], -each[1]), default=None)

    def add(self, step: object, metrics: Mapping[str, Any]) -> Report:
        """Take a report; a second one of the same step adds to the first.

        Args:
            step: Not before the last one.
            metrics: By name, as the user gave them.
        Returns:
            What is known of that step now.
        Raises:
            TrialFailed: If a name or value cannot be reported, or the step has gone by.
        """
        number, values = step_number(step), named_values(metrics)
        if number < self.step:
            raise TrialFailed(
                f"step {number} is reported after step {self.step}; steps must ascend, also when "
                "a trial goes on from its checkpoint"
            )
        before: Mapping[str, float] = {}
        if self.reports and number == self.step:
            before = self.reports[-1].metrics
            if doubled := before.keys() & values.keys():
                raise TrialFailed(f"step {number} has {min(doubled)} already; report it once")
            self.reports.pop()
        report = Report(number, {**before, **values}, int(time.time() * 1000))
        self.reports.append(report)
        return report

    def forget_after(self, step: int) -> None:
        """Forget the reports of later steps."""
        self.reports = [report for report in self.reports if report.step <= step]

    @property
    def has_metric(self) -> bool:
        """Whether the search metric was reported at all, as a finite number or not."""
        return any(self.full_metric in report.metrics for report in self.reports)

    def missing(self) -> str:
        """Why there is no best value, in one sentence for the user."""
        names = list(dict.fromkeys(name for report in self.reports for name in report.metrics))
        if self.has_metric:
            return (
                f"{self.full_metric} was not a finite number in any of {len(self.reports)} steps"
            )
        rule = (
            f"the trial never reported {self.metric} ({self.full_metric}), the metric that the "
            "search is on (search.metric)"
        )
        if not names:
            return f"{rule}; it reported nothing"
        short = {name.removeprefix("validation/"): name for name in names}
        near = nearest_spelling(self.metric, short)
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        hint = f"; did you mean search.metric: {near}?" if near and "/" not in near else ""
        return f"{rule}; it reported {', '.join(names[:_MOST_NAMED])}{more}{hint}"

    def to_json(self, *, seconds: float) -> dict[str, Any]:
        """As plain JSON values (NaN among them), with the time taken so far."""
        rows = [{**asdict(report), "metrics": dict(report.metrics)} for report in self.reports]
        return {"seconds": seconds, "reports": rows}

    def restore(self, content: Mapping[str, Any]) -> None:
        """Become what `to_json` described."""
        self.seconds = float(content["seconds"])
        self.reports = [Report(**row) for row in content["reports"]]
