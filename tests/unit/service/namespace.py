"""A network namespace of a test's own: nothing in it reaches the machine's network (network_namespaces(7))."""

import ctypes
import functools
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

_CLONE_NEWNET = 0x40000000
_UEVENTS = 15
Result = TypeVar("Result")


class Namespace:
    """One thread has entered it: what that thread opens or starts is in it, and the rest of the process is not."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)

    def enter(self) -> None:
        """Raise OSError where that is not allowed."""

        def unshare() -> None:
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

        self.call(unshare)

    def call(self, function: Callable[[], Result]) -> Result:
        return self._thread.submit(function).result()

    def ip(self, *commands: str) -> None:
        for command in commands:
            self.call(functools.partial(subprocess.run, ["ip", *command.split()], check=True))

    def send(self, data: bytes, *, groups: int, port: int = 0, user: int | None = None) -> None:
        """Send as udev does, to a group or to one socket; ``user`` is whom the kernel is told that it comes from."""
        ancillary: Sequence[tuple[int, int, bytes]] = ()
        if user is not None:
            credentials = b"".join(number.to_bytes(4, "little") for number in (os.getpid(), user, user))
            ancillary = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)]

        def send() -> None:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _UEVENTS) as sender:
                sender.sendmsg([data], ancillary, 0, (port, groups))

        self.call(send)

    def leave(self) -> None:
        self._thread.shutdown()


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    entered = Namespace()
    entered.enter()
    yield entered
    entered.leave()
