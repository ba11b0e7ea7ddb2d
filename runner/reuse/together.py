"""Computing sets together with whoever else asks for them at the same time."""

import time

from runner.data import POLL_S
from runner.reuse.features import Features
from runner.reuse.order import Order
from runner.reuse.workplace import Workplace

# A process that was suspended keeps its lock. When nothing has come for so long, its chunk is
# computed here too: work done twice at worst.
PATIENCE_S = 120.0


def make_together(place: Workplace, order: Order) -> dict[str, Features]:
    """The sets of an order, chunk by chunk, each chunk by one of the processes at work.

    Raises:
        DiskRefused: If the disk is full, for example.
        Exception: What the computation or `is_wanted` raises.
    """
    left, came_at = -1, time.monotonic()
    while len(undone := place.undone()) > 0:
        order.is_wanted()
        if len(undone) != left:
            left, came_at = len(undone), time.monotonic()
        with place.claim(undone) as claimed:
            is_late = time.monotonic() - came_at > PATIENCE_S
            chunk = int(undone[0]) if claimed is None and is_late else claimed
            if chunk is None:
                time.sleep(POLL_S)
            elif place.lacks(chunk):
                place.write(chunk, order.blocks(chunk))
    return place.finish(order)
