"""What happens to block devices, as udev tells it once its work is done.

The kernel tells first (multicast group 1), and at that moment udev has not made the links in /dev/disk/by-id nor asked
the device for its serial number. So this listens to udev's own messages (group 2), which come after both, as
`udevadm monitor --udev` shows them. Without udev there are no links by which a configuration could name a device, and
nothing to listen to. udev's format is that of libudev (src/libsystemd/sd-device/device-monitor.c in systemd's source).

Group 2 is spoken by processes, not by the kernel: only what the kernel vouches to come from uid 0 is believed, and only
what was sent to the group.
"""

import asyncio
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from volward.service.netlink import RECEIVE_BUFFER_BYTES, Datagram, Lost, NetlinkSocket
from volward.service.pyroute import NETLINK_KOBJECT_UEVENT

__all__ = ["Action", "BlockEvent", "BlockEvents", "Lost", "parse"]

GROUP = 2  # of the multicast groups of NETLINK_KOBJECT_UEVENT, udev's
_PREFIX = b"libudev\x00"
_MAGIC = 0xFEEDCAFE
# The magic is in network order, the sizes are in the host's: header, offset and length of the properties.
_BIG = struct.Struct(">8sI")
_SIZES = struct.Struct("=III")
# udev puts a hash of the subsystem (MurmurHash2, network order) at byte 24, so that the kernel can pass over others.
# What has not udev's magic at byte 8 comes through, and is counted here.
_BLOCK = 0xF0031DB7
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
_PROGRAM = (
    (_LOAD, 0, 0, 8),
    (_EQUAL, 0, 2, _MAGIC),
    (_LOAD, 0, 0, 24),
    (_EQUAL, 0, 1, _BLOCK),
    (_RETURN, 0, 0, 0xFFFFFFFF),
    (_RETURN, 0, 0, 0),
)


class Action(StrEnum):
    """What the kernel may say of a device (lib/kobject_uevent.c)."""

    ADD = "add"
    REMOVE = "remove"
    CHANGE = "change"
    MOVE = "move"
    ONLINE = "online"
    OFFLINE = "offline"
    BIND = "bind"
    UNBIND = "unbind"


@dataclass(frozen=True, slots=True)
class BlockEvent:
    """One event of a block device. Texts are empty, and ``diskseq`` is 0, where the device has no such thing."""

    action: Action
    devname: Path
    devtype: str
    dm_uuid: str
    dm_name: str
    serial: str
    links: tuple[Path, ...]
    diskseq: int
    seqnum: int


class MalformedError(ValueError):
    """A datagram that is not as udev writes it."""


class BlockEvents:
    """The events from now on, an asynchronous iterator; ``Lost`` says that some are missing: look at everything.

    ``malformed`` counts datagrams that were not understood, ``strangers`` those of a sender who is not believed.
    Raises OSError when it is made.
    """

    def __init__(self, *, receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        self._socket = NetlinkSocket(
            NETLINK_KOBJECT_UEVENT, groups=GROUP, program=_PROGRAM, receive_buffer_bytes=receive_buffer_bytes
        )
        self._waiting = self._socket.waiting()
        self.malformed = 0
        self.strangers = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The address of its socket (nl_pid of netlink(7))."""
        return self._socket.port

    def close(self) -> None:
        self._socket.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BlockEvent | Lost:
        await asyncio.sleep(0)  # a flood of events does not keep everything else waiting
        while True:
            for received in self._waiting:
                event = received if isinstance(received, Lost) else self._believed(received)
                if event is not None:
                    return event
            await self._socket.readable()
            self._waiting = self._socket.waiting()

    def _believed(self, datagram: Datagram) -> BlockEvent | None:
        if datagram.user != 0 or datagram.groups != GROUP:
            self.strangers += 1
            return None
        try:
            return parse(datagram.data)
        except MalformedError:
            self.malformed += 1
            return None


def parse(data: bytes) -> BlockEvent | None:
    """Read one of udev's messages; None when it is not about a block device. Raises MalformedError."""
    properties = _properties(data)
    if properties.get("SUBSYSTEM") != "block":
        return None
    try:
        return BlockEvent(
            action=Action(properties["ACTION"]),
            devname=Path(properties["DEVNAME"]),
            devtype=properties.get("DEVTYPE", ""),
            dm_uuid=properties.get("DM_UUID", ""),
            dm_name=properties.get("DM_NAME", ""),
            serial=properties.get("ID_SERIAL_SHORT") or properties.get("ID_SERIAL", ""),
            links=tuple(Path(link) for link in properties.get("DEVLINKS", "").split()),
            diskseq=int(properties.get("DISKSEQ", "0")),
            seqnum=int(properties["SEQNUM"]),
        )
    except (KeyError, ValueError) as error:
        raise MalformedError(f"an event of a block device without a good {error}") from error


def _properties(data: bytes) -> dict[str, str]:
    if len(data) < _BIG.size + _SIZES.size:
        raise MalformedError("too short")
    prefix, magic = _BIG.unpack_from(data)
    _, offset, length = _SIZES.unpack_from(data, _BIG.size)
    if prefix != _PREFIX or magic != _MAGIC:
        raise MalformedError("not udev's")
    if offset < _BIG.size + _SIZES.size or offset + length > len(data):
        raise MalformedError("properties beyond the end")
    text = data[offset : offset + length].decode(errors="surrogateescape")
    return {name: value for name, equals, value in (line.partition("=") for line in text.split("\0")) if equals}
