"""Addresses of data that lie on no disk of this machine, such as s3://bucket/cats."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from runner.experiment.masking import has_secret

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")


def is_address(path: str) -> bool:
    """Whether a path of an experiment file is an address; others are on this machine's disk."""
    return _ADDRESS.match(path) is not None


def _place(value: str) -> str:
    if not is_address(value):
        return value
    # What a query may open is for its server to know, so none is taken.
    if has_secret(value) or re.search(r"\?.*=", value):
        raise ValueError(
            "must be an address without password or key, which would be kept with every trial; "
            "give them to fsspec, by its own settings or the environment of the object store"
        )
    if "::" in value:
        raise ValueError("must be one address; several in one (::) are not read")
    return value


Place = Annotated[str, Field(min_length=1), AfterValidator(_place)]
"""A path, relative to the experiment file, or an address."""
