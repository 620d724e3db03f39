"""udev's messages: what is read from them, whom they are believed from, and what happens when some are lost."""

import asyncio
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.service.namespace import Namespace

from volward.service import uevents
from volward.service.uevents import Action, BlockEvent, BlockEvents, Lost, MalformedError

# As systemd-udevd 252 sent it for a loop device.
_REAL_HEADER = bytes.fromhex("6c69627564657600feedcafe2800000028000000200100 00f0031db77bcbc5ee0200040010800000")
_REAL = (
    "UDEV_DATABASE_VERSION=1",
    "ACTION=change",
    "DEVPATH=/devices/virtual/block/loop3",
    "SUBSYSTEM=block",
    "SYNTH_UUID=0",
    "DEVNAME=/dev/loop3",
    "DEVTYPE=disk",
    "DISKSEQ=4",
    "SEQNUM=988",
    "MAJOR=7",
    "MINOR=3",
    "USEC_INITIALIZED=63151353808",
    "DEVLINKS=/dev/disk/by-diskseq/4",
    "TAGS=:systemd:",
    "CURRENT_TAGS=:systemd:",
    "SYSTEMD_READY=0",
)
_REAL_EVENT = BlockEvent(
    action=Action.CHANGE,
    devname=Path("/dev/loop3"),
    devtype="disk",
    dm_uuid="",
    dm_name="",
    serial="",
    links=(Path("/dev/disk/by-diskseq/4"),),
    diskseq=4,
    seqnum=988,
)
_DISK = {
    "ACTION": "add",
    "SUBSYSTEM": "block",
    "DEVNAME": "/dev/vdb",
    "DEVTYPE": "disk",
    "DEVLINKS": "/dev/disk/by-id/virtio-a /dev/disk/by-path/b",
    "ID_SERIAL": "QEMU_a",
    "ID_SERIAL_SHORT": "a",
    "DISKSEQ": "11",
    "SEQNUM": "2001",
}
_BLOCK_HASH = 0xF0031DB7
_NET_HASH = 0x34B7B11E


def _message(
    properties: Mapping[str, str], *, magic: int = 0xFEEDCAFE, offset: int = 40, subsystem: int = _BLOCK_HASH
) -> bytes:
    text = "".join(f"{name}={value}\0" for name, value in properties.items()).encode()
    sizes = struct.pack("=III", 40, offset, len(text))
    return b"libudev\0" + struct.pack(">I", magic) + sizes + struct.pack(">IIII", subsystem, 0, 0, 0) + text


def _without(name: str) -> dict[str, str]:
    return {key: value for key, value in _DISK.items() if key != name}


def test_a_message_of_udev() -> None:
    data = _REAL_HEADER + "".join(f"{line}\0" for line in _REAL).encode()
    assert uevents.parse(data) == _REAL_EVENT


def test_a_disk_with_its_serial_number_and_links() -> None:
    event = uevents.parse(_message(_DISK))
    assert event is not None
    assert (event.action, event.serial, event.diskseq) == (Action.ADD, "a", 11)
    assert event.links == (Path("/dev/disk/by-id/virtio-a"), Path("/dev/disk/by-path/b"))

    without = uevents.parse(_message(_without("ID_SERIAL_SHORT")))
    assert without is not None
    assert without.serial == "QEMU_a"


def test_a_mapping() -> None:
    mapping = {**_without("ID_SERIAL"), "DM_UUID": "CRYPT-LUKS2-ab-volward-pg", "DM_NAME": "volward-pg"}
    event = uevents.parse(_message(mapping))
    assert event is not None
    assert (event.dm_uuid, event.dm_name) == ("CRYPT-LUKS2-ab-volward-pg", "volward-pg")


def test_other_devices_are_passed_over() -> None:
    assert uevents.parse(_message({**_DISK, "SUBSYSTEM": "net"})) is None
    assert uevents.parse(_message(_without("SUBSYSTEM"))) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(_message(_DISK)[:23], id="shorter than a header"),
        pytest.param(b"add@/devices/virtual/block/loop3\0ACTION=add\0SUBSYSTEM=block\0", id="the kernel's own"),
        pytest.param(_message(_DISK, magic=0xCAFEFEED), id="another magic"),
        pytest.param(_message(_DISK)[:-1], id="cut"),
        pytest.param(_message(_DISK, offset=4), id="properties in the header"),
        pytest.param(_message(_DISK, offset=2**32 - 1), id="properties nowhere"),
        *[pytest.param(_message(_without(name)), id=f"no {name}") for name in ("ACTION", "DEVNAME", "SEQNUM")],
        pytest.param(_message({**_DISK, "ACTION": "explode"}), id="an action that is none"),
        pytest.param(_message({**_DISK, "DISKSEQ": "x"}), id="a number that is none"),
    ],
)
def test_what_is_malformed_is_said_to_be(data: bytes) -> None:
    with pytest.raises(MalformedError):
        uevents.parse(data)


def test_events_come_as_udev_sends_them(namespace: Namespace) -> None:
    async def listen() -> list[BlockEvent | Lost]:
        with namespace.call(BlockEvents) as events:
            namespace.send(_message(_DISK), groups=2)
            namespace.send(_message({**_DISK, "ACTION": "remove"}), groups=2)
            return [await anext(events), await anext(events)]

    assert [event.action for event in asyncio.run(listen()) if isinstance(event, BlockEvent)] == ["add", "remove"]


def test_an_event_is_waited_for(namespace: Namespace) -> None:
    async def listen() -> BlockEvent | Lost:
        with namespace.call(BlockEvents) as events:
            asyncio.get_running_loop().call_later(0.01, lambda: namespace.send(_message(_DISK), groups=2))
            async for event in events:
                return event
        raise AssertionError("the events ended")

    assert isinstance(asyncio.run(listen()), BlockEvent)


def test_only_udev_is_believed_and_what_is_not_understood_is_counted(namespace: Namespace) -> None:
    async def listen() -> tuple[BlockEvent | Lost, int, int]:
        with namespace.call(BlockEvents) as events:
            port = events.port
            lie = _message({**_DISK, "DEVNAME": "/dev/lie"})
            namespace.send(lie, groups=2, user=65534)  # somebody who may send there, and is not root
            namespace.send(lie, groups=0, port=port)  # root, but not to the group: not udev's way
            namespace.send(_message(_DISK, magic=1), groups=2)
            namespace.send(_message(_without("SEQNUM")), groups=2)
            namespace.send(_message({**_DISK, "SUBSYSTEM": "net"}), groups=2)  # against its hash
            namespace.send(_message({}, subsystem=_NET_HASH), groups=2)  # the kernel passes it over
            namespace.send(_message(_DISK), groups=2)
            return await anext(events), events.strangers, events.malformed

    event, strangers, malformed = asyncio.run(listen())
    assert isinstance(event, BlockEvent)
    assert event.devname == Path("/dev/vdb")
    assert (strangers, malformed) == (2, 2)


def test_lost_events_are_told_of_after_those_that_came(namespace: Namespace) -> None:
    async def listen() -> tuple[list[BlockEvent | Lost], BlockEvent | Lost]:
        with namespace.call(lambda: BlockEvents(receive_buffer_bytes=1)) as events:
            for _ in range(100):
                namespace.send(_message(_DISK), groups=2)
            seen = [await anext(events)]
            while not isinstance(seen[-1], Lost):
                seen.append(await anext(events))
            namespace.send(_message({**_DISK, "ACTION": "remove"}), groups=2)
            return seen, await anext(events)

    seen, after = asyncio.run(listen())
    assert 1 < len(seen) < 100
    assert isinstance(after, BlockEvent)
    assert after.action is Action.REMOVE


def test_an_event_larger_than_any_of_udev_is_a_lost_one(namespace: Namespace) -> None:
    async def listen() -> BlockEvent | Lost:
        with namespace.call(BlockEvents) as events:
            namespace.send(_message({**_DISK, "ID_MODEL": "x" * 70_000}), groups=2)
            return await anext(events)

    assert asyncio.run(listen()) == Lost()
