"""What of the kernel's route messages is a change of the network, and what is noise."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.service.namespace import Namespace

from volward.service.netlink import Datagram, Lost
from volward.service.pyroute import rtnl
from volward.service.routes import Change, Known, NetworkChanged, NetworkChanges, messages

_RUNNING = 0x1 | 0x40
_LOOPBACK = 1
_UPLINK = 2


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def _link(
    index: int = _UPLINK, *, flags: int = _RUNNING, family: int = 0, master: int = 0, kind: int = rtnl.RTM_NEWLINK
) -> bytes:
    attributes = _number(10, master) if master else b""
    return _message(kind, struct.pack("=BxHiII", family, 1, index, flags, 0) + attributes)


def _address(
    last: int = 1, *, index: int = _UPLINK, flags: int = 0x80, scope: int = 0, kind: int = rtnl.RTM_NEWADDR
) -> bytes:
    body = struct.pack("=BBBBI", 2, 24, flags & 0xFF, scope, index)
    address = bytes((192, 0, 2, last))
    return _message(kind, body + _attribute(1, address) + _attribute(2, address) + _number(8, flags))


def _route(
    destination: str = "198.51.100.0",
    *,
    table: int = 254,
    route_type: int = 1,
    flags: int = 0,
    index: int = _UPLINK,
    kind: int = rtnl.RTM_NEWROUTE,
) -> bytes:
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    body = struct.pack("=BBBBBBBBI", family, 24, 0, 0, min(table, 252), 3, 0, route_type, flags)
    return _message(
        kind, body + _attribute(1, socket.inet_pton(family, destination)) + _number(15, table) + _number(4, index)
    )


def _changes(*told: bytes) -> list[Change | None]:
    known = Known()
    known.note(*next(messages(_link(_LOOPBACK, flags=_RUNNING | 0x8))))
    return [known.note(kind, message) for data in told for kind, message in messages(data)]


@pytest.mark.parametrize(
    ("told", "changes"),
    [
        pytest.param([_link()], [Change.LINK], id="a link comes up"),
        pytest.param([_link(), _link()], [Change.LINK, None], id="and is told of again"),
        pytest.param([_link(), _link(flags=1)], [Change.LINK, Change.LINK], id="its cable is pulled"),
        pytest.param([_link(), _link(kind=rtnl.RTM_DELLINK)], [Change.LINK, Change.LINK], id="it is taken away"),
        pytest.param([_link(flags=0), _link(flags=0, kind=rtnl.RTM_DELLINK)], [None, None], id="it never came up"),
        pytest.param([_link(master=9)], [None], id="a port of a bridge"),
        pytest.param([_link(), _link(master=9), _link()], [Change.LINK, None, Change.LINK], id="it leaves the bridge"),
        pytest.param([_link(family=7)], [None], id="a bridge tells of its port"),
        pytest.param([_link(_LOOPBACK, flags=0x8)], [None], id="loopback goes down"),
        pytest.param([_address()], [Change.ADDRESS], id="an address"),
        pytest.param([_address(), _address()], [Change.ADDRESS, None], id="its lease is renewed"),
        pytest.param([_address(1), _address(2)], [Change.ADDRESS, Change.ADDRESS], id="another one"),
        pytest.param([_address(flags=0xC0), _address()], [None, Change.ADDRESS], id="it is tentative first"),
        pytest.param([_address(flags=0x88)], [None], id="it is a duplicate"),
        pytest.param([_address(), _address(kind=rtnl.RTM_DELADDR)], [Change.ADDRESS, Change.ADDRESS], id="it goes"),
        pytest.param([_address(kind=rtnl.RTM_DELADDR)], [None], id="one goes that was never usable"),
        pytest.param([_address(scope=253)], [None], id="an address of one link"),
        pytest.param([_address(index=_LOOPBACK)], [None], id="an address of loopback"),
        pytest.param([_route()], [Change.ROUTE], id="a route"),
        pytest.param([_route(kind=rtnl.RTM_DELROUTE)], [Change.ROUTE], id="a route goes"),
        pytest.param([_route(table=1000)], [Change.ROUTE], id="a route of a policy's table"),
        pytest.param([_route("2001:db8::")], [Change.ROUTE], id="a route of IPv6"),
        pytest.param([_route(table=255)], [None], id="the table of this host's addresses"),
        *[pytest.param([_route(route_type=kind)], [None], id=f"a route of type {kind}") for kind in (2, 3, 4, 5)],
        pytest.param([_route(flags=0x200)], [None], id="a cached route"),
        pytest.param([_route(index=_LOOPBACK)], [None], id="a route by loopback"),
        pytest.param([_route("fe80::")], [None], id="a route of one link"),
        pytest.param([_route("ff00::")], [None], id="multicast"),
        pytest.param([_link() + _route()], [Change.LINK, Change.ROUTE], id="two messages in one datagram"),
        pytest.param([_message(rtnl.RTM_NEWNEIGH, bytes(12))], [], id="a neighbour"),
    ],
)
def test_changes_and_noise(told: list[bytes], changes: list[Change | None]) -> None:
    assert _changes(*told) == changes


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_route()[:-1], id="cut"),
        pytest.param(bytes(16), id="without a length"),
        pytest.param(_message(rtnl.RTM_NEWROUTE, b"\2"), id="shorter than a route"),
    ],
)
def test_what_is_malformed_is_passed_over(data: bytes) -> None:
    assert list(messages(data)) == []


def _listen(
    namespace: Namespace, scene: Callable[[NetworkChanges], Awaitable[NetworkChanged]], buffer_bytes: int = 1 << 20
) -> NetworkChanged:
    async def listen() -> NetworkChanged:
        with namespace.call(lambda: NetworkChanges(settle_seconds=0.01, receive_buffer_bytes=buffer_bytes)) as changes:
            return await asyncio.wait_for(scene(changes), 30)

    return asyncio.run(listen())


async def _cable(namespace: Namespace, changes: NetworkChanges) -> None:
    """Make a link that has come up, with an address, and wait until that is over."""
    namespace.ip("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up")
    up: frozenset[Change] = frozenset()
    async for change in changes:
        up = change.what
        if len(changes.running_links) == 2:
            break
    assert Change.LINK in up
    namespace.ip("address add 192.0.2.1/24 dev v0")
    addressed: set[Change] = set()
    while addressed < {Change.ADDRESS, Change.ROUTE}:
        addressed |= (await anext(changes)).what


def test_a_route_comes_through_and_the_noise_before_it_does_not(namespace: Namespace) -> None:
    async def scene(changes: NetworkChanges) -> NetworkChanged:
        await _cable(namespace, changes)
        namespace.ip(
            "link set lo up",
            "address add 203.0.113.1/32 dev lo",
            "address replace 192.0.2.1/24 dev v0",
            "neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev v0",
            "link set v0 mtu 1400",
            "link add br0 type bridge",
            "route add 198.51.100.0/24 via 192.0.2.2",
        )
        return await anext(changes)

    assert _listen(namespace, scene) == NetworkChanged(frozenset({Change.ROUTE}))


def test_a_pulled_cable_is_a_change_of_the_link(namespace: Namespace) -> None:
    async def scene(changes: NetworkChanges) -> NetworkChanged:
        await _cable(namespace, changes)
        namespace.ip("link set v1 down")
        return await anext(changes)

    assert Change.LINK in _listen(namespace, scene).what


def test_what_was_there_before_is_no_change(namespace: Namespace) -> None:
    namespace.ip("link set lo up", "link add br0 type bridge", "address add 192.0.2.1/24 dev br0")

    async def scene(changes: NetworkChanges) -> NetworkChanged:
        namespace.ip("address replace 192.0.2.1/24 dev br0", "address add 192.0.2.7/24 dev br0")
        return await anext(changes)

    assert _listen(namespace, scene) == NetworkChanged(frozenset({Change.ADDRESS}))


def test_a_change_is_waited_for(namespace: Namespace) -> None:
    async def scene(changes: NetworkChanges) -> NetworkChanged:
        asyncio.get_running_loop().call_later(0.01, namespace.ip, "link add br0 type bridge", "link set br0 up")
        return await anext(changes)

    assert _listen(namespace, scene).what == {Change.LINK}


def test_lost_messages_may_have_been_anything(namespace: Namespace) -> None:
    async def scene(changes: NetworkChanges) -> NetworkChanged:
        namespace.ip(*["link set lo up", "link set lo down"] * 10, "link add br0 type bridge")
        lost = await anext(changes)
        namespace.ip("address add 192.0.2.1/24 dev br0")
        assert (await anext(changes)).what == {Change.ADDRESS}
        return lost

    assert _listen(namespace, scene, buffer_bytes=1).lost


def test_only_the_kernel_is_believed() -> None:
    known = Known()
    assert known.take([Datagram(_route(), port=4711, groups=0x40, user=0)]) == set()
    assert known.take([Datagram(_route(), port=0, groups=0x40, user=0), Lost()]) == {Change.ROUTE, None}
