"""How much is made up, and from which seed.

The quick tests make up the same cases every time. The slow ones make up thousands of new ones from
a seed that they print; RUNNER_FUZZ_SEED repeats one.
"""

import os
import secrets
from datetime import timedelta

from hypothesis import HealthCheck, settings

SEED = int(os.environ.get("RUNNER_FUZZ_SEED") or secrets.randbits(32))
# One file is read in milliseconds; what takes longer than this goes on and on.
_DEADLINE = timedelta(seconds=20)
_UNCHECKED = [
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
]


def quick(examples: int) -> settings:
    """Settings of a test with the same cases every time."""
    return settings(
        max_examples=examples,
        deadline=_DEADLINE,
        derandomize=True,
        database=None,
        suppress_health_check=_UNCHECKED,
    )


def thorough(examples: int) -> settings:
    """Settings of a slow test with new cases every time; beside `hypothesis.seed(SEED)`."""
    return settings(
        max_examples=examples,
        deadline=_DEADLINE,
        database=None,
        print_blob=True,
        suppress_health_check=_UNCHECKED,
    )
