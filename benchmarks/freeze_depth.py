"""Freeze depth and the rest of a recipe: ours against Optuna's loop and Ray Tune.

    python -m benchmarks.freeze_depth [--data FOLDER] [--sides ours_same,optuna_same,...]

Learning rate x batch size x freeze depth (uniform, none to all) x epochs (2 to 5) x weight decay,
16 trials, no augmentation, one split and one weights file for all sides. Two questions:

    *_same    the same 16 settings, drawn in advance, nothing stopped early: how long?
    *_search  a search of 16 trials, each side's own sampler and early stopping: how long until an
              epoch reaches the accuracy that the usual loop's search ends with?

Sides, each of which is a process of its own and takes minutes to an hour on CPUs; what has been
measured is kept, so they can be run one at a time:

    ours         the command line; TPE and ASHA
    optuna       Optuna with SuccessiveHalvingPruner as people write it
    optuna_best  the same with every setting that its and PyTorch's documentation says is faster
    ray          Ray Tune with reuse_actors and ASHA, random search (its default)
    ray_best     the same with PyTorch's faster settings

`fixed s` is time in which no trial runs (start, end, between trials); `work` counts forward passes
of the whole network (benchmarks/freeze_work.py); throughput is work over the rest of the time.
Their ratios multiply to the ratio of the wall-clocks. The bound is the least work that gives the
same results, at the throughput and fixed cost of the side it is compared with.
"""

import random
from argparse import Namespace
from dataclasses import replace
from typing import Any

from benchmarks.freeze_work import Work
from benchmarks.measuring import Kept, Side
from benchmarks.peers.photos import prepare
from benchmarks.peers.request import Params, Photos, Request, best_settings
from benchmarks.sides import base_parser, chosen, fresh, ours, peer

KINDS = ("ours", "optuna", "optuna_best", "ray", "ray_best")
SIDES = tuple(f"{kind}_{part}" for part in ("same", "search") for kind in KINDS)
LOOPS = {"optuna": "optuna_loop", "ray": "ray_loop"}
LEARNING_RATE = (1e-4, 1e-2)
WEIGHT_DECAY = (1e-4, 1e-1)
BATCH_SIZES = [16, 32, 64]
EPOCHS = (2, 5)


def space_of(depth: int) -> dict[str, Any]:
    """The search space of a network with so many layer groups."""
    return {
        "learning_rate": {"float": list(LEARNING_RATE), "log": True},
        "batch_size": {"choice": BATCH_SIZES},
        "freeze_depth": {"int": [0, depth]},
        "epochs": {"int": list(EPOCHS)},
        "weight_decay": {"float": list(WEIGHT_DECAY), "log": True},
    }


def drawn(depth: int, trials: int, seed: int) -> list[Params]:
    """Settings drawn in advance; freeze depths as even as their number allows, in random order."""
    generator = random.Random(f"settings {seed}")
    depths = [number % (depth + 1) for number in range(trials)]
    generator.shuffle(depths)
    return [
        {
            "learning_rate": _log_uniform(generator, *LEARNING_RATE),
            "batch_size": generator.choice(BATCH_SIZES),
            "freeze_depth": each,
            "epochs": generator.randint(*EPOCHS),
            "weight_decay": _log_uniform(generator, *WEIGHT_DECAY),
        }
        for each in depths
    ]


def _log_uniform(generator: random.Random, low: float, high: float) -> float:
    return float(low * (high / low) ** generator.random())


def requests_for(photos: Photos, depth: int, options: Namespace) -> dict[str, Request]:
    """What is asked in each part."""
    space = space_of(depth)
    first = drawn(depth, options.trials, options.seed)
    same = Request(photos, space, {}, options.trials, first=first, seed=options.seed)
    search = Request(photos, space, {}, options.trials, pruner="halving", seed=options.seed)
    return {"same": same, "search": search}


def measure(name: str, requests: dict[str, Request], kept: Kept) -> Side:
    """Run one side."""
    kind, _, part = name.rpartition("_")
    request = requests[part]
    folder = fresh(kept.folder / name)
    if kind == "ours":
        return ours(name, request, folder, {})
    if kind.endswith("_best"):
        request = replace(request, settings=best_settings())
    return peer(name, LOOPS[kind.removesuffix("_best")], request, folder)


def report_same(kept: Kept, work: Work) -> None:
    """The same trials on every side."""
    sides = {kind: side for kind in KINDS if (side := kept.get(f"{kind}_same")) is not None}
    print(
        "\n## The same trials\n\n| side | trials | epochs | s | trials an hour | fixed s "
        "| work, F | F / s | best | seen |\n|" + "---|" * 10
    )
    for kind, side in sides.items():
        epochs = sum(len(trial.reports) for trial in side.trials)
        done = work.done(side)
        print(
            f"| {kind} | {len(side.trials)} | {epochs} | {side.seconds:.0f} "
            f"| {3600 * len(side.trials) / side.seconds:.1f} | {side.fixed_s:.1f} | {done:.0f} "
            f"| {done / (side.seconds - side.fixed_s):.1f} | {side.best:.3f} | {side.seen} |"
        )
    if "ours" in sides:
        _explain(sides, work)


def _explain(sides: dict[str, Side], work: Work) -> None:
    """Why ours takes the time it takes, against each peer, and beside the bound."""
    print(
        "\n| ours against | times faster | = work avoided | x throughput | x fixed cost "
        "| bound | share of the bound |\n|" + "---|" * 7
    )
    mine = sides["ours"]
    my_busy_s = mine.seconds - mine.fixed_s
    for kind, side in sides.items():
        if kind == "ours":
            continue
        busy_s = side.seconds - side.fixed_s
        total = side.seconds / mine.seconds
        avoided = work.done(side) / work.done(mine)
        speed = (work.done(mine) / my_busy_s) / (work.done(side) / busy_s)
        fixed = (side.seconds / busy_s) / (mine.seconds / my_busy_s)
        least = work.least(side.trials) / work.done(side)
        bound = side.seconds / (side.fixed_s + busy_s * least)
        print(
            f"| {kind} | {total:.2f} | {avoided:.2f} | {speed:.2f} | {fixed:.2f} "
            f"| {bound:.2f} | {total / bound:.2f} |"
        )


def report_search(kept: Kept, work: Work) -> None:
    """Time to the accuracy that the usual loop ends with."""
    sides = {kind: side for kind in KINDS if (side := kept.get(f"{kind}_search")) is not None}
    usual = sides.get("optuna")
    target = None if usual is None else usual.best
    goal = "the usual loop's search is missing" if target is None else f"target {target:.3f}"
    print(
        f"\n## Searching ({goal})\n\n| side | trials | epochs | s | work, F | best "
        "| s to the target | without start-up | sooner than the usual loop | seen |\n|"
        + "---|"
        * 10
    )
    for kind, side in sides.items():
        epochs = sum(len(trial.reports) for trial in side.trials)
        cells = ["", "", ""]
        if target is not None and usual is not None:
            cells = _times(side, usual, target)
        print(
            f"| {kind} | {len(side.trials)} | {epochs} | {side.seconds:.0f} "
            f"| {work.done(side):.0f} | {side.best:.3f} | {' | '.join(cells)} | {side.seen} |"
        )


def _times(side: Side, usual: Side, target: float) -> list[str]:
    """When a side reached the target, with and without its start-up, and how much sooner."""
    reached_s, usual_s = side.reached_s(target), usual.reached_s(target)
    if reached_s is None or usual_s is None:
        return ["never", "", ""]
    bare_s, usual_bare_s = reached_s - side.start_s, usual_s - usual.start_s
    sooner = f"{usual_s / reached_s:.1f} times, {usual_bare_s / max(bare_s, 1e-3):.1f} without"
    return [f"{reached_s:.1f}", f"{bare_s:.1f}", sooner]


def main() -> None:
    """Measure and print the tables."""
    parser = base_parser(__doc__, results="freeze_depth", sides=SIDES)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0, help="of settings, samplers and training")
    options = parser.parse_args()
    names = chosen(options.sides, SIDES)
    kept = Kept(options.results)
    photos, what = prepare(options.data, kept.folder, limit=options.limit)
    asked = f"{what}; {options.trials} trials, seed {options.seed}"
    kept.require_same(asked)
    print(asked)
    from benchmarks.peers.network import frozen_shares

    shares = frozen_shares(photos)
    shown = ", ".join(f"{share:.2f}" for share in shares)
    print(f"share of a forward pass that is frozen, by depth: {shown}")
    requests = requests_for(photos, len(shares) - 1, options)
    for name in names:
        if kept.get(name) is None:
            print(f"running {name} ...", flush=True)
            kept.put(measure(name, requests, kept))
    work = Work(photos, shares)
    report_same(kept, work)
    report_search(kept, work)


if __name__ == "__main__":
    main()
