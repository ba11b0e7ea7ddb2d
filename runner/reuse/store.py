"""The store of features: outputs of frozen layers, computed once and shared by a machine.

Layout:
    cache/features/<digest>.features    one cut of one part; the digest covers the caller's key,
                                        the rows and chunks, and the version of the file's layout
    cache/features/.tmp-*               what is being made, see workplace.py
"""

import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from runner.data import FEATURES, DiskRefused, entry_path, mark_used
from runner.reuse.budget import working_folder
from runner.reuse.chunks import CHUNK_ROWS, Extent
from runner.reuse.errors import TooLarge
from runner.reuse.features import Features
from runner.reuse.in_memory import make_in_memory
from runner.reuse.order import Order
from runner.reuse.rows import Compute
from runner.reuse.set_file import FORMAT_VERSION, read_set
from runner.reuse.together import make_together
from runner.reuse.workplace import Workplace

# Sets in memory that a store keeps for whoever asks next; the one used last always stays.
KEPT_BYTES = 2**30
_SUFFIX = ".features"
# A folder that is deleted while it is being opened is made again this often.
_TRIES = 3
_DELETED_MEANWHILE = (FileNotFoundError, FileExistsError)  # the second is mkdir's, exist_ok or not

log = logging.getLogger(__name__)


class FeatureStore:
    """Sets of features by content, made by whoever asks first, together with who asks meanwhile.

    One store serves any number of threads; any number of processes may have one on one folder.
    """

    def __init__(self, cache: Path, *, limit_bytes: int, chunk_rows: int = CHUNK_ROWS) -> None:
        """Begin with what is there.

        Args:
            cache: The folder of caches; the store's own is `features` in it.
            limit_bytes: Size budget of that folder, over all sets.
            chunk_rows: Rows that are computed together; part of what a set is.
        """
        self._cache, self._limit_bytes, self._chunk_rows = cache, limit_bytes, chunk_rows
        self._kept: OrderedDict[Path, Features] = OrderedDict()
        self._guard = threading.Lock()

    def get(
        self,
        key: str,
        *,
        count: int,
        cuts: Sequence[str],
        row_bytes: Mapping[str, int],
        compute: Compute,
        is_wanted: Callable[[], None] | None = None,
    ) -> dict[str, Features]:
        """Features of some rows at some cuts; computes what is not there.

        Args:
            key: Says everything the numbers depend on: examples, weights, transform, precision.
            count: Rows.
            cuts: Names of the cuts.
            row_bytes: Bytes of a row at each cut; of a mean row, where they are ragged.
            compute: From positions, int64 [n], to their rows at (at least) all of `cuts`. Called
                with whole chunks, so that the result does not depend on who computes which.
            is_wanted: Called between chunks and while waiting for others; what it raises leaves
                this call, and others go on.
        Returns:
            The rows by cut: in memory if there are few, else in mapped files.
        Raises:
            TooLarge: If the sets do not fit into the budget, into what others that are being made
                leave of it, or (without a usable disk) into memory. Nothing was computed.
            ValueError: If `compute` gives something else than one row for each position.
            Exception: What `compute` and `is_wanted` raise.
        Side effects: Writes below `cache/features`; removes the sets least recently used there
            when the budget is exceeded. A disk that refuses is a logged warning, and the result
            is this process's own.
        """
        if count < 1:
            raise ValueError(f"features of {count} rows")
        order = Order(
            extent=Extent(count, self._chunk_rows),
            targets={cut: self._target(key, count, cut) for cut in cuts},
            row_bytes=row_bytes,
            compute=compute,
            is_wanted=is_wanted or _always,
        )
        features = self._found(order)
        missing = [cut for cut in cuts if cut not in features]
        if missing:
            if order.bytes > self._limit_bytes:
                raise TooLarge(order.bytes, self._limit_bytes)
            features |= self._made(order.only(missing), self._folder(key, count))
        for cut, path in order.targets.items():
            self._keep(path, features[cut])
        return {cut: features[cut] for cut in cuts}

    def _found(self, order: Order) -> dict[str, Features]:
        """What there is already."""
        found = {}
        for cut, path in order.targets.items():
            features = self._kept.get(path) or read_set(path, order.extent)
            if features is not None:
                found[cut] = features
                mark_used(path)
        return found

    def _made(self, order: Order, folder: Path) -> dict[str, Features]:
        """What there is not, on disk if the disk allows it."""
        for _ in range(_TRIES):
            try:
                with Workplace.joined(folder, order, limit_bytes=self._limit_bytes) as place:
                    return make_together(place, order)
            except DiskRefused as err:
                refusal = err
                if not isinstance(err.__cause__, _DELETED_MEANWHILE):
                    break
        log.warning("features cannot be kept in %s (%s); kept in memory", folder.parent, refusal)
        return make_in_memory(order)

    def _keep(self, path: Path, features: Features) -> None:
        """Remember a set that is in memory for the next caller."""
        if not features.is_in_memory:
            return
        with self._guard:
            self._kept[path] = features
            self._kept.move_to_end(path)
            while len(self._kept) > 1 and self._kept_bytes() > KEPT_BYTES:
                self._kept.popitem(last=False)

    def _kept_bytes(self) -> int:
        return sum(features.nbytes for features in self._kept.values())

    def _target(self, key: str, count: int, cut: str) -> Path:
        return entry_path(self._cache, FEATURES, self._digest(key, count, cut), _SUFFIX)

    def _folder(self, key: str, count: int) -> Path:
        return working_folder(self._cache / FEATURES, self._digest(key, count, ""))

    def _digest(self, key: str, count: int, cut: str) -> str:
        """Equal digests mean equal rows."""
        said = json.dumps([FORMAT_VERSION, key, count, self._chunk_rows, cut])
        return hashlib.sha256(said.encode()).hexdigest()[:40]


def _always() -> None:
    """Nobody loses interest."""
