"""How each volume was opened the last time: by which provider, after which failures; or why not.

One JSON file a volume in /run/volward/opened (0600, gone with the boot, no secret), written by whoever opens or closes,
and read by status and the daemon. It is a remark and not a truth: it names the very mapping that it is about, so that
nothing is said of one that somebody else opened later. Calls no host commands.
"""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

from volward import durable
from volward.errors import NoSpaceError, VolwardError

DIRECTORY = Path("/run/volward/opened")


@dataclass(frozen=True)
class Opening:
    """The last try; ``by`` is empty when it failed, and then ``error`` says why."""

    at: float  # seconds since the epoch
    by: str = ""  # the provider whose key opened it
    degraded: tuple[str, ...] = ()  # what failed before that provider
    disk_sequence: str = ""  # of the mapping that it made (sysfs diskseq)
    code: str = ""
    error: str = ""
    resolution: str = ""
    closed_by_hand: bool = False  # somebody closed it since, and wants it to stay so


def opened(by: str, degraded: tuple[str, ...], disk_sequence: str) -> Opening:
    """Return the record of an opening that ended well, now."""
    return Opening(at=time.time(), by=by, degraded=degraded, disk_sequence=disk_sequence)


def failed(error: VolwardError) -> Opening:
    """Return the record of an opening that failed, now."""
    return Opening(at=time.time(), code=error.code, error=error.what, resolution=error.resolution)


def closed() -> Opening:
    """Return the record of a volume that somebody closes, now."""
    return Opening(at=time.time(), closed_by_hand=True)


def write(volume: str, opening: Opening, *, directory: Path = DIRECTORY) -> None:
    """Remember how it went. Never raises: a full /run is no reason to call an open volume closed."""
    try:
        durable.make_directory(directory, mode=0o700)
        durable.replace(directory / f"{volume}.json", json.dumps(dataclasses.asdict(opening)).encode() + b"\n")
    except (OSError, NoSpaceError):
        return


def read(volume: str, *, directory: Path = DIRECTORY) -> Opening | None:
    """Return the last try; None when there is none in this boot, or its record is of no use. Never raises."""
    try:
        fields = json.loads((directory / f"{volume}.json").read_bytes())
        return Opening(
            at=float(fields["at"]),
            by=str(fields["by"]),
            degraded=tuple(map(str, fields["degraded"])),
            disk_sequence=str(fields["disk_sequence"]),
            code=str(fields["code"]),
            error=str(fields["error"]),
            resolution=str(fields["resolution"]),
            closed_by_hand=fields.get("closed_by_hand") is True,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
