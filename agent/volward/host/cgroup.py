"""Which units and containers run, as their control groups show it: no child process and no question to PID 1.

A unit or container runs when its control group exists and has processes (cgroup.events, cgroups(7)); names of
Docker's containers are in /var/lib/docker/containers/ID/config.v2.json. Reads only; owns no host commands.
"""

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from volward.model import CONTAINER_PREFIX, Presence

ROOT = Path("/sys/fs/cgroup")
CONTAINERS = Path("/var/lib/docker/containers")
_ID = re.compile(r"(?:^|-)([0-9a-f]{64})(?:\.scope)?$")
_UNIT_SUFFIXES = (".service", ".scope", ".socket", ".mount", ".swap")


@dataclass(frozen=True)
class Running:
    """What runs at one moment; ``readable`` False means that control groups could not be looked at."""

    readable: bool
    units: frozenset[str]
    container_ids: frozenset[str]

    def of(self, consumer: str, *, containers: Path = CONTAINERS) -> Presence:
        """Say of a consumer ("redis.service", "container:NAME") whether it runs."""
        if not self.readable:
            return Presence.UNKNOWN
        if not consumer.startswith(CONTAINER_PREFIX):
            return Presence.PRESENT if consumer in self.units else Presence.ABSENT
        identifiers = _identifiers(consumer.removeprefix(CONTAINER_PREFIX), containers)
        if identifiers is None:
            return Presence.UNKNOWN
        return Presence.PRESENT if identifiers & self.container_ids else Presence.ABSENT


def look(*, root: Path = ROOT) -> Running:
    """Walk the control groups once. Never raises."""
    units: set[str] = set()
    containers: set[str] = set()
    if not (root / "cgroup.controllers").is_file():  # not mounted, or cgroup v1
        return Running(readable=False, units=frozenset(), container_ids=frozenset())
    for directory, _, _ in os.walk(root):
        name = os.path.basename(directory)  # noqa: PTH119 (thousands of them)
        found = _ID.search(name)
        if (found or name.endswith(_UNIT_SUFFIXES)) and _populated(directory):
            if found:
                containers.add(found[1])
            units.add(name)
    return Running(readable=True, units=frozenset(units), container_ids=frozenset(containers))


def _populated(directory: str) -> bool:
    with contextlib.suppress(OSError):
        return "populated 1" in Path(directory, "cgroup.events").read_text()
    return False


def _identifiers(name: str, containers: Path) -> set[str] | None:
    """Return the IDs of a container's name; None when Docker's directory cannot be read."""
    try:
        directories = list(containers.iterdir())
    except FileNotFoundError:
        return None  # another engine, or another data-root
    except OSError:
        return None
    found = set()
    for directory in directories:
        with contextlib.suppress(OSError, ValueError):
            described = json.loads((directory / "config.v2.json").read_bytes())
            if isinstance(described, dict) and str(described.get("Name", "")).lstrip("/") == name:
                found.add(directory.name)
    return found
