"""One lock a volume, so that two volwards never work on the same one.

flock(2) on /run/volward/lock/VOLUME: the kernel lets go of it when its holder dies, and with it every tool that it
started to change the host (host.run lets them inherit the lock). Calls no host commands.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from volward.errors import BusyError
from volward.host import run

DIRECTORY = Path("/run/volward/lock")


@contextlib.contextmanager
def held(volume: str, *, directory: Path = DIRECTORY) -> Iterator[None]:
    """Hold the volume's lock. Raises BusyError at once when another process holds it, OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / volume, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise BusyError(
                f"Another volward (process {holder}) works on {volume}."
                if not holder.isdecimal() or Path("/proc", holder).exists()
                else f"A tool that volward (process {holder}, ended meanwhile) started still works on {volume}.",
                resolution="Wait until it has ended, then run the same command again.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        with run.inherited(descriptor):
            yield
    finally:
        os.close(descriptor)
