"""Images and their labels: sources, splits, transforms, the decoded store, the bundled sets.

Importing this room imports torch; worker processes and the second check do, the driver of a
search does not.
"""

from runner.data.augmentation import AUGMENTATIONS, train_batch
from runner.data.cache import CacheEntry, cache_entries, prune_cache
from runner.data.errors import DataSettingError
from runner.data.example import Example, Part, Source
from runner.data.fingerprint import data_fingerprint, describe_change, manifest_of
from runner.data.opening import open_source
from runner.data.pixels import load_pixels
from runner.data.split import Split, make_split
from runner.data.transform import INTERPOLATIONS, Transform, eval_batch

__all__ = [
    "AUGMENTATIONS",
    "INTERPOLATIONS",
    "CacheEntry",
    "DataSettingError",
    "Example",
    "Part",
    "Source",
    "Split",
    "Transform",
    "cache_entries",
    "data_fingerprint",
    "describe_change",
    "eval_batch",
    "load_pixels",
    "make_split",
    "manifest_of",
    "open_source",
    "prune_cache",
    "train_batch",
]
