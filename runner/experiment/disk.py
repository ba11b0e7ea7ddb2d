"""Writes that the disk may refuse: whole files or none, and a refusal in words to act on."""

import contextlib
import errno
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from runner.errors import DiskRefused

logger = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
# Only who writes meets these; what is forbidden may have been a read.
_UNWRITABLE = _FULL | {errno.EROFS, errno.EFBIG}
# How libraries that write by themselves, as safetensors does, say it in errors of their own. "File
# too large" is not among them: so speaks whoever refuses what he is given to read.
_WORDS = tuple(os.strerror(number) for number in sorted(_UNWRITABLE - {errno.EFBIG}))
# A page: file systems that keep small files among the names have no room for that in a full one.
_PROBE_BYTES = 4096


def is_refusal(error: OSError) -> bool:
    """Whether an error says that a disk is full, read-only, or not this user's to write."""
    return _code(error) in _UNWRITABLE | _FORBIDDEN


def is_of_the_disk(error: Exception) -> bool:
    """Whether an error, whoever raised it, says that a disk is full or read-only."""
    is_the_systems = isinstance(error, OSError) and _code(error) in _UNWRITABLE
    said = str(error)
    return is_the_systems or any(words in said for words in _WORDS)


def _code(error: OSError) -> int | None:
    """The number of an error; of the several that copying a folder met, the first one's."""
    if error.errno is None and isinstance(error, shutil.Error):
        found = re.search(r"\[Errno (\d+)\]", str(error))
        return None if found is None else int(found[1])
    return error.errno


def refused(error: OSError, path: Path | None = None) -> DiskRefused:
    """The error for a write that the disk refused: which file, why, and what to do.

    Args:
        error: The operating system's.
        path: The file or folder; None for the one that the error names.
    """
    # Whoever names no file cannot tell a write from a read that is forbidden.
    verb = "read or written" if path is None and _code(error) in _FORBIDDEN else "written"
    # Of a copy the second is the target.
    named = error.filename2 or error.filename
    if path is None and isinstance(named, str | bytes):
        path = Path(os.fsdecode(named))
    why, remedy = _told(error, path)
    return DiskRefused(
        f"{path or 'a file'} cannot be {verb}: {why}. {remedy}. What was written before is "
        "intact; the same command goes on from there"
    )


def _told(error: OSError, path: Path | None) -> tuple[str, str]:
    """Why a disk refuses, and what to do."""
    code = _code(error)
    if code == errno.EDQUOT:
        return "this user's quota on the disk is used up", "Make room, or have it raised"
    if code == errno.ENOSPC:
        left = "" if path is None else f" ({_size(free_bytes(path))} free)"
        return f"the disk is full{left}", "Make room; `python -m runner cache` shows the caches"
    if code == errno.EROFS:
        return "its file system is read-only", "Have it mounted for writing"
    if code in _FORBIDDEN:
        who = f"this user (uid {os.geteuid()}) has no permission"
        return who, "Give the permission, or name another folder with RUNNER_HOME"
    return error.strerror or str(error), "See what is wrong with the disk"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's errors inside the block into one that names a file.

    Args:
        path: What is written there.
    Raises:
        DiskRefused: For every error of the operating system.
    """
    try:
        yield
    except OSError as error:
        raise refused(error, path) from error


@contextlib.contextmanager
def refusals(path: Path | None = None) -> Iterator[None]:
    """As `writing`, for a block that does more than write: other errors stay what they are.

    Args:
        path: What is written there; None for the file that the error names.
    Raises:
        DiskRefused: If the disk is full, read-only, or not this user's to write.
    """
    try:
        yield
    except OSError as error:
        if is_refusal(error):
            raise refused(error, path) from error
        raise


@contextlib.contextmanager
def replacing(path: Path, *, is_durable: bool = False) -> Iterator[Path]:
    """A file to write in the block; it takes the place of `path` when that ends well.

    Args:
        path: The file.
        is_durable: Whether it survives a power cut from then on, which takes some milliseconds.
    Raises:
        DiskRefused: If the disk refuses. What was at `path` stays, and nothing half-made does.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            yield temporary
            if is_durable:
                sync(temporary)
            temporary.replace(path)
            if is_durable:
                sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Make what is in a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def drop_unfinished(path: Path) -> None:
    """Remove what other processes have half-written for a file, before it is written anew.

    A worker whose driver was killed may live on for a moment: although its trial is another's now,
    it can then no longer put its file in place.

    Raises:
        DiskRefused: If the disk refuses.
    """
    own = f"{path.name}.{os.getpid()}.tmp"
    with writing(path):
        for other in path.parent.glob(f"{path.name}.*.tmp"):
            if other.name != own:
                other.unlink(missing_ok=True)


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Give a file a second name, or a copy where the file system has no links.

    Whoever changes one of the two replaces it.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def discard(path: Path) -> bool:
    """Remove a file or folder that nobody needs; gives whether it has gone.

    What the disk does not let go of stays, and the log says so: nothing depends on it.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed: %s", path, error)
        return False
    return True


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; a kill leaves what was there before.

    Args:
        path: The file; its folder is made if need be.
        content: Text is written as UTF-8.
    Raises:
        DiskRefused: If the disk refuses.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def require_writable(folder: Path) -> None:
    """Find out that files can be written in a folder; it is made if need be.

    Raises:
        DiskRefused: If they cannot.
    """
    # Named as what is half written, so that what a kill leaves of it is removed with that.
    probe = folder / f".writable-{secrets.token_hex(4)}.tmp"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(os.urandom(_PROBE_BYTES))
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)


def free_bytes(path: Path) -> int:
    """What is free for this user on the disk of a file or folder, which need not exist."""
    for there in (path, *path.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(there).free
    return 0


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
