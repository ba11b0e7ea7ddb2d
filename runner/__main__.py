"""`python -m runner`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO


class Outlet:
    """A stream that goes nowhere once its reader has gone (`| head`).

    What a command does is not over with that: a search goes on, and ends with its own exit code.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or not."""
        with self._whoever_reads():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        with self._whoever_reads():
            self._stream.flush()

    @contextmanager
    def _whoever_reads(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # What is in the stream's buffer goes there too.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def main() -> int:
    """Run the command line; the exit code is the process's."""
    from runner.cli import run

    if sys.stdout is None or sys.stderr is None:
        # Closed before this process began: nothing is written to them anyway.
        return run(sys.argv[1:])
    with redirect_stdout(Outlet(sys.stdout)) as out, redirect_stderr(Outlet(sys.stderr)):
        try:
            return run(sys.argv[1:])
        finally:
            out.flush()


if __name__ == "__main__":
    sys.exit(main())
