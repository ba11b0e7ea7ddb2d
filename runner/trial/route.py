"""How a trial's batches become outputs: by the whole model, or by what follows shared features."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from runner import models, reuse
from runner.experiment import Recipe
from runner.trial.bench import Bench, Built, Part
from runner.trial.features import FEATURES
from runner.trial.making import FeatureMaker
from runner.trial.memory import is_out_of_memory
from runner.trial.modality import Batch
from runner.trial.precision import Numerics
from runner.trial.sharing import obstacle

Forward = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Route:
    """How a trial computes.

    Attributes:
        train, validation: The parts it reads: as they are, or as features.
        forward: A model's outputs for a batch of them.
        cut: Layer groups that the features are the outputs of; None without features.
        note: Which way this is, and why, for people.
    """

    train: Part
    validation: Part
    forward: Forward
    cut: int | None
    note: str


def plain_route(bench: Bench, numerics: Numerics, *, why: str) -> Route:
    """Every batch goes through the whole model."""
    forward = partial(bench.modality.forward, numerics=numerics)
    return Route(bench.train, bench.validation, forward, None, f"plain: {why}")


def why_plain(bench: Bench, recipe: Recipe, built: Built) -> str | None:
    """Why a trial has no frozen layers whose outputs could be shared; None if it has."""
    why = obstacle(bench.experiment, recipe, groups=built.groups.count)
    if why is None and bench.train.inputs.pads_left:
        return "texts are padded in front: a token's place depends on the others of its batch"
    return why


def choose_route(
    bench: Bench,
    recipe: Recipe,
    built: Built,
    *,
    numerics: Numerics,
    threads: int,
    is_wanted: Callable[[], None],
    is_packed: bool = False,
) -> Route:
    """The way that computes least and gives the same result; makes features that are not there.

    Args:
        bench: Data and model.
        recipe: The trial's.
        built: Its model as it starts, placed on the device: nothing of it has been trained.
        numerics: How it computes.
        threads: With how many threads, which decides the last bits of a result.
        is_wanted: Called while features are made; may raise.
        is_packed: Whether others run beside it: what they leave decides nothing then.

    Raises:
        RuntimeError, MemoryError: If a packed trial finds no memory to make features with.
    """
    why = why_plain(bench, recipe, built)
    if why is not None:
        return plain_route(bench, numerics, why=why)
    making = FeatureMaker(bench, recipe, built, numerics, threads, is_wanted)
    cut = max((c for c in making.cuts if c <= built.depth), default=None)
    if cut is None:
        return plain_route(bench, numerics, why=making.why_no_cut())
    try:
        return _featured(making, cut)
    except reuse.TooLarge as error:
        return plain_route(bench, numerics, why=str(error))
    except (RuntimeError, MemoryError) as error:
        if is_packed or not is_out_of_memory(error):
            raise
        return plain_route(bench, numerics, why="no memory to make features with")


def _featured(making: FeatureMaker, cut: int) -> Route:
    count, views = making.built.groups.count, making.views
    train = making.part(making.bench.train, cut, views)
    validation = making.part(making.bench.validation, cut, [None])
    where = "the head" if cut == count else f"layer group {cut} of {count}"
    counted = f", {len(views)} views" if len(views) > 1 else ""
    forward = partial(_suffix, cut=cut)
    return Route(train, validation, forward, cut, f"features at {where}{counted}")


def _suffix(model: nn.Module, batch: Batch, *, cut: int) -> Tensor:
    return models.run_suffix(model, batch[FEATURES], batch, cut=cut)
