"""Which block devices carry which LUKS UUID: one pass over the host, to notice clones and snapshots.

Reads the first 512 bytes of a header and no more. A device that is suspended, or stands on one that is, is passed
over: a read would hang until the re-encryption below it is settled. Owns no host commands.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from volward.host.identity import text

SYSFS = Path("/sys")
DEV = Path("/dev")

_MAGICS = ((0, b"LUKS\xba\xbe\x00\x02"), (0x4000, b"SKUL\xba\xbe\x00\x02"))
_UUID = slice(168, 208)  # LUKS2 On-Disk Format Specification, section 2.1
_NEVER = ("ram", "zram", "sr", "fd")  # kernel names


def by_uuid(*, sysfs: Path = SYSFS, dev: Path = DEV) -> dict[str, tuple[Path, ...]]:
    """Return the nodes of the block devices whose LUKS2 header (either copy) carries a UUID, by UUID.

    A device that another carrier is built on (a path of a multipath device, a mirror's half, the hidden part of
    a logical volume) is not listed beside it, nor is a second loop device on the same file: those are one
    device seen twice, and not a clone. Devices that cannot be read, or have no node, are passed over.
    """
    blocks = f"{sysfs}/class/block"  # disks and partitions alike; texts, since a host may have hundreds
    carriers: dict[str, list[str]] = {}
    for name in _listed(blocks):
        if name.startswith(_NEVER) or _would_hang(blocks, name):
            continue
        if uuid := _uuid(_node(dev, name)):
            carriers.setdefault(uuid, []).append(name)
    return {
        uuid: tuple(Path(_node(dev, name)) for name in _distinct(blocks, names)) for uuid, names in carriers.items()
    }


def _distinct(blocks: str, carriers: list[str]) -> Iterator[str]:
    files: set[str] = set()
    for name in carriers:
        if len(carriers) > 1 and _all_holders(blocks, name) & set(carriers):
            continue
        backing_file = text(Path(f"{blocks}/{name}/loop/backing_file"))
        if backing_file in files:
            continue
        files |= {backing_file} - {""}
        yield name


def _would_hang(blocks: str, name: str) -> bool:
    """Only device-mapper and md devices stand on others."""
    if not name.startswith(("dm-", "md")):
        return False
    return text(Path(f"{blocks}/{name}/dm/suspended")) == "1" or any(
        _would_hang(blocks, below) for below in _listed(f"{blocks}/{name}/slaves")
    )


def _all_holders(blocks: str, name: str) -> set[str]:
    """Return the kernel names of everything that is built on a device, directly or not."""
    known: set[str] = set()
    waiting = _listed(f"{blocks}/{name}/holders")
    while waiting:
        holder = waiting.pop()
        if holder not in known:
            known.add(holder)
            waiting += _listed(f"{blocks}/{holder}/holders")
    return known


def _node(dev: Path, name: str) -> str:
    return f"{dev}/{name.replace('!', '/')}"  # sysfs writes cciss!c0d0 for cciss/c0d0


def _listed(directory: str) -> list[str]:
    with contextlib.suppress(OSError):
        return sorted(os.listdir(directory))  # noqa: PTH208 (names are all that is looked at)
    return []


def _uuid(node: str) -> str:
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
