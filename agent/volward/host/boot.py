"""The unit that opens the volumes at boot: shipped in units/, installed and enabled by `volward apply`."""

import os
import sys
from importlib import resources
from pathlib import Path

from volward.host import run, systemd
from volward.host.systemd import UnitFile

UNIT = systemd.OPENING_UNIT
_SHIPPED_PROGRAM = "/usr/local/bin/volward"


def unit(*, program: str | None = None, directory: Path = systemd.UNIT_DIRECTORY) -> UnitFile:
    """Return the unit as it is to stand on this host: it calls the very volward that is running now."""
    text = _shipped().replace(_SHIPPED_PROGRAM, program or _this_program())
    return UnitFile(directory / UNIT, text)


def enabled(*, directory: Path = systemd.UNIT_DIRECTORY) -> bool:
    """Say whether the boot will start it (a look at the symbolic link; no child process)."""
    return (directory / "multi-user.target.wants" / UNIT).is_symlink() and (directory / UNIT).exists()


def enable() -> None:
    """Have the boot start it (systemctl enable, which also reloads systemd). Raises ToolFailedError."""
    run.mutate(["systemctl", "enable", UNIT])


def _shipped() -> str:
    packaged = resources.files("volward") / "units" / UNIT
    if packaged.is_file():
        return packaged.read_text()
    return (Path(__file__).parents[3] / "units" / UNIT).read_text()  # an editable installation


def _this_program() -> str:
    started = Path(sys.argv[0]).absolute()
    return str(started) if started.name == "volward" and os.access(started, os.X_OK) else _SHIPPED_PROGRAM
