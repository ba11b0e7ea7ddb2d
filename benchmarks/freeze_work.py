"""How much work a search of freeze depths is, counted in forward passes of the whole network.

F is one forward pass of one image. A trial of E epochs with a share f of the network frozen, on N
training and V validation images, is E * ((3 - 2 f) N + V) F as everybody's loop does it: forward
through everything, backward (twice a forward) through what is not frozen. If the frozen layers
were computed once for all trials it is E * (1 - f) * (3 N + V) F, and (N + V) f F once, with the
deepest f of any trial. Source: own definition, after Nautilus (Nakandala and Kumar 2022).
"""

from dataclasses import dataclass

from benchmarks.measuring import Side, Trial
from benchmarks.peers.request import Photos

# How a run of ours says which way it was computed; what begins with PLAIN shared nothing.
REUSE_TAG = "runner.reuse"
PLAIN = "plain"


@dataclass(frozen=True)
class Work:
    """Counts the work of trials.

    Attributes:
        photos: Their images.
        shares: Share of a forward pass inside the first d layer groups, by depth.
    """

    photos: Photos
    shares: list[float]

    def plain(self, trial: Trial) -> float:
        """Of a trial that computes its frozen layers in every epoch, in F."""
        train, validation = self.photos.counts["train"], self.photos.counts["validation"]
        return len(trial.reports) * ((3 - 2 * self._share(trial)) * train + validation)

    def shared(self, trial: Trial) -> float:
        """Of a trial that is given the outputs of its frozen layers, in F."""
        train, validation = self.photos.counts["train"], self.photos.counts["validation"]
        return len(trial.reports) * (1 - self._share(trial)) * (3 * train + validation)

    def once(self, trials: list[Trial]) -> float:
        """Of computing the frozen layers' outputs for all of these trials, in F."""
        images = self.photos.counts["train"] + self.photos.counts["validation"]
        return images * max((self._share(trial) for trial in trials), default=0.0)

    def least(self, trials: list[Trial]) -> float:
        """The least that these trials and epochs can be without another result, in F."""
        return self.once(trials) + sum(self.shared(trial) for trial in trials)

    def done(self, side: Side) -> float:
        """What a side has done, in F: by its runs' tags, which are there for ours alone."""
        given, rest = [], []
        for trial in side.trials:
            is_plain = trial.tags.get(REUSE_TAG, PLAIN).startswith(PLAIN)
            (rest if is_plain else given).append(trial)
        return (
            self.once(given)
            + sum(self.shared(trial) for trial in given)
            + sum(self.plain(trial) for trial in rest)
        )

    def _share(self, trial: Trial) -> float:
        depth = trial.params["freeze_depth"]
        return self.shares[-1 if depth == "max" else int(depth)]
