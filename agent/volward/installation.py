"""What installing or removing volward's units is made of: files and their fate, and which units the boot starts.

A file is volward's when the manifest has its very content and mode. One that is not in the manifest is adopted when it
is byte for byte what this volward writes. Every other file of that name is the administrator's. Calls no host commands.
"""

import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from volward.host.boot import Link
from volward.host.shipped import UNITS
from volward.manifest import Entry, Manifest


class Fate(StrEnum):
    """What becomes of a file."""

    CREATE = "create"
    REPLACE = "replace"
    REMOVE = "remove"
    FINISH = "finish"  # written by a run that was cut before systemd had read it
    ADOPT = "adopt"  # as volward writes it, but not in the manifest
    FORGET = "forget"  # in the manifest, and gone
    CURRENT = "current"
    PACKAGED = "packaged"  # dpkg's: nothing to copy
    LEAVE = "leave"  # the administrator's
    IN_USE = "in use"


class LinkFate(StrEnum):
    """What becomes of a unit's being enabled."""

    ENABLE = "enable"
    DISABLE = "disable"
    ADOPT = "adopt"  # enabled, and not in the manifest, though its file is volward's
    FORGET = "forget"
    AS_IT_IS = "as it is"
    LEAVE = "leave"  # the administrator's decision, or in use


_NO_CHANGE = frozenset({Fate.CURRENT, Fate.PACKAGED, Fate.LEAVE, Fate.IN_USE})
_UNREAD = frozenset({Fate.CREATE, Fate.REPLACE, Fate.REMOVE, Fate.FINISH})


@dataclass(frozen=True)
class Seen:
    """A file as it is; ``content`` is None where there is something else, and ``what`` says what that is."""

    content: bytes | None
    mode: int = 0
    what: str = ""
    is_mask: bool = False


@dataclass(frozen=True)
class FileChange:
    """A file, what it says now, and what it is going to say; None where there is none."""

    path: Path
    fate: Fate
    before: Seen | None = None
    after: bytes | None = None
    reason: str = ""
    resolution: str = ""
    kept_aside: bool = False  # an administrator's content that is replaced with consent

    @property
    def sentence(self) -> str:
        """Say of a file that is left alone why, and what to do."""
        return f"{self.path} is left alone: {self.reason}. {self.resolution}"


@dataclass(frozen=True)
class LinkChange:
    """A unit, and whether the boot starts it."""

    unit: str
    fate: LinkFate
    now: Link = Link.DISABLED
    reason: str = ""
    resolution: str = ""

    @property
    def sentence(self) -> str:
        """Say of a unit that is left as it is why, and what to do."""
        return f"{self.unit} stays {self.now}: {self.reason}. {self.resolution}"


@dataclass(frozen=True)
class Installation:
    """All of it. ``remarks`` are what else the administrator should know, as sentences."""

    verb: str  # install or uninstall
    manifest: Manifest
    files: tuple[FileChange, ...] = ()
    links: tuple[LinkChange, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_to_be_done(self) -> bool:
        return any(one.fate not in _NO_CHANGE for one in self.files) or any(
            one.fate not in (LinkFate.AS_IT_IS, LinkFate.LEAVE) for one in self.links
        )

    @property
    def reloads(self) -> bool:
        """Whether carrying it out has systemd read its unit files again."""
        return any(one.fate in _UNREAD and one.path.is_relative_to(UNITS.own) for one in self.files) or any(
            one.fate in (LinkFate.ENABLE, LinkFate.DISABLE) for one in self.links
        )

    @property
    def left(self) -> tuple[FileChange | LinkChange, ...]:
        """What is left alone although volward would have it otherwise; each says why."""
        files = [one for one in self.files if one.fate in (Fate.LEAVE, Fate.IN_USE)]
        return (*files, *(one for one in self.links if one.fate is LinkFate.LEAVE))

    def units(self, fate: LinkFate) -> tuple[str, ...]:
        return tuple(one.unit for one in self.links if one.fate is fate)


def starts_at_once(unit: str) -> bool:
    """Whether a unit is started when it is enabled, and stopped when it is disabled: those that only wait.

    A service is not: what it would open is for the boot or for a person. The daemon is stopped where it is uninstalled.
    """
    return unit.endswith((".timer", ".socket", ".path"))


def look(path: Path) -> Seen | None:
    """Return what is at a path, without following a symbolic link; None when there is nothing. Raises OSError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        target = path.readlink()
        if target == Path("/dev/null"):
            return Seen(None, what="masked by an administrator", is_mask=True)
        return Seen(None, what=f"a symbolic link to {target}")
    if not stat.S_ISREG(status.st_mode):
        return Seen(None, what="no regular file")
    return Seen(path.read_bytes(), stat.S_IMODE(status.st_mode))


def is_ours(found: Seen, entry: Entry | None) -> bool:
    """Whether what is there is as the manifest says that volward wrote it."""
    return entry is not None and found.content is not None and entry.is_of(found.content, found.mode)


def whose(found: Seen) -> str:
    """Say of a file that is not volward's what it is."""
    return found.what or "an administrator's (not as volward wrote it)"
