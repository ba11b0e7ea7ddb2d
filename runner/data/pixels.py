"""The decoded store: every image of a part as one array, decoded once and kept on disk.

Layout:
    cache/pixels/<key>.npy      uint8 [N, R, R, 3]; the key covers contents, order, resolution,
                                interpolation and the versions of the decoder and of Pillow
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
from numpy.lib import format as npy

from runner.data.cache import PIXELS, entry_path, mark_used, whole_file
from runner.data.decoding import DECODER_VERSION
from runner.data.example import Source
from runner.data.squares import centre_square

_CHUNK = 256  # images decoded side by side before they are written

log = logging.getLogger(__name__)


def load_pixels(
    source: Source,
    indices: Sequence[int],
    *,
    resolution: int,
    interpolation: str,
    cache: Path | None,
    threads: int,
) -> np.ndarray:
    """The stored squares of these examples, in this order.

    Args:
        source: Gives the images.
        indices: Positions in the source; load test examples in a call of their own.
        resolution: Side of the squares, pixels.
        interpolation: bilinear, bicubic or nearest.
        cache: Folder of caches; None decodes into memory.
        threads: Threads that decode.
    Returns:
        uint8 [N, R, R, 3]; a read-only memory map of the cache where there is one.
    Raises:
        DataError: If a file changed or vanished since the source was opened.
    Side effects: Writes one file under `cache/pixels/`, renamed into place when complete.
    """
    shape = (len(indices), resolution, resolution, 3)
    chunks = _Chunks(source, indices, resolution, interpolation, threads)
    if cache is None or not indices:
        return _in_memory(chunks, shape)
    key = _key(source, indices, resolution, interpolation)
    path = entry_path(cache, PIXELS, key, ".npy")
    stored = _stored(path, shape)
    if stored is not None:
        mark_used(path)
        return stored
    try:
        _write(path, chunks, shape)
    except OSError as err:
        log.warning("decoded images cannot be cached in %s (%s); kept in memory", path, err)
        return _in_memory(chunks, shape)
    written = _stored(path, shape)
    return _in_memory(chunks, shape) if written is None else written


class _Chunks:
    """The squares of some examples, a chunk at a time."""

    def __init__(
        self,
        source: Source,
        indices: Sequence[int],
        resolution: int,
        interpolation: str,
        threads: int,
    ) -> None:
        self._source, self._indices = source, indices
        self._resolution, self._interpolation = resolution, interpolation
        self._threads = threads

    def __iter__(self) -> Iterator[np.ndarray]:
        with ThreadPoolExecutor(max(1, self._threads)) as pool:
            for start in range(0, len(self._indices), _CHUNK):
                yield np.stack(list(pool.map(self._square, self._indices[start : start + _CHUNK])))

    def _square(self, index: int) -> np.ndarray:
        image = self._source.image(index, enough=self._resolution)
        return centre_square(image, resolution=self._resolution, interpolation=self._interpolation)


def _key(source: Source, indices: Sequence[int], resolution: int, interpolation: str) -> str:
    """Equal keys mean equal pixels."""
    digest = hashlib.sha256(
        f"{DECODER_VERSION} {PIL.__version__} {resolution} {interpolation}".encode()
    )
    for index in indices:
        digest.update(source.examples[index].digest.encode())
    return digest.hexdigest()[:40]


def _stored(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached array; None where there is none, or one that is cut short or not ours."""
    try:
        with path.open("rb") as file:
            if npy.read_magic(file) != (1, 0):
                return None
            found, is_fortran, dtype = npy.read_array_header_1_0(file)
            start = file.tell()
        is_ours = found == shape and dtype == np.uint8 and not is_fortran
        if not is_ours or path.stat().st_size != start + int(np.prod(shape)):
            return None
        return np.memmap(path, dtype=np.uint8, mode="r", offset=start, shape=shape)
    except (OSError, ValueError):
        return None


def _write(path: Path, chunks: _Chunks, shape: tuple[int, ...]) -> None:
    """Decode into the cache; ordinary writes, so a full disk is an error and not a crash."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with whole_file(path) as file:
        npy.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(chunk.tobytes())


def _in_memory(chunks: _Chunks, shape: tuple[int, ...]) -> np.ndarray:
    pixels = np.empty(shape, dtype=np.uint8)
    start = 0
    for chunk in chunks:
        pixels[start : start + len(chunk)] = chunk
        start += len(chunk)
    return pixels
