"""The crypt tables of the host's mappings, as the kernel has them now.

Reads only. Follows Documentation/admin-guide/device-mapper/dm-crypt.rst of the Linux source. Uses the host command
`dmsetup table`, once for all volumes.
"""

from dataclasses import dataclass
from pathlib import Path

from volward.host import run

SYSFS = Path("/sys")
_SECTOR_BYTES = 512


@dataclass(frozen=True)
class CryptTable:
    """The live table of a dm-crypt mapping: what the kernel does now, whatever the header says."""

    name: str
    cipher: str
    key_bits: int
    key_in_keyring: bool  # False: the key is in the table itself, and any root `dmsetup table --showkeys` prints it
    backing_number: str
    offset_bytes: int
    size_bytes: int
    flags: tuple[str, ...]  # "allow_discards", "sector_size:4096", "no_read_workqueue", ...


def tables(*, sysfs: Path = SYSFS) -> dict[str, CryptTable]:
    """Return the crypt tables of the host by mapping name, without keys (dmsetup prints those only when asked).

    Starts no process when there is no mapping at all. Raises ToolMissingError, ToolFailedError, OSError.
    """
    if not any(one.name.startswith("dm-") for one in (sysfs / "block").iterdir()):
        return {}
    found: dict[str, CryptTable] = {}
    for line in run.read(["dmsetup", "table", "--target", "crypt"]).stdout.splitlines():
        table = _table(line)
        if table is not None:
            found.setdefault(table.name, table)
    return found


def _table(line: str) -> CryptTable | None:
    """Parse "NAME: START LENGTH crypt CIPHER KEY IV-OFFSET DEVICE OFFSET [COUNT OPTION...]"; None for others."""
    name, _, rest = line.partition(": ")
    words = rest.split()
    if len(words) < 8 or words[2] != "crypt":
        return None
    key = words[4]
    in_keyring = key.startswith(":")  # :SIZE:TYPE:DESCRIPTION, size in bytes
    size = key.split(":")[1] if in_keyring else ""
    try:
        return CryptTable(
            name=name,
            cipher=words[3],
            key_bits=(int(size) if in_keyring else len(key) // 2) * 8,
            key_in_keyring=in_keyring,
            backing_number=words[6],
            offset_bytes=int(words[7]) * _SECTOR_BYTES,
            size_bytes=int(words[1]) * _SECTOR_BYTES,
            flags=tuple(words[9:]),
        )
    except ValueError:
        return None
