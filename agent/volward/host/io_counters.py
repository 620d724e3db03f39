"""The I/O counters of a block device. Follows Documentation/block/stat.rst of the Linux source.

Reads only; calls no host commands.
"""

from dataclasses import dataclass
from pathlib import Path

from volward.host.identity import attribute

SYSFS = Path("/sys")
_SECTOR_BYTES = 512


@dataclass(frozen=True)
class IoCounters:
    """Since the device came into being."""

    reads: int
    read_bytes: int
    writes: int
    written_bytes: int
    in_flight: int
    busy_milliseconds: int


def read(number: str, *, sysfs: Path = SYSFS) -> IoCounters | None:
    """Return the counters of a device ("252:0"); None when they cannot be read."""
    try:
        words = [int(word) for word in attribute(sysfs / "dev/block" / number / "stat").split()]
        return IoCounters(
            reads=words[0],
            read_bytes=words[2] * _SECTOR_BYTES,
            writes=words[4],
            written_bytes=words[6] * _SECTOR_BYTES,
            in_flight=words[8],
            busy_milliseconds=words[9],
        )
    except (OSError, ValueError, IndexError):
        return None
