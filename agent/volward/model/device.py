"""A device as it was seen, what makes it this one, and whether anything is on it. Sizes and offsets are in bytes."""

from collections.abc import Mapping as ReadOnlyMapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

MIB = 1024 * 1024
LUKS2_HEADER_BYTES = 16 * MIB  # what a LUKS2 header with its keyslot area takes


class Presence(StrEnum):
    """Unknown is not absent."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class DeviceClass(StrEnum):
    DISK = "disk"
    PARTITION = "partition"
    LOGICAL_VOLUME = "logical-volume"
    MD = "md"
    MULTIPATH = "multipath"
    LOOP = "loop"
    FILE = "file"
    MAPPING = "mapping"  # any other device-mapper device


# Which fields of an identity count when it is compared; a field that was empty when pinned does not count.
IDENTITY_FIELDS: ReadOnlyMapping[DeviceClass, tuple[str, ...]] = MappingProxyType(
    {
        DeviceClass.DISK: ("serial", "wwn", "size_bytes"),
        # A partition of md, dm or loop has that device's identity in place of a serial.
        DeviceClass.PARTITION: ("serial", "wwn", "md_uuid", "dm_uuid", "path", "partition", "size_bytes"),
        DeviceClass.LOGICAL_VOLUME: ("dm_uuid", "size_bytes"),
        DeviceClass.MD: ("md_uuid", "size_bytes"),
        DeviceClass.MULTIPATH: ("dm_uuid", "size_bytes"),
        DeviceClass.LOOP: ("path", "size_bytes"),
        DeviceClass.FILE: ("path", "size_bytes"),
        DeviceClass.MAPPING: ("dm_uuid", "size_bytes"),
    }
)


@dataclass(frozen=True)
class Identity:
    """What makes a device this device, from sysfs (never from the link's name)."""

    device_class: DeviceClass
    size_bytes: int
    serial: str = ""
    wwn: str = ""
    partition: str = ""  # "number@start-sector" on the disk whose serial and wwn stand above
    dm_uuid: str = ""
    md_uuid: str = ""
    path: str = ""  # of a backing file

    def differences(self, pinned: "Identity") -> tuple[str, ...]:
        """Name the fields that count for the class and differ, as 'serial: pinned A, found B'."""
        if self.device_class is not pinned.device_class:
            return (f"class: pinned {pinned.device_class}, found {self.device_class}",)
        return tuple(
            f"{name}: pinned {getattr(pinned, name)}, found {getattr(self, name) or 'none'}"
            for name in IDENTITY_FIELDS[self.device_class]
            if getattr(pinned, name) and getattr(pinned, name) != getattr(self, name)
        )

    @property
    def typed_confirmation(self) -> str:
        """What an owner types to allow overwriting: the serial number or WWN; without one, size and path.

        Of a partition its number follows, since it shares the rest with its neighbours.
        """
        own = self.serial or self.wwn or f"{self.size_bytes} {self.path or self.dm_uuid or self.md_uuid}"
        return f"{own.strip()} {self.partition.partition('@')[0]}".strip()


@dataclass(frozen=True)
class Pin:
    """What was recorded at the first format (or by repin)."""

    identity: Identity
    luks_uuid: str  # of a scratch volume: its marker's UUID


@dataclass(frozen=True)
class Place:
    """Where the link of a volume leads."""

    node: Path  # /dev/vdb; for a file volume the file
    number: str  # "252:16"; "" for a file volume without a loop device


@dataclass(frozen=True)
class Device(Place):
    """The backing device behind a volume's link, as sysfs shows it."""

    identity: Identity
    physical_sector_bytes: int
    logical_sector_bytes: int
    read_only: bool = False
    holders: tuple[str, ...] = ()  # kernel names of devices on top, its partitions among them
    mounted_at: tuple[Path, ...] = ()
    swap: bool = False
    rotational: bool | None = None
    partitions: tuple[str, ...] = ()  # kernel names; by themselves they are content and no use

    @property
    def used_by(self) -> tuple[str, ...]:
        """What holds the device or one of its partitions."""
        return tuple(name for name in self.holders if name not in self.partitions)


@dataclass(frozen=True)
class Finding:
    """Something on a device that is not nothing."""

    what: str  # "ext4 file system", "LUKS2 header (secondary)", "data", "read error"
    offset_bytes: int

    def __str__(self) -> str:
        return f"{self.what} at byte {self.offset_bytes}"

    @property
    def left_by_luks_format(self) -> bool:
        """A luksFormat that was cut short leaves LUKS2 remains and noise in the header's area, no more.

        Noise begins at 4096: what comes before is zeros or has the magic of LUKS2 (LUKS2 specification 2.1).
        """
        if self.what == "data":
            return 4096 <= self.offset_bytes < LUKS2_HEADER_BYTES
        return self.what.startswith("LUKS") and "LUKS1" not in self.what and self.offset_bytes < LUKS2_HEADER_BYTES


@dataclass(frozen=True)
class BlankProbe:
    """Blank is a proof: PRESENT content, ABSENT content, or UNKNOWN because it could not be read."""

    content: Presence
    findings: tuple[Finding, ...] = ()
