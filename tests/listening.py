"""Where a process and what it has started can be reached."""

from contextlib import suppress

import psutil


def listening(process: psutil.Process) -> list[tuple[str, str]]:
    """Name and address of each socket that a process, or one it started, listens on.

    One that ends meanwhile has none.
    """
    found = []
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            sockets = each.net_connections("inet")
            found += [
                (each.name(), one.laddr.ip) for one in sockets if one.status == psutil.CONN_LISTEN
            ]
    return sorted(found)
