"""The path that the daemon listens at: taken over from a daemon that was killed, never from one that lives.

A lock beside the socket is held as long as the daemon lives (flock(2): the kernel lets go of it at a kill), so that of
two daemons one is refused, and what is left of a killed one is surely stale. See unix(7).
"""

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from volward.errors import BusyError
from volward.os_errors import explained

PATH = Path("/run/volward/control.sock")
_PROBE_SECONDS = 1.0


@contextlib.contextmanager
def bound(path: Path = PATH) -> Iterator[socket.socket]:
    """Yield a socket that listens at ``path``: mode 0660 of the daemon's own group. The path goes with it.

    Raises BusyError when another daemon lives, or when what is there is no socket; OperatingSystemError.
    """
    with contextlib.ExitStack() as stack:
        with explained(f"Listening at {path}"):
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            stack.enter_context(_lock(path))
            listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            _clear(path)
            listening.bind(str(path))
            stack.callback(_remove, path, path.lstat())
            # Nobody can connect before listen(2), so no other mode than this is ever seen.
            path.chmod(0o660)
            listening.listen()
        yield listening


def _remove(path: Path, made: os.stat_result) -> None:
    """Remove the socket, unless another one has its place."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(path.lstat(), made):
            path.unlink()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise _alive(path, f" (process {holder})") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # the file stays: to remove it would let two daemons hold two locks


def _clear(path: Path) -> None:
    """Remove the socket of a daemon that was killed. Called with the lock."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there.st_mode):
        raise BusyError(
            f"{path} is no socket, and volward did not make it.", resolution="Look at it, and move it away."
        )
    if _answers(path):  # somebody without the lock: a .socket unit of systemd
        raise _alive(path, "")
    path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (TimeoutError, BlockingIOError):  # its queue is full: it lives
            return True
        return True


def _alive(path: Path, who: str) -> BusyError:
    return BusyError(
        f"Another daemon of volward{who} listens at {path}.",
        resolution="`systemctl status volward.service` shows it; there is one a host.",
    )
