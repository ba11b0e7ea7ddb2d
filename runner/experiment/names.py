"""What an experiment and its studies may be called; the name is also a folder's."""

import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_name(text: str) -> bool:
    """Whether an experiment may be called so: as a folder, the name leads nowhere else."""
    return NAME.fullmatch(text) is not None
