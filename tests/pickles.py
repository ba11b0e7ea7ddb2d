"""Pickles of people who wish to run code here."""

import os
from collections import OrderedDict
from pathlib import Path


class RunsCode:
    """Makes a folder when it is loaded by whoever trusts it."""

    def __init__(self, trace: Path) -> None:
        self._trace = str(trace)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self._trace,)


class FailsWhereOnlyTensorsMay:
    """Ends in a TypeError with `weights_only`, and is sound without."""

    def __reduce__(self) -> tuple[object, ...]:
        return OrderedDict, (), (None, {})
