"""What surrounds a user's function: its folder, the process it runs in, memory that runs out."""

import contextlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from runner.errors import TrialOutOfMemory
from runner.trial.job import Lease


@contextlib.contextmanager
def beside(folder: Path) -> Iterator[None]:
    """Modules in a folder can be imported; afterwards path and working directory are as before.

    Args:
        folder: The user's file lies there.
    """
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        with contextlib.chdir(Path.cwd()):
            yield
    finally:
        sys.path[:] = before


def require_memory(error: Exception) -> None:
    """Say in the runner's own word that memory ran out, if that is what an error means.

    Raises:
        TrialOutOfMemory: If it is.
    """
    is_short = isinstance(error, MemoryError)
    if not is_short and "torch" in sys.modules:
        from runner.trial.memory import is_out_of_memory

        is_short = is_out_of_memory(error)
    if is_short:
        text = str(error).splitlines()
        told = f" ({text[0]})" if text else ""
        raise TrialOutOfMemory(f"out of memory in the objective{told}") from error


def reset_process(lease: Lease, seed: int) -> None:
    """Put the process into one known state before a trial, as far as its libraries are loaded.

    Libraries that the user's code does not use are not imported for it.
    """
    random.seed(seed)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(seed % 2**32)
    if "torch" in sys.modules:
        import torch

        from runner.trial.isolation import reset_process as reset_torch

        reset_torch(lease)
        torch.manual_seed(seed)
