"""Who is at the other end of a Unix socket, and who may ask: root, and whom the administrator named.

The kernel's own word (SO_PEERCRED, SO_PEERGROUPS: unix(7), socket(7)): as it was when the other end connected.
"""

import array
import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import Protocol

_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_SO_PEERGROUPS = 59  # asm-generic/socket.h; Python has no name for it
_GROUPS_BYTES = 1024  # as much as Python reads: 256 groups


class Options(Protocol):
    """The one method that is needed of a socket."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


@dataclass(frozen=True)
class Peer:
    """A process that connected."""

    process: int
    user: int
    groups: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Access:
    """Who may ask beside root: these users, and the members of this group, who may only look."""

    users: frozenset[int] = frozenset()
    group: int | None = None

    def allows(self, peer: Peer) -> bool:
        """Whether this peer gets an answer."""
        return peer.user == 0 or peer.user in self.users or (self.group is not None and self.group in peer.groups)

    def may_change(self, peer: Peer) -> bool:
        """Whether this peer may have the daemon do something: it opens what root has closed."""
        return peer.user == 0 or peer.user in self.users


def of(connection: Options) -> Peer:
    """Return who connected. Raises OSError where the kernel does not tell."""
    process, user, group = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    groups = array.array("I")
    with contextlib.suppress(OSError):  # then its first group alone counts
        groups.frombytes(connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES))
    return Peer(process, user, frozenset((group, *groups)))
