"""Device-mapper devices of volumes: what sysfs says of a name.

Reads only. A name alone proves nothing: a mapping is a volume's when its dm UUID carries the LUKS UUID and its
backing device is the volume's, and that device still knows it (FAULTS: zombie mappings). Follows
Documentation/ABI/testing/sysfs-block-dm of the Linux source. Calls no host commands.
"""

import contextlib
import os
from collections.abc import Mapping as ReadOnlyMapping
from dataclasses import dataclass
from pathlib import Path

from volward.host import loop, reencryption_lock
from volward.host.identity import attribute, text
from volward.model import Mapping, MappingState, Place, StoreKind, VolumeSpec

SYSFS = Path("/sys")
DEV = Path("/dev")
_SECTOR_BYTES = 512
_OWN_LAYERS = ("-hotzone-", "-overlay", "_dif")  # of cryptsetup, between NAME and its device


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
    dev: Path = DEV,
) -> Mapping:
    """Describe the mapping of a name, and whether it is the volume's. Never raises.

    ``luks_uuid`` is the header's, None when the volume has none: then any mapping of the name is FOREIGN,
    unless ``plain`` asks for plain dm-crypt (a scratch volume). ``backing_number`` is the volume's device
    ("252:16"), ``backing_file`` the (resolved) file of a `file:` volume, whose mapping stands on a loop device;
    with neither, a mapping that is otherwise right is UNKNOWN. ``known`` is what ``names`` returned, for a
    caller that looks at many.
    """
    try:
        kernel_name = _kernel_name(name, sysfs, dev) if known is None else known.get(name)
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
    place: Place | None,
    *,
    known: ReadOnlyMapping[str, str] | None = None,
) -> Mapping:
    """Describe the mapping of a volume where its device is; the UUID is its header's, or the one pinned."""
    return look(
        spec.mapping_name,
        luks_uuid=luks_uuid,
        backing_number=place.number if place and not spec.is_file else None,
        backing_file=place.node if place and spec.is_file else None,
        plain=spec.store is StoreKind.SCRATCH,
        known=known,
    )


def disk_sequence(number: str, *, sysfs: Path = SYSFS) -> str:
    """Return the number that the kernel gave this very block device, and gives no other until the next boot.

    sysfs diskseq, Linux 5.15 or newer; "" without.
    """
    return text(sysfs / "dev/block" / number / "diskseq") if number else ""


def _kernel_name(name: str, sysfs: Path, dev: Path) -> str | None:
    """Return where a mapping is: as udev's link says, if sysfs says so too, else what a search finds."""
    with contextlib.suppress(OSError):
        said = (dev / "mapper" / name).readlink().name
        if text(sysfs / "block" / said / "dm/name") == name:
            return said
    return names(sysfs=sysfs).get(name)


@dataclass(frozen=True)
class _Backing:
    """A device below a mapping, and the kernel name of the mapping (or its layer) that stands on it directly."""

    directory: Path
    number: str
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
        for one in self.backing:
            on_file = backing_file is not None and loop.is_on(_file_below(one), one.directory, backing_file)
            if on_file or (backing_number and one.number == backing_number):
                return self._is(MappingState.ACTIVE, "", one)
        there = ", ".join(_file_below(one) or one.directory.name for one in self.backing)
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
            backing_number=first.number if first else "",
            size_bytes=self.size_bytes,
            detail=detail,
        )

    def _leaves(self, directory: Path) -> list[_Backing]:
        """Return what is below, seen through cryptsetup's own layers (online re-encryption, integrity)."""
        leaves: list[_Backing] = []
        slaves = directory / "slaves"
        for kernel_name in _listed(slaves):
            below = slaves / kernel_name
            name = text(below / "dm/name")
            if name.startswith(tuple(self.name + layer for layer in _OWN_LAYERS)):
                self.suspended += [name] if text(below / "dm/suspended") == "1" else []
                leaves += self._leaves(below)
            else:
                leaves.append(_Backing(below, text(below / "dev"), directory.name))
        return leaves


def _listed(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 (names alone)
    except FileNotFoundError:
        return []


def _file_below(backing: _Backing) -> str:
    return text(backing.directory / "loop/backing_file")


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
