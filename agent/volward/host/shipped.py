"""What volward puts on a host beside its program: the one list of it, and each file as it is to stand on this host.

The texts are in units/. A new unit, or a snippet for systemd-sysusers(8) or systemd-tmpfiles(8), is a file there and a
line in `ALL`. See systemd.unit(5), sysusers.d(5) and tmpfiles.d(5) for the directories.

A Debian package brings its files in /usr/lib, where dpkg keeps them, and they call /usr/bin/volward. When that is the
program that runs, such a file is `packaged`: nothing is copied to /etc, where a copy would hide the package's file from
then on and miss its upgrades; all that is left to do is to enable it. Calls no host commands.
"""

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path

ROOT = Path("/")
_SHIPPED_PROGRAM = "/usr/local/bin/volward"
_PACKAGED_PROGRAMS = frozenset({"/usr/bin/volward", "/bin/volward"})
MODE = 0o644


class Part(StrEnum):
    """What one or two files do together; `volward apply` installs the parts that its volumes need."""

    OPENING = "opening"
    ROTATION = "rotation"
    HEADER_BACKUP = "header-backup"
    PREFLIGHT = "preflight"
    KEY_SOCKET = "key-socket"


@dataclass(frozen=True)
class Place:
    """Where files of one kind are: the administrator's directory, the package's, and whom to tell of a new one."""

    own: Path
    packaged: Path
    told: tuple[str, ...] = ()


UNITS = Place(Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))
SYSUSERS = Place(Path("/etc/sysusers.d"), Path("/usr/lib/sysusers.d"), ("systemd-sysusers",))
TMPFILES = Place(Path("/etc/tmpfiles.d"), Path("/usr/lib/tmpfiles.d"), ("systemd-tmpfiles", "--create"))


@dataclass(frozen=True)
class Shipped:
    """One file. ``wanted_by`` is what its [Install] section says; a unit without is started by another one.

    ``asked_for``: only who asks for its part gets it enabled; `volward system install` writes it and leaves it off.
    """

    name: str
    part: Part
    wanted_by: str = ""
    asked_for: bool = False
    place: Place = UNITS
    source: str = ""  # its name in units/, where that is another one

    @property
    def path(self) -> Path:
        return self.place.own / self.name

    @property
    def is_unit(self) -> bool:
        return self.place is UNITS

    @property
    def is_template(self) -> bool:
        return self.is_unit and "@." in self.name


ALL = (
    Shipped("volward.service", Part.OPENING, wanted_by="multi-user.target"),
    Shipped("volward-rotate.service", Part.ROTATION),
    Shipped("volward-rotate.timer", Part.ROTATION, wanted_by="timers.target"),
    Shipped("volward-header-backup.service", Part.HEADER_BACKUP),
    Shipped("volward-header-backup.timer", Part.HEADER_BACKUP, wanted_by="timers.target"),
    Shipped("volward-preflight.service", Part.PREFLIGHT),
    Shipped("volward-preflight.timer", Part.PREFLIGHT, wanted_by="timers.target"),
    Shipped("volward.conf", Part.OPENING, place=SYSUSERS, source="volward.sysusers"),
    Shipped("volward.conf", Part.OPENING, place=TMPFILES, source="volward.tmpfiles"),
    # It hands out keys: only a host whose /etc/crypttab asks for them has it listen.
    Shipped("volward-key.socket", Part.KEY_SOCKET, wanted_by="sockets.target", asked_for=True),
    Shipped("volward-key@.service", Part.KEY_SOCKET),
)
BY_PATH = {one.path: one for one in ALL}


def at(path: Path, root: Path) -> Path:
    """Return where a path of the host is below ``root``."""
    return root / path.relative_to("/")


def is_packaged(one: Shipped, *, program: str | None = None, root: Path = ROOT) -> bool:
    """Whether a Debian package brought the file together with the program that runs now."""
    return (program or _this_program()) in _PACKAGED_PROGRAMS and at(one.place.packaged / one.name, root).is_file()


def content(one: Shipped, *, program: str | None = None) -> bytes:
    """Return the file as it is to stand on this host: it calls the very volward that is running now. Raises OSError."""
    return _text(one.source or one.name).replace(_SHIPPED_PROGRAM, program or _this_program()).encode()


def _text(name: str) -> str:
    installed = resources.files("volward") / "units" / name
    if installed.is_file():
        return installed.read_text()
    return (Path(__file__).parents[3] / "units" / name).read_text()  # an editable installation


def _this_program() -> str:
    started = Path(sys.argv[0]).absolute()
    return str(started) if started.name == "volward" and os.access(started, os.X_OK) else _SHIPPED_PROGRAM
