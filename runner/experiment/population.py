"""Population-based training: what may be searched with it."""

from collections.abc import Iterator, Mapping

from runner.experiment.marks import Flaw

PBT = "pbt"
# What may change while a model trains: its layers, its optimiser's kind and its length stay.
CHANGEABLE = (
    "learning_rate",
    "head_learning_rate",
    "layer_decay",
    "weight_decay",
    "momentum",
    "batch_size",
    "dropout",
    "drop_path",
    "loss",
    "label_smoothing",
    "focal_gamma",
    "huber_delta",
    "class_weights",
    "sampling",
    "mixup",
    "grad_clip",
    "augmentation",
)


def population_flaws(
    search: Mapping[str, object], train: object, *, is_custom: bool
) -> Iterator[Flaw]:
    """What of a search does not go with population-based training.

    Args:
        search: The section as written.
        train: The recipe as written.
        is_custom: Whether the objective is the user's own.
    """
    segment = search.get("segment")
    if search.get("sampler") != PBT:
        if segment is not None:
            yield Flaw(("search", "segment"), "is for `sampler: pbt` alone", segment)
        return
    if is_custom:
        rule = "goes on from checkpoints of the runner's own training, which task: custom has not"
        yield Flaw(("search", "sampler"), rule, PBT)
        return
    space, first, trials = search.get("space"), search.get("first"), search.get("trials")
    for name in space if isinstance(space, Mapping) else ():
        if name not in CHANGEABLE:
            rule = f"cannot change while a model trains; with pbt may: {', '.join(CHANGEABLE)}"
            yield Flaw(("search", "space", name), rule)
    if isinstance(train, Mapping) and train.get("early_stopping") is not None:
        rule = "has no sense with pbt, which replaces what does not get better"
        yield Flaw(("train", "early_stopping"), rule, train["early_stopping"])
    if isinstance(first, list | tuple) and isinstance(trials, int) and len(first) > trials:
        rule = f"has {len(first)} settings for a population of {trials} (search.trials)"
        yield Flaw(("search", "first"), rule)
