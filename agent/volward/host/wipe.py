"""Wiping a device whose owner has typed its identity: every place where a format keeps its signature.

wipefs(8) erases what libblkid knows and nothing else: a backup superblock of ext4, a copy of an xfs superblock or
an old ZFS label would be found again later, and the disk taken for something that it is not. So the beginning, the
end and every place that host/signatures names are zeroed as well. The proof that nobody uses the device and that
it is the right one is the caller's, and so is the blank probe afterwards.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from volward.errors import DeviceBusyError
from volward.host import run, signatures
from volward.model import MIB

_HEAD_BYTES = 17 * MIB  # a LUKS2 header with its keyslots, and a little
_TAIL_BYTES = 2 * MIB  # both ZFS labels, md 0.90 and 1.0, the backup GPT
_PAGE_BYTES = 4096
_BLKRRPART = 0x125F  # include/uapi/linux/fs.h
_TRIES = 10
_PAUSE_SECONDS = 0.1


def wipe(node: Path, size_bytes: int) -> None:
    """Erase all signatures on a device or backing file of ``size_bytes``, durably; its other content stays.

    Raises DeviceBusyError when the kernel uses the device, ToolFailedError, OSError.
    """
    with _exclusive(node) as descriptor:
        # --force: without it wipefs leaves the partition table of a whole disk. The exclusive open above is the
        # guard that it gives up with this.
        run.mutate(["wipefs", "--all", "--force", node])
        for offset, length in _ranges(size_bytes):
            _zero(descriptor, offset, length)
        os.fsync(descriptor)
    if node.is_block_device():
        _forget_partitions(node)


@contextlib.contextmanager
def _exclusive(node: Path) -> Iterator[int]:
    """Open for writing; of a block device exclusively (open(2)), so that nothing can be mounted meanwhile."""
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if node.is_block_device() else 0))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise DeviceBusyError(
            f"{node} is in use: the kernel does not give it away.",
            resolution="Look at `lsblk` and at `dmsetup ls --tree`. Release it first if it really is the one.",
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _ranges(size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield offset and length in bytes: beginning, end, and the page of each place between."""
    head = min(_HEAD_BYTES, size_bytes)
    tail = max(head, size_bytes - _TAIL_BYTES)
    yield 0, head
    if size_bytes > tail:
        yield tail, size_bytes - tail
    pages = {
        page // _PAGE_BYTES * _PAGE_BYTES
        for place in signatures.places(size_bytes)
        for page in (place.offset_bytes, place.offset_bytes + len(place.magic) - 1)
    }
    for page in sorted(pages):
        if head <= page < tail:
            yield page, min(_PAGE_BYTES, size_bytes - page)


def _zero(descriptor: int, offset: int, length: int) -> None:
    zeros = memoryview(bytes(min(MIB, length)))
    end = offset + length
    while offset < end:
        offset += os.pwrite(descriptor, zeros[: end - offset], offset)


def _forget_partitions(node: Path) -> None:
    """Have the kernel read the (empty) partition table anew; udev may hold the device for a moment.

    Best effort: udev does the same once the device is closed, and a partition that is still in use makes the
    blank probe afterwards say so.
    """
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        with contextlib.suppress(OSError):
            descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(descriptor, _BLKRRPART)
            finally:
                os.close(descriptor)
            return
