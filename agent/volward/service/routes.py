"""Whether something has changed in this host's network that may make an unreachable key store reachable.

Listens to the kernel's route socket (rtnetlink(7)) and tells of links that came up or went down, of addresses that
became usable or went, and of routes. It is meant to be open only while somebody waits for the network.

What is told again without a change is no change: router advertisements and lease renewals repeat an address, wireless
scans repeat a link. Passed over besides: loopback; a link that is a port of another one (the bridge or bond speaks for
it, so that the starts of containers are mostly quiet; a link in a VRF is passed over, too); addresses and routes of one
link alone; multicast; neighbours.
"""

import asyncio
import contextlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from socket import AF_UNSPEC
from types import TracebackType
from typing import Any, ClassVar, Self

from volward.service.netlink import RECEIVE_BUFFER_BYTES, Datagram, Lost, NetlinkSocket
from volward.service.pyroute import (
    NETLINK_ROUTE,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NetlinkDecodeError,
    ifaddrmsg,
    nlmsg,
    rtmsg,
    rtnl,
)

__all__ = ["Change", "NetworkChanged", "NetworkChanges"]

_GROUPS = (
    rtnl.RTMGRP_LINK
    | rtnl.RTMGRP_IPV4_IFADDR
    | rtnl.RTMGRP_IPV4_ROUTE
    | rtnl.RTMGRP_IPV6_IFADDR
    | rtnl.RTMGRP_IPV6_ROUTE
)
_SETTLE_SECONDS = 1.0  # a link that comes up brings addresses and routes with it
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
# netdevice(7), if_addr.h, rtnetlink(7)
_IFF_LOOPBACK = 0x8
_IFF_RUNNING = 0x40
_IFA_UNUSABLE = 0x40 | 0x08  # tentative, or found to be a duplicate
_RT_SCOPE_SITE = 200  # and above it only what is of one link or of this host
_RT_TABLE_LOCAL = 255
_RTM_F_CLONED = 0x200
_RTN_OF_THIS_HOST = (2, 3, 4, 5)  # local, broadcast, anycast, multicast
_OF_THIS_LINK = ("fe8", "fe9", "fea", "feb", "ff")  # fe80::/10, ff00::/8


class Change(StrEnum):
    LINK = "link"
    ADDRESS = "address"
    ROUTE = "route"


@dataclass(frozen=True, slots=True)
class NetworkChanged:
    """What has changed since the last one; ``lost`` means that it could not be followed, and may be anything."""

    what: frozenset[Change]
    lost: bool = False


class _Link(nlmsg):  # type: ignore[misc]  # pyroute2 has no types
    """struct ifinfomsg and the one attribute that matters; pyroute2's own loads a class for each kind of link."""

    prefix = "IFLA_"
    fields = (
        ("family", "B"),
        ("__align", "x"),
        ("ifi_type", "H"),
        ("index", "i"),
        ("flags", "I"),
        ("change", "I"),
    )
    nla_map: ClassVar = ((10, "IFLA_MASTER", "uint32"),)


# Of each question, what follows its header is zero: no family, link or flag in particular.
_QUESTIONS = ((rtnl.RTM_GETLINK, 16), (rtnl.RTM_GETADDR, 8))
_CLASSES = {
    rtnl.RTM_NEWLINK: _Link,
    rtnl.RTM_DELLINK: _Link,
    rtnl.RTM_NEWADDR: ifaddrmsg,
    rtnl.RTM_DELADDR: ifaddrmsg,
    rtnl.RTM_NEWROUTE: rtmsg,
    rtnl.RTM_DELROUTE: rtmsg,
}


def messages(data: bytes) -> Iterator[tuple[int, Any]]:
    """Split a datagram into those of its messages that matter; what is not understood is passed over."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        part = data[offset : offset + length]
        offset += length + -length % 4
        if kind in _CLASSES:
            message = _CLASSES[kind](part)
            try:
                message.decode()
            except (NetlinkDecodeError, struct.error):
                continue
            yield kind, message


class Known:
    """What is known of the network: enough to tell a change from a repetition."""

    def __init__(self) -> None:
        self.loopback: set[int] = set()
        self.running: set[int] = set()
        self.addresses: set[tuple[object, ...]] = set()

    def take(self, received: Iterable[Datagram | Lost]) -> set[Change | None]:
        """Take in what was received; None among the changes means that messages were lost."""
        found: set[Change | None] = set()
        for one in received:
            if isinstance(one, Lost):
                found.add(None)
            elif one.port == 0:  # only the kernel is believed
                changes = (self.note(kind, message) for kind, message in messages(one.data))
                found.update(change for change in changes if change is not None)
        return found

    def note(self, kind: int, message: Any) -> Change | None:
        """Take in one message of the kernel; return what has changed by it."""
        if kind in (rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK):
            return Change.LINK if self._link(message, there=kind == rtnl.RTM_NEWLINK) else None
        if kind in (rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR):
            return Change.ADDRESS if self._address(message, there=kind == rtnl.RTM_NEWADDR) else None
        return Change.ROUTE if self._counts(message) else None

    def _link(self, message: Any, *, there: bool) -> bool:
        if message["flags"] & _IFF_LOOPBACK:
            self.loopback.add(message["index"])
            return False
        if message["family"] != AF_UNSPEC:  # a bridge tells about its port
            return False
        if message.get_attr("IFLA_MASTER"):
            self.running.discard(message["index"])
            return False
        return _changed(self.running, message["index"], there=there and bool(message["flags"] & _IFF_RUNNING))

    def _address(self, message: Any, *, there: bool) -> bool:
        if message["index"] in self.loopback or message["scope"] > _RT_SCOPE_SITE:
            return False
        flags = message.get_attr("IFA_FLAGS") or message["flags"]
        address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        which = (message["index"], message["prefixlen"], address)
        return _changed(self.addresses, which, there=there and not flags & _IFA_UNUSABLE)

    def _counts(self, message: Any) -> bool:
        table = message.get_attr("RTA_TABLE") or message["table"]
        return not (
            table == _RT_TABLE_LOCAL
            or message["type"] in _RTN_OF_THIS_HOST
            or message["flags"] & _RTM_F_CLONED
            or message.get_attr("RTA_OIF") in self.loopback
            or str(message.get_attr("RTA_DST") or "").startswith(_OF_THIS_LINK)
        )


def _changed(known: set[Any], one: object, *, there: bool) -> bool:
    """Put it into the set, or take it out; return whether that changed the set."""
    if there == (one in known):
        return False
    (known.add if there else known.discard)(one)
    return True


class NetworkChanges:
    """The changes from now on, an asynchronous iterator. Raises OSError when it is made.

    One is told a second after it began, with all that followed meanwhile.
    """

    def __init__(
        self, *, settle_seconds: float = _SETTLE_SECONDS, receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES
    ) -> None:
        self._socket = NetlinkSocket(NETLINK_ROUTE, groups=_GROUPS, receive_buffer_bytes=receive_buffer_bytes)
        self._settle_seconds = settle_seconds
        self._known = Known()
        with contextlib.ExitStack() as unless_learned:
            unless_learned.enter_context(self._socket)
            self._learn()
            unless_learned.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def running_links(self) -> frozenset[int]:
        """The links (by their index) that are up and have a carrier, as far as was told."""
        return frozenset(self._known.running)

    def close(self) -> None:
        self._socket.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> NetworkChanged:
        while not (first := self._known.take(self._socket.waiting())):
            await self._socket.readable()
        await asyncio.sleep(self._settle_seconds)
        found = first | self._known.take(self._socket.waiting())
        if lost := None in found:
            self._known = Known()
            self._learn()
        return NetworkChanged(frozenset(change for change in found if change is not None), lost=lost)

    def _learn(self) -> None:
        """Ask for the links, then the addresses, that are there now. Raises OSError.

        The kernel fills the socket while it is asked and read, so that there is nothing to wait for.
        """
        for kind, size in _QUESTIONS:
            length = _HEADER.size + size
            self._socket.ask(_HEADER.pack(length, kind, NLM_F_REQUEST | NLM_F_DUMP, 0, 0) + bytes(size))
            self._known.take(self._socket.waiting())
