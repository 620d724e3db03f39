"""Whether the present header has a proven backup: compared by what the header and the backup say in the clear.

Needs no secret, and no look at the keyslots: each update of a header changes its sequence number and checksums.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from volward.errors import VolwardError
from volward.header_backup import sealing
from volward.header_backup.facts import Kind
from volward.model import Header


class Freshness(StrEnum):
    FRESH = "fresh"  # there is a backup of this very header
    STALE = "stale"  # there are backups, all of earlier headers
    NONE = "none"
    UNKNOWN = "unknown"  # the header or the directory could not be read


@dataclass(frozen=True)
class BackupState:
    """What status tells of a volume's header backups; the file and time are the fresh one's, else the newest's."""

    freshness: Freshness
    file: Path | None = None
    created_at: int = 0
    error: str = ""


def judge(paths: Iterable[Path], present: Header | None) -> BackupState:
    """Look through a volume's files, the newest first, for one of the present header. Never raises."""
    newest: BackupState | None = None
    for path in paths:
        try:
            facts = sealing.read_facts(path)
        except (VolwardError, OSError):
            continue  # `volward header list` tells of it
        if facts.kind is not Kind.BACKUP or facts.volume != path.name.partition(".")[0]:
            continue
        if present is not None and facts.is_of(present):
            return BackupState(Freshness.FRESH, path, facts.created_at)
        newest = newest or BackupState(
            Freshness.STALE if present is not None else Freshness.UNKNOWN, path, facts.created_at
        )
    return newest or BackupState(Freshness.NONE)
