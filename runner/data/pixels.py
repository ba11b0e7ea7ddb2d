"""The decoded store: every image of a part as one array, decoded once and kept on disk.

Where there is no room for it, a small part is kept in memory and a large one is decoded again in
every epoch; the squares are the same.

Layout:
    cache/pixels/<key>.npy      uint8 [N, R, R, 3]; the key covers contents, order, resolution,
                                interpolation and the versions of the decoder and of Pillow
"""

import hashlib
import io
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import PIL
from numpy.lib import format as npy

from runner.data.budget import AUTO, Allowance, NoRoom
from runner.data.cache import PIXELS, entry_path
from runner.data.decoding import DECODER_VERSION
from runner.data.disk import DiskRefused
from runner.data.example import Source
from runner.data.keeping import IN_MEMORY, ON_DISK, SMALL_BYTES, why_not_kept
from runner.data.prepared import PreparedSets, SetWriter
from runner.data.square_sets import FreshSquares, KeptSquares, Squares, in_chunks

# More than the header of an array of four dimensions takes.
_HEADER_BYTES = 1024

log = logging.getLogger(__name__)


def load_pixels(
    source: Source,
    indices: Sequence[int],
    *,
    resolution: int,
    interpolation: str,
    cache: Path | None,
    threads: int,
    allowance: Allowance = AUTO,
) -> Squares:
    """The squares of these examples, in this order.

    Args:
        source: Gives the images.
        indices: Positions in the source; load test examples in a call of their own.
        resolution: Side of the squares, pixels.
        interpolation: bilinear, bicubic or nearest.
        cache: Folder of caches; None decodes into memory.
        threads: Threads that decode.
        allowance: What all prepared examples may take of the cache's disk.
    Raises:
        DataError: If a file changed or vanished since the source was opened.
    Side effects: Writes one file under `cache/pixels/`, renamed into place when complete; removes
        prepared examples that were used least recently where they take more than they may.
    """
    fresh = FreshSquares(
        source, indices, resolution=resolution, interpolation=interpolation, threads=threads
    )
    if cache is None or not indices:
        return _in_memory(fresh, IN_MEMORY)
    path = entry_path(cache, PIXELS, _key(source, indices, resolution, interpolation), ".npy")
    try:
        values = PreparedSets(cache, allowance).get(
            path,
            parse=partial(_parsed, shape=fresh.shape),
            write=partial(_write, fresh),
            needed_bytes=lambda: fresh.nbytes + _HEADER_BYTES,
        )
    except (NoRoom, DiskRefused) as error:
        return _elsewhere(fresh, why_not_kept(error))
    return KeptSquares(values, ON_DISK)


def _elsewhere(fresh: FreshSquares, why: str) -> Squares:
    if fresh.nbytes <= SMALL_BYTES:
        log.warning("decoded images are kept in memory: %s", why)
        return _in_memory(fresh, f"{IN_MEMORY}: {why}")
    log.warning("images are decoded in every epoch: %s", why)
    fresh.kept = f"{fresh.kept}: {why}"
    return fresh


def decoding_version() -> str:
    """What decodes images: with another one pixels may be others."""
    return f"{DECODER_VERSION} {PIL.__version__}"


def _key(source: Source, indices: Sequence[int], resolution: int, interpolation: str) -> str:
    """Equal keys mean equal pixels."""
    digest = hashlib.sha256(f"{decoding_version()} {resolution} {interpolation}".encode())
    for index in indices:
        digest.update(source.examples[index].digest.encode())
    return digest.hexdigest()[:40]


def _parsed(content: np.ndarray, *, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array in the bytes of a file; None where they are cut short or not ours."""
    head = io.BytesIO(content[:_HEADER_BYTES].tobytes())
    try:
        if npy.read_magic(head) != (1, 0):
            return None
        found, is_fortran, dtype = npy.read_array_header_1_0(head)
    except ValueError:
        return None
    is_ours = found == shape and dtype == np.uint8 and not is_fortran
    if not is_ours or len(content) != head.tell() + int(np.prod(shape)):
        return None
    return content[head.tell() :].reshape(shape)


def _write(fresh: FreshSquares, file: SetWriter) -> None:
    """Decode into a file."""
    header = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": fresh.shape}
    npy.write_array_header_1_0(header, described)
    file.write(header.getvalue())
    for chunk in in_chunks(fresh):
        file.write(chunk.tobytes())


def _in_memory(fresh: FreshSquares, kept: str) -> KeptSquares:
    pixels = np.empty(fresh.shape, np.uint8)
    start = 0
    for chunk in in_chunks(fresh):
        pixels[start : start + len(chunk)] = chunk
        start += len(chunk)
    return KeptSquares(pixels, kept)
