"""The header area of a device as bytes: both copies and the keyslots, as `cryptsetup luksHeaderBackup` writes it.

Read directly and not by luksHeaderBackup, because that mends a damaged copy *on the device* before it reads (measured
with cryptsetup 2.6.1), needs a header that it can load, and leaves the area in a file. That the bytes are the same,
and that `luksHeaderRestore` takes them, is tested with the real tool. Owns no host commands: it opens the device
read-only.
"""

import os
import time
from pathlib import Path

from volward.errors import BusyError

_TRIES = 5
_PAUSE_SECONDS = 0.2
_CHUNK_BYTES = 1024 * 1024


def read(node: Path, length: int) -> bytes:
    """Return the first ``length`` bytes, read twice alike: cryptsetup may be writing them.

    Fewer only at the end of the device. Raises BusyError when they do not come to rest, OSError.
    """
    before = _read(node, 0, length)
    for _ in range(_TRIES):
        again = _read(node, 0, length)
        if again == before:
            return again
        before = again
        time.sleep(_PAUSE_SECONDS)
    raise BusyError(
        f"Something keeps writing to the header of {node}.",
        resolution="Look for another cryptsetup (`ps -C cryptsetup`), wait until it has ended, then try again.",
    )


def read_data(node: Path, offset: int, length: int) -> bytes:
    """Return bytes of the encrypted data, fewer only at the end of the device. Raises OSError."""
    return _read(node, offset, length)


def _read(node: Path, offset: int, length: int) -> bytes:
    descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        parts = []
        while length and (part := os.pread(descriptor, min(length, _CHUNK_BYTES), offset)):
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)
