"""Whether anything is run, imported or written while something else goes on.

By the interpreter's own audit events (PEP 578), which no spelling of a call gets around: a patched
`os.system` would miss `from os import system`.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_RUNNING = frozenset(
    {
        "compile",
        "ctypes.dlopen",
        "exec",
        "import",
        "marshal.loads",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.kill",
        "os.mkdir",
        "os.posix_spawn",
        "os.putenv",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.spawn",
        "os.system",
        "pickle.find_class",
        "pty.spawn",
        "socket.connect",
        "subprocess.Popen",
    }
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Watch:
    """The one hook of this process: it can be told to stop looking, but not be taken away."""

    def __init__(self) -> None:
        self.thread: int | None = None
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.thread != threading.get_ident():
            return
        if event in _RUNNING or (event == "open" and _is_writing(arguments)):
            shown = [each for each in arguments if isinstance(each, str | bytes | int)]
            self.seen.append(f"{event} {shown}")


def _is_writing(arguments: tuple[Any, ...]) -> bool:
    """Whether an event `open` (path, mode, flags) may change a file."""
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & _WRITING)


_watch: _Watch | None = None


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Fails the test if the block, in this thread, runs, imports or writes anything."""
    global _watch
    if _watch is None:
        os.path.expanduser("~nobody")  # noqa: PTH111 - which imports `pwd` the first time
        _watch = _Watch()
    _watch.seen = []
    _watch.thread = threading.get_ident()
    try:
        yield
    finally:
        _watch.thread = None
    if _watch.seen:
        raise AssertionError(f"ran, imported or wrote: {_watch.seen}")
