"""Where formats keep the bytes by which they are recognised.

A table, not a prober: `volward.host.blank` reads these places directly, besides asking libblkid, so that a
place which cannot be read is noticed (libblkid takes an unreadable place for an empty one). Offsets and magic
bytes: LUKS2 On-Disk Format Specification; UEFI specification 5.3 (GPT); md(4) and mdadm's md_p.h; OpenZFS
vdev_label.c; Linux ext4, btrfs and xfs on-disk headers; lvm2 label.h; mkswap(8). Owns no host commands.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

_MD_MAGIC = struct.pack("<I", 0xA92B4EFC)
_MD_MAGIC_BIG_ENDIAN = struct.pack(">I", 0xA92B4EFC)  # 0.90 superblocks are in the byte order of their host
_EXT_MAGIC_AT = 0x38
_EXT_MAGIC = b"\x53\xef"
_EXT_BACKUP_GROUPS = (1, 3, 5, 7, 9, 25, 27, 49)  # sparse_super: powers of 3, 5 and 7
_ZFS_LABEL_BYTES = 256 * KIB
_ZFS_RING_OFFSET = 128 * KIB
_ZFS_UBERBLOCK_STEP = KIB
_ZFS_UBERBLOCK_MAGICS = (struct.pack("<Q", 0x00BAB10C), struct.pack(">Q", 0x00BAB10C))
_XFS_BLOCK_BYTES = 4 * KIB


@dataclass(frozen=True)
class Place:
    """Bytes at ``offset_bytes`` from the start of the device that mean ``what``."""

    offset_bytes: int
    magic: bytes
    what: str


def places(size_bytes: int) -> tuple[Place, ...]:
    """List every place that lies wholly on a device of that size, without the ZFS labels' uberblocks."""
    return tuple(
        place
        for place in (*_fixed(), *_ext_backups(), *_from_the_end(size_bytes), *_xfs_groups(size_bytes))
        if place.offset_bytes >= 0 and place.offset_bytes + len(place.magic) <= size_bytes
    )


def _fixed() -> Iterator[Place]:
    yield Place(0, b"LUKS\xba\xbe\x00\x01", "LUKS1 header")
    yield Place(0, b"LUKS\xba\xbe\x00\x02", "LUKS2 header (primary)")
    for shift in range(9):
        yield Place(0x4000 << shift, b"SKUL\xba\xbe", "LUKS2 header (secondary)")
    yield Place(510, b"\x55\xaa", "MBR partition table or boot sector")
    for sector in (512, 4096):
        yield Place(sector, b"EFI PART", "GPT partition table")
    for sector_number in range(4):
        yield Place(sector_number * 512, b"LABELONE", "LVM physical volume")
    for offset, version in ((0, "1.1"), (4096, "1.2")):
        yield Place(offset, _MD_MAGIC, f"md array member ({version})")
    for number, offset in enumerate((64 * KIB, 64 * MIB, 256 * GIB)):
        yield Place(offset + 0x40, b"_BHRfS_M", "btrfs file system" + (" (backup superblock)" if number else ""))
    for page in (4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB):
        for magic in (b"SWAPSPACE2", b"SWAP-SPACE", b"S1SUSPEND\x00", b"S2SUSPEND\x00"):
            yield Place(page - 10, magic, "swap space")
    yield Place(KIB + _EXT_MAGIC_AT, _EXT_MAGIC, "ext file system")
    yield Place(0, b"XFSB", "xfs file system")


def _ext_backups() -> Iterator[Place]:
    """Yield the backup superblocks: a group has 8 x block size blocks; 1 KiB blocks start with block 1."""
    for block in (KIB, 2 * KIB, 4 * KIB, 64 * KIB):
        blocks_per_group = min(8 * block, 65528)  # ext4 caps a group at 65528 blocks
        for group in _EXT_BACKUP_GROUPS:
            start = group * blocks_per_group * block + (KIB if block == KIB else 0)
            yield Place(start + _EXT_MAGIC_AT, _EXT_MAGIC, "ext file system (backup superblock)")


def _from_the_end(size_bytes: int) -> Iterator[Place]:
    for sector in (512, 4096):
        yield Place(size_bytes // sector * sector - sector, b"EFI PART", "GPT partition table (backup)")
    for magic in (_MD_MAGIC, _MD_MAGIC_BIG_ENDIAN):
        yield Place(size_bytes // (64 * KIB) * (64 * KIB) - 64 * KIB, magic, "md array member (0.90)")
    yield Place((size_bytes // 512 - 16) // 8 * 8 * 512, _MD_MAGIC, "md array member (1.0)")


def _xfs_groups(size_bytes: int) -> Iterator[Place]:
    """Yield superblock copies where mkfs.xfs puts them by default: 4 groups, 8 to 32 on arrays, or 1 TiB groups."""
    blocks = size_bytes // _XFS_BLOCK_BYTES
    largest = TIB // _XFS_BLOCK_BYTES - 1
    for group_blocks in sorted({max(1, min(-(-blocks // count), largest)) for count in (4, 8, 16, 32)}):
        for group in (1, 2, 3):
            yield Place(group * group_blocks * _XFS_BLOCK_BYTES, b"XFSB", "xfs file system (copy of the superblock)")


def zfs_labels(size_bytes: int) -> tuple[int, ...]:
    """Return the offsets of the four ZFS labels (256 KiB each), as far as they lie on the device."""
    usable = size_bytes // _ZFS_LABEL_BYTES * _ZFS_LABEL_BYTES
    offsets = (0, _ZFS_LABEL_BYTES, usable - 2 * _ZFS_LABEL_BYTES, usable - _ZFS_LABEL_BYTES)
    return tuple(sorted({offset for offset in offsets if 0 <= offset <= size_bytes - _ZFS_LABEL_BYTES}))


def has_uberblock(label: bytes) -> bool:
    """Say whether a ZFS label's uberblock ring, its second half, carries an uberblock of either byte order."""
    return any(
        label[at : at + 8] in _ZFS_UBERBLOCK_MAGICS
        for at in range(_ZFS_RING_OFFSET, len(label) - 7, _ZFS_UBERBLOCK_STEP)
    )
