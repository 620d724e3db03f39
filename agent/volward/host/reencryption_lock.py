"""Whether cryptsetup is at work on a re-encryption: the lock that it holds for as long.

Online, it suspends a layer of the mapping on purpose, zone after zone, and resumes it. Killed, it leaves the layer
suspended, and the kernel lets go of its lock. Only the two together tell. Reads files alone (flock(2),
proc_locks(5)): a lock that is tried would keep a cryptsetup out that begins in that moment.
"""

import os
from pathlib import Path

DIRECTORY = Path("/run/cryptsetup")
LOCKS = Path("/proc/locks")


def held(luks_uuid: str, *, directory: Path = DIRECTORY, locks: Path = LOCKS) -> bool:
    """Say whether somebody holds the lock of a header's re-encryption. Raises OSError when that cannot be told."""
    try:
        file = (directory / f"LN_LUKS2-reencryption-{luks_uuid}").stat()
    except FileNotFoundError:
        return False
    wanted = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    # NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END; one who waits has an arrow behind the number.
    found = (line.split() for line in locks.read_text().splitlines())
    return any(words[1:2] == ["FLOCK"] and wanted in words for words in found)
