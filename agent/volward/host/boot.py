"""What the boot starts of volward by itself: looked up in symbolic links, changed by `systemctl enable` and `disable`.

The links are those of the [Install] sections (systemd.unit(5)), in /etc/systemd/system/TARGET.wants. Which units there
are, and what they are to say, is in shipped.py.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from volward import durable
from volward.errors import ToolFailedError
from volward.host import run, shipped, systemd, volume_units
from volward.host.shipped import ROOT, UNITS

UNIT = volume_units.OPENING_UNIT
KEY_SOCKET = "volward-key.socket"
_NULL = Path("/dev/null")


class Link(StrEnum):
    """Whether the boot starts a unit."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    MASKED = "masked"


def link(name: str, *, root: Path = ROOT) -> Link:
    """Say whether the boot starts a unit (a look at symbolic links; no child process)."""
    if is_masked(name, root=root):
        return Link.MASKED
    return Link.ENABLED if _file(name, root) and wanting(name, root=root) else Link.DISABLED


def enabled(name: str = UNIT, *, root: Path = ROOT) -> bool:
    """Say whether the boot will start it."""
    return link(name, root=root) is Link.ENABLED


def is_masked(name: str, *, root: Path = ROOT) -> bool:
    """Whether an administrator forbade a unit altogether (systemctl mask)."""
    path = shipped.at(UNITS.own / name, root)
    return path.is_symlink() and path.readlink() == _NULL


def wanting(name: str, *, root: Path = ROOT) -> tuple[Path, ...]:
    """Return the links by which targets want a unit, whether it is there or not. Raises OSError."""
    # With the name in it, the pattern would not find a link that leads nowhere.
    found = (target / name for target in shipped.at(UNITS.own, root).glob("*.wants"))
    return tuple(sorted(path for path in found if path.is_symlink()))


def enable(names: Sequence[str] = (UNIT,), *, now: bool = False) -> None:
    """Have the boot start them (systemctl enable, which also reloads systemd); ``now``: start them now as well.

    Where no systemd runs (an image that is built), there is no now. Raises ToolFailedError.
    """
    run.mutate(["systemctl", "enable", *_now(now), *names])


def disable(names: Sequence[str], *, now: bool = False, root: Path = ROOT) -> None:
    """Have the boot start them no more (systemctl disable); ``now``: stop them as well.

    Of a unit whose file is gone, systemctl knows nothing: its links are removed here. Raises ToolFailedError, OSError.
    """
    there = [name for name in names if _file(name, root)]
    for name in (name for name in names if name not in there):
        for path in wanting(name, root=root):
            path.unlink()
    if there:
        run.mutate(["systemctl", "disable", *_now(now), *there])


def _now(wanted: bool) -> list[str]:
    return ["--now"] if wanted and systemd.is_running() else []


def make_links_durable(*, root: Path = ROOT) -> None:
    """Have the links on the disk, which systemctl does not see to (fsync(2)). Raises OSError."""
    own = shipped.at(UNITS.own, root)
    for directory in (*own.glob("*.wants"), own):
        durable.sync_directory(directory)


def states(names: Sequence[str]) -> dict[str, str]:
    """Return the state (active, inactive, failed, …) of units that systemd has loaded; of templates, their instances'.

    Empty when systemd does not answer.
    """
    patterns = [name.replace("@.", "@*.") for name in names]
    try:
        said = run.read(["systemctl", "list-units", "--all", "--full", "--plain", "--no-legend", *patterns]).stdout
    except ToolFailedError:
        return {}
    rows = [line.split() for line in said.splitlines()]
    return {unit: state for unit, _, state, *_ in (row for row in rows if len(row) > 3)}


def _file(name: str, root: Path) -> bool:
    return any(shipped.at(place / name, root).is_file() for place in (UNITS.own, UNITS.packaged))
