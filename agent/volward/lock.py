"""One lock a volume, so that two volwards never work on the same one.

flock(2) on /run/volward/lock/VOLUME: the kernel lets go of it when its holder dies, and with it every tool that it
started to change the host (host.run lets them inherit the lock). Calls no host commands.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from volward.errors import BusyError
from volward.host import run

DIRECTORY = Path("/run/volward/lock")
_PAUSE_SECONDS = 0.1
_DAEMON_SECONDS = 60.0  # longer than it waits for a provider that is away
_DAEMON = "daemon"
_OWNER: list[str] = []  # what is written beside our process ID


def of_daemon() -> None:
    """Note that what this process locks, the daemon does: it goes on by itself, and a person's command waits for it."""
    _OWNER[:] = [_DAEMON]


@contextlib.contextmanager
def held(volume: str, *, directory: Path = DIRECTORY, wait_seconds: float = 0) -> Iterator[None]:
    """Hold the volume's lock. Raises BusyError when another process holds it still after ``wait_seconds``, OSError.

    The daemon is waited for longer, up to a minute: nobody could tell when it is at work.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / volume, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            _lock(descriptor, wait_seconds)
        except BlockingIOError as error:
            holder = _holder(descriptor)[0]
            raise BusyError(
                f"Another volward (process {holder}) works on {volume}."
                if not holder.isdecimal() or Path("/proc", holder).exists()
                else f"A tool that volward (process {holder}, ended meanwhile) started still works on {volume}.",
                resolution="Wait until it has ended, then run the same command again.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, " ".join([str(os.getpid()), *_OWNER, ""]).encode(), 0)
        with run.inherited(descriptor):
            yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, wait_seconds: float) -> None:
    start = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            patience = max(wait_seconds, _DAEMON_SECONDS if _DAEMON in _holder(descriptor) and not _OWNER else 0)
            if time.monotonic() - start >= patience:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _holder(descriptor: int) -> list[str]:
    """Return the process ID of who holds it, and what it is."""
    return os.pread(descriptor, 32, 0).decode(errors="replace").split() or ["unknown"]
