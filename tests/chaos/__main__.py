"""Shakes searches for as long as one likes; run by hand.

    python -m tests.chaos --kills 300 [--kind plain,fused] [--servers] [--seed 0] [--folder DIR]

Each search is killed `--each` times at random moments, begun again with the same command until
it has come to its end, and compared with one that was left alone: the same trials, parameters and
metrics, nothing lost, nothing double, nothing left RUNNING. `docs/reliability.md` has a table of
what this printed.
"""

import argparse
import os
import random
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from tests.chaos.kinds import KINDS
from tests.chaos.servers import servers
from tests.chaos.shaking import Shaker


def main() -> int:
    """Shake, and print what was found; 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--each", type=int, default=15, help="kills of one search")
    parser.add_argument("--kind", default=",".join(KINDS))
    parser.add_argument("--servers", action="store_true", help="write to PostgreSQL and MLflow")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="runner-chaos-"))
    # Leases of its own: a search that shares a CPU with another takes fewer threads, and rounds
    # in another way.
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="chaos-")
    # PostgreSQL, which runs as another user, has its folder in it.
    Path(tempfile.tempdir).chmod(0o755)
    began_s = time.monotonic()
    kills: Counter[str] = Counter()
    wrong: list[str] = []
    starts = searches = 0
    with servers(folder / "servers") if options.servers else nullcontext() as both:
        names = options.kind.split(",")
        whole = {
            name: Shaker(KINDS[name], name, folder / f"{name}_whole", random.Random(0)).run_whole()
            for name in names
        }
        while kills.total() < options.kills:
            kind = KINDS[names[searches % len(names)]]
            name = f"{kind.name}_{options.seed}_{searches}"
            generator = random.Random(f"{options.seed} {searches}")
            shaker = Shaker(kind, name, folder / name, generator, both)
            shaker.compare(
                shaker.shake(kills=min(options.each, options.kills - kills.total())),
                whole[kind.name],
            )
            searches += 1
            starts += shaker.shaken.starts
            kills.update(shaker.shaken.kills)
            wrong += [f"{name}: {text}" for text in shaker.shaken.wrong]
            print(f"{name}: {dict(shaker.shaken.kills)}, {len(shaker.shaken.wrong)} findings")
            for text in shaker.shaken.wrong:
                print(f"    {text}", flush=True)
    hours = (time.monotonic() - began_s) / 3600
    print(f"\n{searches} searches, {starts} starts, {hours:.1f} h, {len(wrong)} findings")
    print("\n| killed | times |\n|---|---|")
    for victim, count in kills.most_common():
        print(f"| {victim} | {count} |")
    print(f"| together | {kills.total()} |")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
