"""An error of the operating system as one of volward's own: what was being done, what stood in the way, what to do.

Where a volume is worked on, a read-only file system, a full one or a disk that cannot be read is no bug. Numbers
follow errno(3). Calls no host commands.
"""

import contextlib
import errno
from collections.abc import Iterator

from volward.errors import NoSpaceError, OperatingSystemError, VolwardError

_ADVICE = {
    errno.EROFS: "Its file system is read-only (`findmnt` shows how it is mounted, `dmesg` why); make it writable",
    errno.EACCES: "Look at the owner and mode of the path, and at the sandbox of the unit that volward runs in",
    errno.EPERM: "Look for an immutable flag (`lsattr -d`), and at the sandbox of the unit that volward runs in",
    errno.EIO: "The disk below has errors: look at `dmesg`, and replace it if they stay",
    errno.ENOENT: "Something removed it meanwhile. Look at the path",
    errno.EBUSY: "Something uses it now (`lsblk`, `fuser -vm`). Release it",
}


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Let an OSError leave as the error that says what to do; ``doing`` begins the sentence: "Closing pgdata"."""
    try:
        yield
    except OSError as error:
        raise explain(error, doing) from error


def explain(error: OSError, doing: str) -> VolwardError:
    """Return NoSpaceError for a full file system or quota, OperatingSystemError for everything else."""
    reason = error.strerror or str(error) or type(error).__name__
    what = f"{doing} stopped: {f'{error.filename}: ' if error.filename else ''}{reason}."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(what, resolution="Free some space (`df -h`), then run the same command again.")
    advice = _ADVICE.get(error.errno or 0, "Look at the path and at `dmesg`")
    return OperatingSystemError(what, resolution=f"{advice}, then run the same command again.")
