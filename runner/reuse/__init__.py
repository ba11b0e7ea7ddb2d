"""Work shared between trials: outputs of frozen layers, computed once and kept on disk.

The room knows no models: a caller says what a set is (a key), and gives a function that computes
rows.
"""

from runner.reuse.chunks import CHUNK_ROWS
from runner.reuse.errors import TooLarge
from runner.reuse.features import IN_MEMORY_BYTES, Features
from runner.reuse.rows import Compute, Ragged, Rows
from runner.reuse.store import FeatureStore

__all__ = [
    "CHUNK_ROWS",
    "IN_MEMORY_BYTES",
    "Compute",
    "FeatureStore",
    "Features",
    "Ragged",
    "Rows",
    "TooLarge",
]
