"""Wakes the daemon when the host's mounts change: poll(2) on PID 1's mountinfo says so (proc(5), /proc/pid/mounts)."""

import asyncio
import contextlib
import select
from collections.abc import Callable, Iterator
from pathlib import Path

MOUNTINFO = Path("/proc/1/mountinfo")


@contextlib.contextmanager
def watched(changed: Callable[[], None], *, path: Path = MOUNTINFO) -> Iterator[None]:
    """Call ``changed`` from the running loop at each change, for as long as the context lasts. Raises OSError."""
    loop = asyncio.get_running_loop()
    with path.open("rb") as file, select.epoll() as epoll:
        # The loop waits for data to read. Edge-triggered, or the file would be readable for ever; and not for EPOLLPRI,
        # which the loop's own look at this epoll takes away before anybody is told.
        epoll.register(file.fileno(), select.EPOLLIN | select.EPOLLET)

        def ready() -> None:
            if epoll.poll(0):
                changed()

        loop.add_reader(epoll.fileno(), ready)
        try:
            yield
        finally:
            loop.remove_reader(epoll.fileno())
