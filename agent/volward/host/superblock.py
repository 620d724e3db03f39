"""What the superblock of an open mapping says: type and UUID of ext4, xfs and swap, without a child process.

For looking only. Before a file system is made, `file_system.identify` asks libblkid, which knows far more kinds.
Follows Documentation/filesystems/ext4/super.rst, the XFS Filesystem Structure guide (xfs_sb) and
include/linux/swap.h of the Linux source. Owns no host commands.
"""

import os
import uuid
from pathlib import Path

_BYTES = 8192  # covers all three
_EXT_AT = 1024
_EXT_MAGIC = slice(_EXT_AT + 0x38, _EXT_AT + 0x3A)
_EXT_INCOMPATIBLE = slice(_EXT_AT + 0x60, _EXT_AT + 0x64)
_EXT_UUID = slice(_EXT_AT + 0x68, _EXT_AT + 0x78)
_EXT4_ONLY = 0x40 | 0x80 | 0x200  # extents, 64bit, flex_bg: what makes it ext4 and not ext2 or ext3
_EXT_MOUNTED_AT = slice(_EXT_AT + 0x2C, _EXT_AT + 0x30)
_EXT_MOUNTS = slice(_EXT_AT + 0x34, _EXT_AT + 0x36)
_XFS_UUID = slice(32, 48)
_XFS_IN_PROGRESS = 126
_SWAP_MAGIC = slice(4096 - 10, 4096)
_SWAP_UUID = slice(1024 + 12, 1024 + 28)


def read(node: Path) -> tuple[str, str]:
    """Return type and UUID; ("", "") for anything else, ("unknown", "") when it cannot be read. Never raises."""
    try:
        descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            content = os.pread(descriptor, _BYTES, 0)
        finally:
            os.close(descriptor)
    except OSError:
        return "unknown", ""
    if len(content) < _BYTES:
        return "unknown", ""
    return _recognise(content)


def may_hold_data(node: Path) -> bool:
    """Say whether a file system could have been written to since its maker began; True when it is not known.

    ext4 counts its mounts. xfs says as long as its maker is at work that it is in progress.
    """
    try:
        with node.open("rb", buffering=0) as device:
            content = device.read(_BYTES)
    except OSError:
        return True
    match _recognise(content)[0] if len(content) == _BYTES else "":
        case "ext4":
            return any(content[_EXT_MOUNTED_AT]) or any(content[_EXT_MOUNTS])
        case "xfs":
            return content[_XFS_IN_PROGRESS] == 0
    return True


def _recognise(content: bytes) -> tuple[str, str]:
    if content.startswith(b"XFSB"):
        return "xfs", _uuid(content[_XFS_UUID])
    if content[_SWAP_MAGIC] == b"SWAPSPACE2":
        return "swap", _uuid(content[_SWAP_UUID])
    if content[_EXT_MAGIC] == b"\x53\xef":
        incompatible = int.from_bytes(content[_EXT_INCOMPATIBLE], "little")
        return "ext4" if incompatible & _EXT4_ONLY else "ext2", _uuid(content[_EXT_UUID])
    return "", ""


def _uuid(raw: bytes) -> str:
    return str(uuid.UUID(bytes=raw))
