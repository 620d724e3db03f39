"""Loop devices: which of them stand on a file. Reads sysfs, and asks a device where that is not enough.

The path in sysfs is the one of the mount namespace that the file was opened in: of a service with a bind mount there,
only the end of the path is left for everybody else. The device itself knows device and inode (LOOP_GET_STATUS64,
loop(4)). Starts no child process.
"""

import fcntl
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

_LOOP_GET_STATUS64 = 0x4C05
_LOOP_INFO64 = struct.Struct("=QQ216x")  # lo_device, lo_inode, and what is not looked at
DEV = Path("/dev")


def on_file(file: Path, known: Mapping[str, Sequence[Path]], *, dev: Path = DEV) -> tuple[Path, ...]:
    """Return the sysfs directories of the loop devices on a file; ``known`` are all by the path that sysfs shows."""
    each = ((shown, one) for shown, directories in known.items() for one in directories)
    return tuple(one for shown, one in each if is_on(shown, one, file, dev))


def is_on(shown: str, directory: Path, file: Path, dev: Path = DEV) -> bool:
    """Say whether the loop device of a sysfs directory, which shows this path, stands on a file (links followed)."""
    if shown == str(file):
        return True
    return bool(shown) and str(file).endswith(shown) and _backing(dev / directory.name) == _identity(file)


def _backing(node: Path) -> tuple[int, int] | None:
    try:
        descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        device, inode = _LOOP_INFO64.unpack(fcntl.ioctl(descriptor, _LOOP_GET_STATUS64, bytes(_LOOP_INFO64.size)))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return device, inode


def _identity(file: Path) -> tuple[int, int] | str:
    try:
        status = file.stat()
    except OSError as error:
        return f"{error}"
    return status.st_dev, status.st_ino
