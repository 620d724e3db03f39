"""A netlink socket that is subscribed to multicast groups, read without blocking. Follows netlink(7), cmsg(3).

pyroute2's own sockets give no sender's credentials, and those of 0.7 (Debian 13) and 0.9 have nothing in common; so the
socket is Python's, and what is in a message is pyroute2's.
"""

import array
import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): process, user, group
_LARGEST_BYTES = 64 * 1024
RECEIVE_BUFFER_BYTES = 1024 * 1024
_SO_ATTACH_FILTER = 26  # socket(7); Python has no names for these two
_SO_RCVBUFFORCE = 33
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram and who sent it; ``port`` 0 is the kernel, and ``user`` None means that nobody vouched for one."""

    data: bytes
    port: int
    groups: int
    user: int | None


@dataclass(frozen=True, slots=True)
class Lost:
    """Messages were lost (more came than the socket holds): look at everything again."""


class NetlinkSocket:
    """Opened, and subscribed, when made. Raises OSError.

    ``program`` is a classic BPF program, instruction by instruction (code, jump if true, jump if false, operand): what
    it drops does not wake this process.
    """

    def __init__(
        self,
        protocol: int,
        *,
        groups: int,
        receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
        program: Sequence[tuple[int, int, int, int]] = (),
    ) -> None:
        flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, flags, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            # More than net.core.rmem_max needs CAP_NET_ADMIN, which a sandbox may have taken away.
            with contextlib.suppress(PermissionError):
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer_bytes)
            if program:
                code = array.array("B", b"".join(_INSTRUCTION.pack(*instruction) for instruction in program))
                address, _ = code.buffer_info()
                described = struct.pack("@HP", len(program), address)  # struct sock_fprog
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
            self._socket.bind((0, groups))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The socket's own address, which the kernel chose."""
        return int(self._socket.getsockname()[0])

    def close(self) -> None:
        self._socket.close()

    def ask(self, message: bytes) -> None:
        """Send a request to the kernel. Raises OSError."""
        self._socket.sendto(message, (0, 0))

    async def readable(self) -> None:
        """Wait until there is something to receive.

        The socket is watched only while somebody waits: one that is full and not read must not keep the loop busy.
        """
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._socket, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._socket)

    def waiting(self) -> Iterator[Datagram | Lost]:
        """Receive until nothing is left; does not wait. Raises OSError.

        ``Lost`` comes last: from the moment when the socket was full until it is empty the kernel drops all else that
        comes, and does not say so again. Who looks at everything then misses nothing.
        """
        lost = False
        while True:
            try:
                data, ancillary, flags, sender = self._socket.recvmsg(
                    _LARGEST_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size)
                )
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            if flags & socket.MSG_TRUNC:
                lost = True
                continue
            port, groups = sender
            yield Datagram(data, port, groups, vouched_user(ancillary))
        if lost:
            yield Lost()


def vouched_user(ancillary: Iterable[tuple[int, int, bytes]]) -> int | None:
    """Return the user whom the kernel vouches for, of what came beside a datagram (unix(7), SCM_CREDENTIALS)."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and len(data) >= _CREDENTIALS.size:
            _, user, _ = _CREDENTIALS.unpack_from(data)
            return int(user)
    return None
