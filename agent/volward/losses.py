"""Volumes whose device went away while they were open, and who was stopped for that: until all of them are seen to.

One JSON file a volume in /var/lib/volward/losses (0600, no secret), written by the pass that releases it and read by
the one that opens it again, in whatever process and boot that is: what volward stopped, it starts again. Calls no host
commands.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from volward import durable

DIRECTORY = Path("/var/lib/volward/losses")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Loss:
    """When it was noticed (CLOCK_MONOTONIC of that boot, microseconds), and the containers that were stopped."""

    boot: str
    usec: int
    containers: tuple[str, ...] = ()

    @property
    def is_of_this_boot(self) -> bool:
        return self.boot == this_boot()


def this_boot() -> str:
    """Return the kernel's ID of this boot (proc(5), random/boot_id). Raises OSError."""
    return _BOOT_ID.read_text().strip()


def write(volume: str, loss: Loss, *, directory: Path = DIRECTORY) -> None:
    """Remember it, before anything is stopped. Raises NoSpaceError, OSError."""
    durable.make_directory(directory, mode=0o700)
    durable.replace(directory / f"{volume}.json", json.dumps(dataclasses.asdict(loss)).encode() + b"\n")


def read(volume: str, *, directory: Path = DIRECTORY) -> Loss | None:
    """Return what is remembered; None when there is nothing, or the record is of no use. Never raises."""
    try:
        fields: Mapping[str, object] = json.loads((directory / f"{volume}.json").read_bytes())
        containers = fields["containers"]
        if not isinstance(containers, list):
            return None
        return Loss(str(fields["boot"]), int(str(fields["usec"])), tuple(map(str, containers)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(volume: str, *, directory: Path = DIRECTORY) -> None:
    """Forget it: everybody was seen to. Raises OSError."""
    (directory / f"{volume}.json").unlink(missing_ok=True)


def add_container(volume: str, container: str, *, directory: Path = DIRECTORY) -> None:
    """Note a container that is about to be stopped; nothing where no loss is noted. Raises NoSpaceError, OSError."""
    known = read(volume, directory=directory)
    if known is not None and container not in known.containers:
        write(volume, dataclasses.replace(known, containers=(*known.containers, container)), directory=directory)
