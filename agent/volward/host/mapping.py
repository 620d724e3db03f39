"""Device-mapper devices of volumes: what sysfs says of a name, the crypt tables, and the I/O counters.

Reads only. A name alone proves nothing: a mapping is a volume's when its dm UUID carries the LUKS UUID and its
backing device is the volume's, and that device still knows it (FAULTS: zombie mappings). Follows
Documentation/ABI/testing/sysfs-block-dm, Documentation/admin-guide/device-mapper/dm-crypt.rst and
Documentation/block/stat.rst of the Linux source. Uses the host command `dmsetup table`, once for all volumes.
"""

import contextlib
import os
from collections.abc import Mapping as ReadOnlyMapping
from dataclasses import dataclass
from pathlib import Path

from volward.host import loop, reencryption_lock, run
from volward.host.identity import attribute, text
from volward.model import Device, Mapping, MappingState, StoreKind, VolumeSpec

SYSFS = Path("/sys")
_SECTOR_BYTES = 512
_OWN_LAYERS = ("-hotzone-", "-overlay", "_dif")  # of cryptsetup, between NAME and its device


@dataclass(frozen=True)
class CryptTable:
    """The live table of a dm-crypt mapping: what the kernel does now, whatever the header says."""

    name: str
    cipher: str
    key_bits: int
    key_in_keyring: bool  # False: the key is in the table itself, and any root `dmsetup table --showkeys` prints it
    backing_number: str
    offset_bytes: int
    size_bytes: int
    flags: tuple[str, ...]  # "allow_discards", "sector_size:4096", "no_read_workqueue", ...


@dataclass(frozen=True)
class IoCounters:
    """Since the device came into being."""

    reads: int
    read_bytes: int
    writes: int
    written_bytes: int
    in_flight: int
    busy_milliseconds: int


def names(*, sysfs: Path = SYSFS) -> dict[str, str]:
    """Return the kernel name ("dm-3") of every mapping by its name. Raises OSError when sysfs is unreadable."""
    found: dict[str, str] = {}
    for kernel_name in os.listdir(sysfs / "block"):  # noqa: PTH208 (names alone)
        if kernel_name.startswith("dm-"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found[attribute(sysfs / "block" / kernel_name / "dm/name")] = kernel_name
    return found


def look(
    name: str,
    *,
    luks_uuid: str | None,
    backing_number: str | None,
    backing_file: Path | None = None,
    plain: bool = False,
    known: ReadOnlyMapping[str, str] | None = None,
    sysfs: Path = SYSFS,
) -> Mapping:
    """Describe the mapping of a name, and whether it is the volume's. Never raises.

    ``luks_uuid`` is the header's, None when the volume has none: then any mapping of the name is FOREIGN,
    unless ``plain`` asks for plain dm-crypt (a scratch volume). ``backing_number`` is the volume's device
    ("252:16"), ``backing_file`` the (resolved) file of a `file:` volume, whose mapping stands on a loop device;
    with neither, a mapping that is otherwise right is UNKNOWN. ``known`` is what ``names`` returned, for a
    caller that looks at many.
    """
    try:
        kernel_name = (names(sysfs=sysfs) if known is None else known).get(name)
        if kernel_name is None:
            return Mapping(name, MappingState.ABSENT)
        directory = sysfs / "block" / kernel_name
        return _Found(name, directory, sysfs).judge(luks_uuid, backing_number, backing_file, plain=plain)
    except FileNotFoundError:
        return Mapping(name, MappingState.ABSENT)  # closed while we looked
    except (OSError, ValueError) as error:
        return Mapping(name, MappingState.UNKNOWN, detail=f"The mapping {name} cannot be read from sysfs: {error}.")


def of_volume(
    spec: VolumeSpec,
    luks_uuid: str | None,
    device: Device | None,
    *,
    known: ReadOnlyMapping[str, str] | None = None,
) -> Mapping:
    """Describe the mapping of a volume on its device; the UUID is its header's, or the one pinned."""
    return look(
        spec.mapping_name,
        luks_uuid=luks_uuid,
        backing_number=device.number if device and not spec.is_file else None,
        backing_file=device.node if device and spec.is_file else None,
        plain=spec.store is StoreKind.SCRATCH,
        known=known,
    )


def disk_sequence(number: str, *, sysfs: Path = SYSFS) -> str:
    """Return the number that the kernel gave this very block device, and gives no other until the next boot.

    sysfs diskseq, Linux 5.15 or newer; "" without.
    """
    return text(sysfs / "dev/block" / number / "diskseq") if number else ""


@dataclass(frozen=True)
class _Backing:
    """A device below a mapping, and the kernel name of the mapping (or its layer) that stands on it directly."""

    directory: Path
    held_by: str


class _Found:
    """One mapping that has the name."""

    def __init__(self, name: str, directory: Path, sysfs: Path) -> None:
        self.name = name
        self.directory = directory
        self.sysfs = sysfs
        self.dm_uuid = attribute(directory / "dm/uuid")
        self.suspended = [name] if attribute(directory / "dm/suspended") == "1" else []  # and cryptsetup's own layers
        self.size_bytes = int(attribute(directory / "size")) * _SECTOR_BYTES
        self.number = attribute(directory / "dev")
        self.backing = self._leaves(directory)

    def judge(
        self, luks_uuid: str | None, backing_number: str | None, backing_file: Path | None, *, plain: bool
    ) -> Mapping:
        """Decide in this order: is its device alive, whose is it, can it be touched at all, is it the right one."""
        if not self.size_bytes or (not self.backing and self.dm_uuid.startswith("CRYPT-")):
            return self._is(MappingState.ZOMBIE, f"The mapping {self.name} has no table or no backing device any more.")
        if not self.backing:  # a table that needs no device: dm-zero, dm-error
            return self._is(
                MappingState.FOREIGN,
                f"A mapping {self.name} ({self.dm_uuid or 'no UUID'}) exists that stands on no device.",
            )
        dead = [one.directory.name for one in self.backing if not _alive(one)]
        if dead:
            return self._is(
                MappingState.ZOMBIE,
                f"The backing device {dead[0]} of the mapping {self.name} is gone (or is another device now).",
            )
        if luks_uuid is None and not plain:
            return self._is(
                MappingState.FOREIGN,
                f"A mapping {self.name} ({self.dm_uuid or 'no UUID'}) exists, though the volume has no LUKS header.",
            )
        expected = "CRYPT-PLAIN-" if plain else f"CRYPT-LUKS2-{(luks_uuid or '').replace('-', '')}-"
        if not self.dm_uuid.startswith(expected):
            return self._is(
                MappingState.FOREIGN,
                f"A mapping {self.name} exists and is not this volume: its UUID is {self.dm_uuid or 'empty'}, "
                f"not {expected}….",
            )
        if self.suspended and not reencryption_lock.held(luks_uuid or ""):
            return self._is(
                MappingState.SUSPENDED,
                f"The mapping {self.suspended[0]} is suspended, perhaps in the middle of a re-encryption: "
                "reboot the host, and never run `dmsetup resume`.",
            )
        if backing_number is None and backing_file is None:
            return self._is(
                MappingState.UNKNOWN,
                f"The mapping {self.name} is open, but the volume's own device could not be found to compare it with.",
            )
        return self._compare(backing_number, backing_file)

    def _compare(self, backing_number: str | None, backing_file: Path | None) -> Mapping:
        files = [text(one.directory / "loop/backing_file") for one in self.backing]
        for one, file in zip(self.backing, files, strict=True):
            on_file = backing_file is not None and loop.is_on(file, one.directory, backing_file)
            if on_file or (backing_number and text(one.directory / "dev") == backing_number):
                return self._is(MappingState.ACTIVE, "", one)
        there = ", ".join(file or one.directory.name for one, file in zip(self.backing, files, strict=True))
        return self._is(
            MappingState.FOREIGN,
            f"The mapping {self.name} stands on {there} and not on the volume's device "
            f"({backing_file or backing_number}).",
        )

    def _is(self, state: MappingState, detail: str, backing: _Backing | None = None) -> Mapping:
        first = backing or next(iter(self.backing), None)
        return Mapping(
            name=self.name,
            state=state,
            node=Path("/dev") / self.directory.name,
            number=self.number,
            dm_uuid=self.dm_uuid,
            backing_number=text(first.directory / "dev") if first else "",
            size_bytes=self.size_bytes,
            detail=detail,
        )

    def _leaves(self, directory: Path) -> list[_Backing]:
        """Return what is below, seen through cryptsetup's own layers (online re-encryption, integrity)."""
        leaves: list[_Backing] = []
        slaves = directory / "slaves"
        for link in sorted(slaves.iterdir()) if slaves.is_dir() else []:
            below = Path(os.path.realpath(link))
            name = text(below / "dm/name")
            if name.startswith(tuple(self.name + layer for layer in _OWN_LAYERS)):
                self.suspended += [name] if text(below / "dm/suspended") == "1" else []
                leaves += self._leaves(below)
            else:
                leaves.append(_Backing(below, directory.name))
        return leaves


def _alive(backing: _Backing) -> bool:
    """Say whether a backing device is there and still knows what stands on it.

    After a disk is pulled, its sysfs path can be taken by the next one that is plugged in; only the new disk's
    empty holders/ shows that the mapping is not on it.
    """
    try:
        size = int(attribute(backing.directory / "size"))
        return size > 0 and (backing.directory / "holders" / backing.held_by).is_symlink()
    except (OSError, ValueError):
        return False


def tables(*, sysfs: Path = SYSFS) -> dict[str, CryptTable]:
    """Return the crypt tables of the host by mapping name, without keys (dmsetup prints those only when asked).

    Starts no process when there is no mapping at all. Raises ToolMissingError, ToolFailedError, OSError.
    """
    if not any(one.name.startswith("dm-") for one in (sysfs / "block").iterdir()):
        return {}
    found: dict[str, CryptTable] = {}
    for line in run.read(["dmsetup", "table", "--target", "crypt"]).stdout.splitlines():
        table = _table(line)
        if table is not None:
            found.setdefault(table.name, table)
    return found


def _table(line: str) -> CryptTable | None:
    """Parse "NAME: START LENGTH crypt CIPHER KEY IV-OFFSET DEVICE OFFSET [COUNT OPTION...]"; None for others."""
    name, _, rest = line.partition(": ")
    words = rest.split()
    if len(words) < 8 or words[2] != "crypt":
        return None
    key = words[4]
    in_keyring = key.startswith(":")  # :SIZE:TYPE:DESCRIPTION, size in bytes
    size = key.split(":")[1] if in_keyring else ""
    try:
        return CryptTable(
            name=name,
            cipher=words[3],
            key_bits=(int(size) if in_keyring else len(key) // 2) * 8,
            key_in_keyring=in_keyring,
            backing_number=words[6],
            offset_bytes=int(words[7]) * _SECTOR_BYTES,
            size_bytes=int(words[1]) * _SECTOR_BYTES,
            flags=tuple(words[9:]),
        )
    except ValueError:
        return None


def io_counters(number: str, *, sysfs: Path = SYSFS) -> IoCounters | None:
    """Return the counters of a device ("252:0"); None when they cannot be read."""
    try:
        words = [int(word) for word in attribute(sysfs / "dev/block" / number / "stat").split()]
        return IoCounters(
            reads=words[0],
            read_bytes=words[2] * _SECTOR_BYTES,
            writes=words[4],
            written_bytes=words[6] * _SECTOR_BYTES,
            in_flight=words[8],
            busy_milliseconds=words[9],
        )
    except (OSError, ValueError, IndexError):
        return None
