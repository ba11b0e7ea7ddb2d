"""How processes end: with their parent, and by which signal.

A worker ends with its driver, and takes along whatever it has started; helpers end with their
worker. On Linux the kernel sends a signal in the moment of the death, which a thread waits for;
elsewhere it looks every second. Not SIGKILL as that signal: it would reach the worker alone, and
leave what a user's function has started. Nor a plain handler: the main thread may compute for long
before it runs one.
"""

import ctypes
import os
import signal
import sys
import threading
import time

WATCH_PARENT_EVERY_S = 1.0
# <sys/prctl.h>
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have this process end when its parent dies, and its group if it leads one.

    Called by the main thread before it starts any other, so that none takes the signal.

    Args:
        parent: Process id.
    """
    word = _asked_of_the_kernel()
    threading.Thread(target=_watch, args=(parent, word), name="parent", daemon=True).start()


def signal_name(code: int) -> str:
    """The signal that ended a process, for people; most real-time signals have a number alone.

    Args:
        code: The process's exit code, below 0.
    """
    try:
        return signal.Signals(-code).name
    except ValueError:
        return str(-code)


def _asked_of_the_kernel() -> int | None:
    """The signal that comes at the parent's death; None where there is no such thing."""
    if sys.platform != "linux":
        return None
    word = int(signal.SIGRTMAX)
    signal.pthread_sigmask(signal.SIG_BLOCK, {word})
    is_granted = ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, word, 0, 0, 0) == 0
    return word if is_granted else None


def _watch(parent: int, word: int | None) -> None:
    # The signal comes as well when only the thread of the driver ends that has started this.
    while os.getppid() == parent:
        if word is None:
            time.sleep(WATCH_PARENT_EVERY_S)
        else:
            signal.sigtimedwait({word}, WATCH_PARENT_EVERY_S)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
