"""How long threads that wait for one another should turn idly, on quiet cores and on busy ones.

    python benchmarks/spinning.py [rounds]

Each process trains one model for a few seconds on as many threads as there are cores, with
`GOMP_SPINCOUNT` as GNU's OpenMP has it or set, first with the machine to itself, then beside one
busy process a core. The settings take turns. Printed: milliseconds of wall clock, and of
processor time, a training step.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CORES = len(os.sched_getaffinity(0))

# None: the library's default, 300,000; 0: one thread, which waits for nobody.
SETTINGS: tuple[int | None, ...] = (None, 20_000, 5_000, 1_000, 0)
# Name, timm's arguments, batch, pixels a side, steps.
MODELS = (
    ("small resnet10t", "resnet10t", {"channels": [24, 48, 96, 192]}, 16, 64, 40),
    ("resnet18", "resnet18", {}, 16, 160, 5),
    ("vit_tiny", "vit_tiny_patch16_224", {}, 16, 224, 4),
)
# The slowest seen took seventeen times the fastest.
LIMIT_S = 120.0

TRAINING = """
import sys, time, torch, timm
name, arguments, batch, pixels, steps, threads = eval(sys.argv[1])
torch.set_num_threads(threads)
model = timm.create_model(name, num_classes=4, **arguments)
optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
images, labels = torch.randn(batch, 3, pixels, pixels), torch.randint(0, 4, (batch,))
def step():
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
for _ in range(3):
    step()
wall_s, busy_s = time.perf_counter(), time.process_time()
for _ in range(steps):
    step()
print((time.perf_counter() - wall_s) / steps, (time.process_time() - busy_s) / steps)
"""


def measure(model: tuple[str, str, dict[str, list[int]], int, int, int], spin: int | None) -> str:
    """Milliseconds a step, by the clock and of the processor."""
    _, *what = model
    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    if spin:
        environment["GOMP_SPINCOUNT"] = str(spin)
    threads = 1 if spin == 0 else CORES
    command = [sys.executable, "-c", TRAINING, repr((*what, threads))]
    try:
        found = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return f"over {LIMIT_S:g} s in all"
    wall_s, busy_s = map(float, found.stdout.split())
    return f"{1000 * wall_s:.0f} ({1000 * busy_s:.0f})"


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Processes that do nothing but use a core each."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    """Print a table for each model."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for model in MODELS:
        print(f"\n{model[0]}: ms a step, in parentheses of processor time")
        print("\n| GOMP_SPINCOUNT | quiet | one busy process a core |\n|---|---|---|")
        quiet: dict[int | None, list[str]] = {spin: [] for spin in SETTINGS}
        busy: dict[int | None, list[str]] = {spin: [] for spin in SETTINGS}
        for _ in range(rounds):
            for spin in SETTINGS:
                quiet[spin].append(measure(model, spin))
                with neighbours(CORES):
                    busy[spin].append(measure(model, spin))
        for spin in SETTINGS:
            name = {None: "not set", 0: "one thread"}.get(spin, spin)
            print(f"| {name} | {', '.join(quiet[spin])} | {', '.join(busy[spin])} |", flush=True)


if __name__ == "__main__":
    main()
