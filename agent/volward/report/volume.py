"""One volume as status saw it: the observation, and what else is told of a volume beside it.

What could not be read is said to be so, by None or by an error, and is never left out.
"""

from dataclasses import dataclass

from volward.header_backup.freshness import BackupState
from volward.host.crypt_table import CryptTable
from volward.host.io_counters import IoCounters
from volward.host.space import Space
from volward.journal import Record
from volward.logins import LoginLife
from volward.model import Observation, Presence, VolumeSpec
from volward.openings import Opening


@dataclass(frozen=True)
class Consumer:
    """A unit or container that uses the mount; ``runs`` UNKNOWN when its control group could not be looked at."""

    name: str
    runs: Presence


@dataclass(frozen=True)
class SeenVolume:
    """Everything that status knows of one volume."""

    spec: VolumeSpec
    seen: Observation
    pin_error: str = ""  # why the pin could not be read
    operations: tuple[Record, ...] = ()  # unfinished ones
    operations_error: str = ""  # why they could not be read
    table: CryptTable | None = None  # None: not open, or see table_error
    table_error: str = ""
    io: IoCounters | None = None
    space: Space | None = None
    consumers: tuple[Consumer, ...] = ()
    at: float = 0.0  # when it was looked at, seconds since the epoch
    header_backup: BackupState | None = None  # None: it has no header by design
    login: LoginLife | None = None  # to the volume's Vault server; None: it has none, or nobody looked
    opening: Opening | None = None  # of this very mapping, or the last failure of a closed volume

    @property
    def mounted_here(self) -> bool:
        """The mount at the volume's mount point is this volume's own."""
        mount = self.seen.mount
        return mount is not None and bool(mount.number) and mount.number == self.seen.mapping.number
