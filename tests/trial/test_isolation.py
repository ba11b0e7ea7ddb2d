"""A worker between two jobs."""

import gc
import weakref

from runner.trial import Lease
from runner.trial.isolation import reset_process


class Knot:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.knot = self


def test_reset_process_frees_what_earlier_jobs_left_in_cycles() -> None:
    for _ in range(3):
        left = weakref.ref(Knot())
        reset_process(Lease(slot=0))
        assert left() is None


def test_reset_process_sets_the_libraries_aside() -> None:
    reset_process(Lease(slot=0))
    assert gc.get_freeze_count() > 100_000
    # What is looked through before each job from then on.
    assert len(gc.get_objects()) < gc.get_freeze_count() / 2
