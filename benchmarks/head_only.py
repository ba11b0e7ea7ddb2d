"""Linear probes: 64 trials that train a head on a frozen network, ours against Optuna's loop.

    python -m benchmarks.head_only [--data FOLDER] [--sides ours,optuna,...] [--peer-trials 6]
                                   [--many 192] [--pairs 3]

Ten epochs a trial; learning rate, weight decay and batch size are searched; no augmentation.

    ours          64 trials by the command line; then pairs of 64 and 192, from whose differences
                  comes what one more trial costs
    optuna        Optuna's loop as its documentation introduces it, and PyTorch's tutorial the rest
    optuna_best   the same with every setting that their documentation says is faster
    by_hand       Optuna on features that somebody computed once by hand; shown for what is left

The loops of Optuna run `--peer-trials` trials and are extrapolated to 64, which the table marks
with a star: start-up, then the mean time of a trial. Every side begins with nothing computed,
decoded or imported. Accuracies are on the same validation part, the best epoch of each trial.
"""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

from benchmarks.measuring import Kept, Side
from benchmarks.peers.photos import prepare
from benchmarks.peers.request import Photos, Request, best_settings
from benchmarks.sides import base_parser, chosen, fresh, ours, peer, shortened

SIDES = ("ours", "optuna", "optuna_best", "by_hand")
SPACE: dict[str, Any] = {
    "learning_rate": {"float": [1e-4, 1e-1], "log": True},
    "weight_decay": {"float": [1e-6, 1e-1], "log": True},
    "batch_size": {"choice": [32, 64, 128]},
}


def request_for(photos: Photos, options: Namespace) -> Request:
    """Linear probes of the last layer."""
    from benchmarks.peers.network import build, layer_groups

    depth = len(layer_groups(build(photos)))
    fixed = {"freeze_depth": depth, "epochs": options.epochs}
    return Request(photos, SPACE, fixed, options.trials)


def measure(options: Namespace, request: Request, kept: Kept) -> None:
    """Run the chosen sides that have not been measured yet."""
    short = shortened(request, options.peer_trials)
    best = replace(short, settings=best_settings())
    measures: dict[str, Callable[[str], Side]] = {
        "ours": lambda name: ours(name, request, fresh(kept.folder / name), {}),
        "optuna": lambda name: peer(name, "optuna_loop", short, fresh(kept.folder / name)),
        "optuna_best": lambda name: peer(name, "optuna_loop", best, fresh(kept.folder / name)),
        "by_hand": lambda name: peer(name, "by_hand", request, fresh(kept.folder / name)),
    }
    names = chosen(options.sides, SIDES)
    if "ours" in names:
        more = shortened(request, options.many)
        for few, many in pairs(options.pairs):
            measures[few] = measures["ours"]
            measures[many] = lambda name: ours(name, more, fresh(kept.folder / name), {})
            names += [few, many]
    for name in names:
        if kept.get(name) is None:
            print(f"running {name} ...", flush=True)
            kept.put(measures[name](name))


def pairs(count: int) -> list[tuple[str, str]]:
    """Names of the sides with few and with many trials; the first of few is the table's."""
    numbered = [(f"ours_{number}", f"ours_many_{number}") for number in range(2, count + 1)]
    return [("ours", "ours_many"), *numbered][:count]


def whole_s(side: Side, trials: int) -> float:
    """Seconds for all trials; extrapolated where fewer were run."""
    missing = trials - len(side.trials)
    return side.seconds + missing * (side.seconds - side.start_s) / len(side.trials)


def row(name: str, side: Side, ours_s: float | None, trials: int) -> str:
    """One line of the table."""
    seconds = whole_s(side, trials)
    star = "" if len(side.trials) >= trials else "*"
    each = [max(value for _, value in trial.reports) for trial in side.trials]
    ratio = "" if ours_s is None else f"{seconds / ours_s:.1f}"
    return (
        f"| {name} | {len(side.trials)} | {seconds:.0f}{star} | {side.start_s:.1f} "
        f"| {3600 * trials / seconds:.0f}{star} | {ratio} "
        f"| {side.best:.3f} | {median(each):.3f} | {side.seen} |"
    )


def report(kept: Kept, trials: int, count: int) -> None:
    """Print the table of what has been measured."""
    ours_side = kept.get("ours")
    ours_s = None if ours_side is None else whole_s(ours_side, trials)
    print(
        f"\n| side | trials run | s for {trials} trials | s before the first | trials an hour "
        "| times ours | best accuracy | median | seen |\n|" + "---|" * 9
    )
    for name in SIDES:
        if (side := kept.get(name)) is not None:
            print(row(name, side, ours_s, trials))
    print("\n*: extrapolated from the trials run")
    print("\n| trials of ours | s | ms for one more trial |\n|---|---|---|")
    for names in pairs(count):
        few, many = (kept.get(name) for name in names)
        if few is not None and many is not None:
            more = len(many.trials) - len(few.trials)
            each_ms = 1000 * (many.seconds - few.seconds) / more
            print(
                f"| {len(few.trials)}, {len(many.trials)} "
                f"| {few.seconds:.1f}, {many.seconds:.1f} | {each_ms:.0f} |"
            )


def main() -> None:
    """Measure and print the table."""
    parser = base_parser(__doc__, results="head_only", sides=SIDES)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--many", type=int, default=192, help="trials of ours, for the margin")
    parser.add_argument("--pairs", type=int, default=3, help="of few and many trials")
    parser.add_argument("--peer-trials", type=int, default=6, help="trials of Optuna's loops")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    kept = Kept(options.results)
    photos, what = prepare(options.data, kept.folder, limit=options.limit)
    asked = f"{what}; {options.trials} trials of {options.epochs} epochs"
    kept.require_same(f"{asked}; {options.many}; {options.peer_trials} of the peers")
    print(asked)
    measure(options, request_for(photos, options), kept)
    report(kept, options.trials, options.pairs)


if __name__ == "__main__":
    main()
