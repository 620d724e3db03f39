"""How full a mounted file system is: statvfs(3) of the mount, and of nothing else. Owns no host commands."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Space:
    """Bytes and inodes as df(1) counts them: ``available`` is what an ordinary user may still write."""

    total_bytes: int
    used_bytes: int
    available_bytes: int
    inodes_total: int
    inodes_used: int

    @property
    def used_percent(self) -> int:
        """As df(1): of what ordinary users can have, rounded up."""
        usable = self.used_bytes + self.available_bytes
        return -(-100 * self.used_bytes // usable) if usable else 0

    @property
    def inodes_percent(self) -> int:
        """0 for a file system that makes inodes as it needs them."""
        return -(-100 * self.inodes_used // self.inodes_total) if self.inodes_total else 0


def of(mount_point: Path, *, number: str) -> Space | None:
    """Return the space of the file system with that device number ("252:0") at the mount point.

    None when it cannot be told, or when something else is met there.
    """
    try:
        descriptor = os.open(mount_point, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            device = os.fstat(descriptor).st_dev
            found = os.fstatvfs(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    if f"{os.major(device)}:{os.minor(device)}" != number:
        return None
    unit = found.f_frsize
    return Space(
        total_bytes=found.f_blocks * unit,
        used_bytes=(found.f_blocks - found.f_bfree) * unit,
        available_bytes=found.f_bavail * unit,
        inodes_total=found.f_files,
        inodes_used=found.f_files - found.f_ffree,
    )
