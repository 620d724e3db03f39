"""Which block devices carry which LUKS UUID: one pass over the host, to notice clones and snapshots.

Reads the first 512 bytes of a header and no more. A device that is suspended, or stands on one that is, is passed
over: a read would hang until the re-encryption below it is settled. Owns no host commands.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from volward.host.identity import number, text

SYSFS = Path("/sys")
DEV = Path("/dev")

_MAGICS = ((0, b"LUKS\xba\xbe\x00\x02"), (0x4000, b"SKUL\xba\xbe\x00\x02"))
_UUID = slice(168, 208)  # LUKS2 On-Disk Format Specification, section 2.1
_NEVER = ("ram", "zram", "sr", "fd")  # kernel names


def by_uuid(*, sysfs: Path = SYSFS, dev: Path = DEV) -> dict[str, tuple[Path, ...]]:
    """Return the nodes of the block devices whose LUKS2 header (either copy) carries a UUID, by UUID.

    A device that another carrier is built on (a path of a multipath device, a mirror's half, the hidden part of
    a logical volume) is not listed beside it, nor is a second loop device on the same file: those are one
    device seen twice, and not a clone. Devices that cannot be read are passed over.
    """
    carriers: dict[str, dict[str, Path]] = {}
    for directory in _devices(sysfs):
        if directory.name.startswith(_NEVER) or text(directory / "hidden") == "1" or _would_hang(directory):
            continue
        if number(directory / "size") and (uuid := _uuid(_node(directory, dev))):
            carriers.setdefault(uuid, {})[directory.name] = directory
    return {uuid: tuple(_distinct(found, sysfs, dev)) for uuid, found in carriers.items()}


def _distinct(carriers: dict[str, Path], sysfs: Path, dev: Path) -> Iterator[Path]:
    files: set[str] = set()
    for directory in carriers.values():
        if len(carriers) > 1 and _all_holders(directory, sysfs) & set(carriers):
            continue
        backing_file = text(directory / "loop/backing_file")
        if backing_file in files:
            continue
        files |= {backing_file} - {""}
        yield _node(directory, dev)


def _devices(sysfs: Path) -> Iterator[Path]:
    for link in _listed(sysfs / "block"):
        directory = Path(os.path.realpath(link))
        yield directory
        for one in _listed(directory):
            if one.name.startswith(directory.name) and (one / "partition").exists():
                yield one


def _would_hang(directory: Path) -> bool:
    return text(directory / "dm/suspended") == "1" or any(
        _would_hang(Path(os.path.realpath(below))) for below in _listed(directory / "slaves")
    )


def _all_holders(directory: Path, sysfs: Path) -> set[str]:
    """Return the kernel names of everything that is built on a device, directly or not."""
    known: set[str] = set()
    waiting = [one.name for one in _listed(directory / "holders")]
    while waiting:
        name = waiting.pop()
        if name not in known:
            known.add(name)
            waiting += [one.name for one in _listed(sysfs / "block" / name / "holders")]
    return known


def _uuid(node: Path) -> str:
    """Return the UUID of the LUKS2 header at a node, from the primary or the usual secondary copy; "" without."""
    with contextlib.suppress(OSError):
        descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            for offset, magic in _MAGICS:
                binary = os.pread(descriptor, 512, offset)
                if binary.startswith(magic):
                    return binary[_UUID].partition(b"\0")[0].decode(errors="replace")
        finally:
            os.close(descriptor)
    return ""


def _node(directory: Path, dev: Path) -> Path:
    return dev / directory.name.replace("!", "/")  # sysfs writes cciss!c0d0 for cciss/c0d0


def _listed(directory: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(directory.iterdir())
    return []
