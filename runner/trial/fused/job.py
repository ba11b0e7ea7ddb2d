"""A job of several head-only trials: features made or found, heads trained together."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from runner import models
from runner.trial.bench import Bench, Built
from runner.trial.boundary import ending_of
from runner.trial.checkpoint import load_checkpoint
from runner.trial.features import FeatureInputs
from runner.trial.finetune import computing_notes, ending_of_state, goal_of
from runner.trial.fused.contract import HeadEnding, HeadFeatures, HeadSetting, HeadTrial
from runner.trial.fused.fusing import fuse_heads, obstacle_to_fusing
from runner.trial.job import Channel, Decision, Ending, Lease, TrialSpec
from runner.trial.precision import Numerics, choose_numerics
from runner.trial.route import Route, choose_route
from runner.trial.seeding import derive_seed
from runner.trial.training import Leave

logger = logging.getLogger(__name__)

# At most: features are kept in the number format they were computed in.
_BYTES_OF_A_NUMBER = 4


def train_heads(
    bench: Bench, specs: Sequence[TrialSpec], lease: Lease, channel: Channel
) -> tuple[TrialSpec, ...]:
    """Train those of some kindred trials together that can be; gives the others.

    Every trial that is not given back has been ended on the channel.

    Args:
        bench: Data and model.
        specs: Trials of one kin (`Hint.kin`): the same features, and only the head trains.
        lease: Where.
        channel: Hears each of them.
    """
    company = _company_of(bench, specs[0], lease)
    together, alone = company.parted(specs)
    if company.start is None or len(together) < 2:
        return tuple(specs)
    try:
        route = company.route(partial(_require_one_wanted, channel, together))
        features = _head_features(company, route)
    except Leave:
        for spec in together:
            channel.end(spec.key, Ending(channel.decision(spec.key).outcome))
        return tuple(alone)
    if features is None:
        return tuple(specs)
    logger.info("training %d heads together, by %s", len(together), route.note)
    notes = {
        **computing_notes(company.built, company.numerics, route),
        "examples": bench.kept,
        "trained_together": len(together),
        "compiled": "no: heads are trained together",
    }
    fuse_heads(
        [company.head(spec) for spec in together],
        features,
        setting=HeadSetting(bench.task, goal_of(bench.experiment), company.numerics),
        channel=channel,
        end=partial(_end, channel, lease, notes),
    )
    return tuple(alone)


@dataclass(frozen=True)
class _Company:
    """What kindred trials have in common: the model but for its head, and how it computes."""

    bench: Bench
    lease: Lease
    first: TrialSpec
    built: Built
    numerics: Numerics
    start: models.HeadStart | None

    def parted(self, specs: Sequence[TrialSpec]) -> tuple[list[TrialSpec], list[TrialSpec]]:
        """Those that can be trained together, and those that cannot."""
        together: list[TrialSpec] = []
        alone: list[TrialSpec] = []
        for spec in specs:
            recipe = self.bench.experiment.recipe(dict(spec.params))
            why = obstacle_to_fusing(recipe, self.numerics)
            has_begun = load_checkpoint(Path(spec.folder)) is not None
            (alone if why or has_begun else together).append(spec)
        return together, alone

    def route(self, is_wanted: Callable[[], None]) -> Route:
        """How they compute; makes their features."""
        return choose_route(
            self.bench,
            self.bench.experiment.recipe(dict(self.first.params)),
            self.built,
            numerics=self.numerics,
            threads=self.lease.threads,
            is_wanted=is_wanted,
            is_packed=self.first.is_packed,
        )

    def head(self, spec: TrialSpec) -> HeadTrial:
        """A trial with the head it begins with."""
        assert self.start is not None  # the caller has looked
        recipe = self.bench.experiment.recipe(dict(spec.params))
        values = self.start.values(seed=derive_seed(spec.seed, "head"))
        return HeadTrial(spec, recipe, values)


def _company_of(bench: Bench, first: TrialSpec, lease: Lease) -> _Company:
    recipe = bench.experiment.recipe(dict(first.params))
    built = bench.build(recipe, first.seed)
    seed = derive_seed(first.seed, "head")
    start = models.head_start(built.model, weights=bench.weights, seed=seed)
    numerics = choose_numerics(
        built.model,
        lease.devices[0],
        precision=recipe.precision,
        channels_last=recipe.channels_last,
    )
    numerics.place(built.model)
    return _Company(bench, lease, first, built, numerics, start)


def _head_features(company: _Company, route: Route) -> HeadFeatures | None:
    """All that a linear classifier is fed; None where the way is another one."""
    bench, device = company.bench, company.numerics.device
    train, validation = route.train.inputs, route.validation.inputs
    if not isinstance(train, FeatureInputs) or not isinstance(validation, FeatureInputs):
        return None
    if route.cut != company.built.groups.count or len(train.views[0].shape) != 2:
        return None
    rows = len(train.views) * len(bench.train) + len(bench.validation)
    nbytes = rows * train.views[0].shape[1] * _BYTES_OF_A_NUMBER
    is_room = device.type != "cuda" or bench.residency.take(nbytes, device)
    place = device if is_room else torch.device("cpu")
    return HeadFeatures(
        train=train.whole(place),
        train_targets=bench.train.targets,
        validation=validation.whole(place)[0],
        validation_targets=bench.validation.targets,
        validation_ids=bench.validation.ids,
        lengths=train.lengths,
    )


def _require_one_wanted(channel: Channel, specs: Sequence[TrialSpec]) -> None:
    """Go on as long as one of the trials is wanted."""
    decisions = [channel.decision(spec.key) for spec in specs]
    if Decision.CONTINUE not in decisions:
        raise Leave(decisions[0])


def _end(channel: Channel, lease: Lease, notes: Mapping[str, Any], head: HeadEnding) -> None:
    spec = head.trial.spec
    if head.error is not None:
        logger.error("trial %d failed: %s", spec.key.trial, head.error)
        channel.end(spec.key, ending_of(head.error))
        return
    folder = Path(spec.folder)
    with contextlib.suppress(OSError):  # what is then not kept is said of each trial
        folder.mkdir(parents=True, exist_ok=True)
    outcome = head.decision.outcome
    channel.end(spec.key, ending_of_state(head.state, outcome, lease, folder, notes))
