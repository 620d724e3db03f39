"""How long the login to each Vault server lasts, as it was when somebody last looked.

One JSON file a server in /var/lib/volward/logins (0600, no secret), written by whoever logs in and looks (`volward
preflight`, and the daily timer) and read by status, which asks no server. Times are absolute, so that a record says
the truth for longer than it is fresh. Calls no host commands.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from volward import durable
from volward.errors import NoSpaceError

DIRECTORY = Path("/var/lib/volward/logins")
EARLY_SECONDS = 14 * 24 * 3600  # so long before a login ends it is told


@dataclass(frozen=True)
class LoginLife:
    """When it ends, in seconds since the epoch; None: never, or not known. ``uses_left`` 0: no limit."""

    address: str
    seen_at: float
    ends_at: float | None = None
    uses_left: int = 0


def write(life: LoginLife, *, directory: Path = DIRECTORY) -> None:
    """Remember it. Never raises: a full disk is no reason to call a login bad."""
    try:
        durable.make_directory(directory, mode=0o700)
        durable.replace(_file(life.address, directory), json.dumps(dataclasses.asdict(life)).encode() + b"\n")
    except (OSError, NoSpaceError):
        return


def read(address: str, *, directory: Path = DIRECTORY) -> LoginLife | None:
    """Return what was seen last; None when nobody looked, or the record is of no use. Never raises."""
    try:
        fields = json.loads(_file(address, directory).read_bytes())
        if fields["address"] != address:
            return None
        return LoginLife(
            address=address,
            seen_at=float(fields["seen_at"]),
            ends_at=None if fields["ends_at"] is None else float(fields["ends_at"]),
            uses_left=int(fields["uses_left"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(address: str, directory: Path) -> Path:
    return directory / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.json"
