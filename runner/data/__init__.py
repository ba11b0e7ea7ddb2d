"""Images, texts and their labels: sources, splits, transforms, stores, the bundled sets.

Importing this room does not import torch, so that a driver can open, fingerprint and split the
data; the names that work on tensors bring torch in when they are first used.
"""

from typing import TYPE_CHECKING, Any

from runner.data.budget import Allowance, NoRoom, fit
from runner.data.cache import (
    ABANDONED_S,
    FEATURES,
    UNFINISHED,
    CacheEntry,
    cache_entries,
    entry_path,
    mark_used,
    prune_cache,
    remove_entry,
    unfinished_entries,
)
from runner.data.cleaning import Cleaning, clean
from runner.data.copies import kept_copy
from runner.data.disk import (
    POLL_S,
    DiskRefused,
    disk_errors,
    does_lock,
    lock_file,
    locked,
    write_all,
)
from runner.data.errors import DataSettingError
from runner.data.example import Example, Label, Labelled, Part, Source, Text, TextSource
from runner.data.fingerprint import data_fingerprint, describe_change, manifest_of
from runner.data.inside import place_inside
from runner.data.keeping import size_words, why_no_copy
from runner.data.labels import words_in
from runner.data.local_files import files_below, read_regular_file
from runner.data.manifest import manifest_names
from runner.data.opening import open_source
from runner.data.pixels import decoding_version, load_pixels
from runner.data.split import Split, make_split
from runner.data.square_sets import KeptSquares, Squares, in_chunks
from runner.data.squares import INTERPOLATIONS
from runner.data.table_files import Table, decoded, read_table
from runner.data.text_batches import length_batches
from runner.data.token_layout import Tokenizer
from runner.data.tokenizing import tokenize_texts, tokens_version
from runner.data.tokens import TokenStore

if TYPE_CHECKING:
    from runner.data.augmentation import AUGMENTATIONS, random_draws, train_batch
    from runner.data.transform import Transform, eval_batch

__all__ = [
    "ABANDONED_S",
    "AUGMENTATIONS",
    "FEATURES",
    "INTERPOLATIONS",
    "POLL_S",
    "UNFINISHED",
    "Allowance",
    "CacheEntry",
    "Cleaning",
    "DataSettingError",
    "DiskRefused",
    "Example",
    "KeptSquares",
    "Label",
    "Labelled",
    "NoRoom",
    "Part",
    "Source",
    "Split",
    "Squares",
    "Table",
    "Text",
    "TextSource",
    "TokenStore",
    "Tokenizer",
    "Transform",
    "cache_entries",
    "clean",
    "data_fingerprint",
    "decoded",
    "decoding_version",
    "describe_change",
    "disk_errors",
    "does_lock",
    "entry_path",
    "eval_batch",
    "files_below",
    "fit",
    "in_chunks",
    "kept_copy",
    "length_batches",
    "load_pixels",
    "lock_file",
    "locked",
    "make_split",
    "manifest_names",
    "manifest_of",
    "mark_used",
    "open_source",
    "place_inside",
    "prune_cache",
    "random_draws",
    "read_regular_file",
    "read_table",
    "remove_entry",
    "size_words",
    "tokenize_texts",
    "tokens_version",
    "train_batch",
    "unfinished_entries",
    "why_no_copy",
    "words_in",
    "write_all",
]


def __getattr__(name: str) -> Any:
    """The names that need torch, imported on first use."""
    if name in ("Transform", "eval_batch"):
        from runner.data import transform

        return getattr(transform, name)
    if name in ("AUGMENTATIONS", "random_draws", "train_batch"):
        from runner.data import augmentation

        return getattr(augmentation, name)
    raise AttributeError(f"module 'runner.data' has no attribute {name!r}")
