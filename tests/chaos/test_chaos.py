"""A dozen kills in CI; hundreds by hand, with `python -m tests.chaos`."""

import random
from pathlib import Path

import pytest

from tests.chaos.kinds import FUSED, PLAIN, RAY, Kind
from tests.chaos.load import load
from tests.chaos.servers import servers
from tests.chaos.shaking import ACTOR, HEAD, RAYLET, Shaker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("kind", [PLAIN, FUSED], ids=lambda kind: kind.name)
def test_killed_again_and_again_a_search_ends_as_if_it_had_been_left_alone(
    tmp_path: Path, kind: Kind
) -> None:
    whole = Shaker(kind, "whole", tmp_path / "whole", random.Random(0)).run_whole()
    shaker = Shaker(kind, "shaken", tmp_path / "shaken", random.Random(1))
    shaker.compare(shaker.shake(kills=6), whole)
    assert shaker.shaken.wrong == []
    assert shaker.shaken.kills.total() >= 4


@pytest.mark.parametrize("victim", [ACTOR, RAYLET, HEAD])
def test_killed_under_a_search_on_ray_it_ends_as_if_it_had_been_left_alone(
    tmp_path: Path, victim: str
) -> None:
    """The same trials as in this process's own workers, too."""
    whole = Shaker(PLAIN, "whole", tmp_path / "whole", random.Random(0)).run_whole()
    shaker = Shaker(RAY, "shaken", tmp_path / "shaken", random.Random(3), often={victim: 1})
    shaker.compare(shaker.shake(kills=2), whole)
    assert shaker.shaken.wrong == []
    assert shaker.shaken.kills[victim] >= 1


@pytest.mark.server
def test_with_its_servers_killed_too_a_search_ends_as_if_it_had_been_left_alone(
    tmp_path: Path,
) -> None:
    whole = Shaker(PLAIN, "whole", tmp_path / "whole", random.Random(0)).run_whole()
    with servers(tmp_path / "servers") as both:
        shaker = Shaker(PLAIN, "shaken", tmp_path / "shaken", random.Random(2), both)
        shaker.compare(shaker.shake(kills=6), whole)
    assert shaker.shaken.wrong == []
    assert shaker.shaken.kills.total() >= 4


def test_eight_trials_that_report_a_hundred_times_a_second_lose_nothing(tmp_path: Path) -> None:
    found = load(tmp_path, seconds=15.0)
    assert found.missing == 0
    # The queue of a driver that cannot keep up would hold megabytes by then.
    assert found.last_mib < found.first_mib + 20.0
