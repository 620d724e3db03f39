"""The backing file of a `file:` volume: made once, whole and allocated, or not at all.

Follows posix_fallocate(3): the space is reserved when the file is made, so that a full root disk is noticed
now and not under a running database. Calls no host commands.
"""

import errno
import os
from pathlib import Path

from volward import durable


def create(path: Path, size_bytes: int) -> None:
    """Create ``path`` with ``size_bytes`` of zeros, mode 0600, durably. An existing file is never touched.

    The caller holds the volume's lock. Raises FileExistsError, NoSpaceError (nothing is left), OSError.
    """
    durable.make_directory(path.parent, mode=0o700)
    temporary = path.with_name(f".{path.name}.volward-new")
    temporary.unlink(missing_ok=True)  # of an earlier run that was cut short
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise durable.no_space(path) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
    durable.sync_directory(path.parent)
