"""The units that run volward by itself: shipped in units/, installed and enabled by `volward apply`.

One opens the volumes at boot; a timer rotates keys that are due.
"""

import os
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from volward.host import run, systemd
from volward.host.systemd import UnitFile

UNIT = systemd.OPENING_UNIT
ROTATING_SERVICE = "volward-rotate.service"
ROTATING_TIMER = "volward-rotate.timer"
_WANTED_BY = {UNIT: "multi-user.target", ROTATING_TIMER: "timers.target"}  # as their [Install] sections say
_SHIPPED_PROGRAM = "/usr/local/bin/volward"


def unit(name: str = UNIT, *, program: str | None = None, directory: Path = systemd.UNIT_DIRECTORY) -> UnitFile:
    """Return a unit as it is to stand on this host: it calls the very volward that is running now."""
    text = _shipped(name).replace(_SHIPPED_PROGRAM, program or _this_program())
    return UnitFile(directory / name, text)


def rotation_units(*, directory: Path = systemd.UNIT_DIRECTORY) -> tuple[UnitFile, ...]:
    """Return the timer that rotates keys, and the service that it starts."""
    return tuple(unit(name, directory=directory) for name in (ROTATING_SERVICE, ROTATING_TIMER))


def enabled(name: str = UNIT, *, directory: Path = systemd.UNIT_DIRECTORY) -> bool:
    """Say whether the boot will start it (a look at the symbolic link; no child process)."""
    return (directory / f"{_WANTED_BY[name]}.wants" / name).is_symlink() and (directory / name).exists()


def enable(names: Sequence[str] = (UNIT,), *, now: bool = False) -> None:
    """Have the boot start them (systemctl enable, which also reloads systemd); ``now``: start them now as well.

    Raises ToolFailedError.
    """
    run.mutate(["systemctl", "enable", *(["--now"] if now else []), *names])


def _shipped(name: str) -> str:
    packaged = resources.files("volward") / "units" / name
    if packaged.is_file():
        return packaged.read_text()
    return (Path(__file__).parents[3] / "units" / name).read_text()  # an editable installation


def _this_program() -> str:
    started = Path(sys.argv[0]).absolute()
    return str(started) if started.name == "volward" and os.access(started, os.X_OK) else _SHIPPED_PROGRAM
