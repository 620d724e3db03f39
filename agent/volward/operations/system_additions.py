"""What `volward system install` would do. Reads; changes nothing.

A unit that volward enabled and that is not enabled any more was disabled by the administrator, and stays so, unless who
asks insists: `volward apply` does for a volume whose configuration says that the boot opens it.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from volward import manifest
from volward.host import boot, shipped
from volward.host.boot import Link
from volward.host.shipped import ALL, BY_PATH, MODE, ROOT, Part, Shipped, at
from volward.installation import (
    Fate,
    FileChange,
    Installation,
    LinkChange,
    LinkFate,
    Seen,
    is_ours,
    look,
    starts_at_once,
    whose,
)
from volward.manifest import Entry, Manifest
from volward.operations.system_removals import disabling, in_use, removals
from volward.os_errors import explained

EVERYTHING = frozenset(Part)


def plan_install(
    parts: Collection[Part] = EVERYTHING,
    *,
    insist: Collection[Part] = (),
    replace: Collection[str] = (),
    root: Path = ROOT,
) -> Installation:
    """Plan the installation of some parts; of everything, files of earlier versions that are no more go as well.

    ``insist``: parts that are to be enabled whoever disabled them. ``replace``: names or paths of files that may be
    replaced although an administrator changed them. Raises JournalError (a damaged manifest), OperatingSystemError.
    """
    with explained("Looking at the installed units"):
        known = manifest.read(root=root)
        files: list[FileChange] = []
        links: list[LinkChange] = []
        for one in (one for one in ALL if one.part in parts):
            change = _installed(one, known.files.get(one.path), replace, root)
            files.append(change)
            if one.wanted_by:
                links += _enabled(one, change, known, root, insist=one.part in insist)
        if set(parts) >= EVERYTHING:
            gone = [path for path in known.files if path not in BY_PATH]
            going = removals(gone, known, root)
            files += going
            names = {one.name for one in ALL} | in_use(going)
            links += [disabling(name, root) for name in known.enabled if name not in names]
        return Installation("install", known, tuple(files), tuple(links))


def _installed(one: Shipped, entry: Entry | None, replace: Collection[str], root: Path) -> FileChange:
    found = look(at(one.path, root))
    if shipped.is_packaged(one, root=root):
        return _packaged(one, found, entry)
    wanted = shipped.content(one)
    if found is None:
        return FileChange(one.path, Fate.CREATE, None, wanted)
    if found.content == wanted and found.mode == MODE:
        settled = entry is not None and not entry.pending and entry.is_of(wanted, MODE)
        fate = Fate.CURRENT if settled else Fate.FINISH if entry is not None and entry.pending else Fate.ADOPT
        return FileChange(one.path, fate, found, wanted)
    if is_ours(found, entry):
        return FileChange(one.path, Fate.REPLACE, found, wanted)
    if found.content is not None and {one.name, str(one.path)} & set(replace):
        return FileChange(one.path, Fate.REPLACE, found, wanted, kept_aside=True)
    return _left(one, found, wanted)


def _packaged(one: Shipped, found: Seen | None, entry: Entry | None) -> FileChange:
    """The package's file is the one; a copy that volward made in /etc would hide it."""
    if found is None:
        return FileChange(one.path, Fate.PACKAGED if entry is None else Fate.FORGET)
    if is_ours(found, entry):
        return FileChange(one.path, Fate.REMOVE, found, reason="it hides the file of the Debian package")
    return FileChange(
        one.path,
        Fate.LEAVE,
        found,
        reason=f"it is {whose(found)} and takes the place of the Debian package's",
        resolution=_advice(one, found, instead=f"`rm {one.path}` has the package's again"),
    )


def _left(one: Shipped, found: Seen, wanted: bytes) -> FileChange:
    again = f"`volward system install --replace {one.name}`"
    return FileChange(
        one.path,
        Fate.LEAVE,
        found,
        wanted,
        reason=f"it is {whose(found)}",
        resolution=_advice(one, found, instead=f"{again} has volward's again and keeps this one aside"),
    )


def _advice(one: Shipped, found: Seen, *, instead: str) -> str:
    if found.is_mask:
        return f"`systemctl unmask {one.name}`, then `volward system install`, has it again."
    if found.what:
        return f"Remove it, then `volward system install` has it again: `rm {one.path}`."
    return f"{instead}; a drop-in can hold the change (`systemctl edit {one.name}`)." if one.is_unit else f"{instead}."


def _enabled(one: Shipped, change: FileChange, known: Manifest, root: Path, *, insist: bool) -> Iterator[LinkChange]:
    now = boot.link(one.name, root=root)
    recorded = known.enabled.get(one.name)
    if now is Link.MASKED:
        yield LinkChange(one.name, LinkFate.AS_IT_IS, now)  # its file is left alone, and says so
    elif change.fate is Fate.REMOVE and (now is Link.ENABLED or recorded is False):
        # The link leads to the copy that goes, and is made anew to the package's file.
        yield LinkChange(one.name, LinkFate.DISABLE, now)
        yield LinkChange(one.name, LinkFate.ENABLE, now)
    elif change.fate is Fate.CREATE and boot.wanting(one.name, root=root):
        # Its file alone was removed: nobody disabled it.
        yield LinkChange(one.name, LinkFate.ENABLE, now)
    elif now is Link.ENABLED and recorded is None:
        ours = change.fate not in (Fate.LEAVE, Fate.PACKAGED, Fate.FORGET)
        yield LinkChange(one.name, LinkFate.ADOPT if ours else LinkFate.AS_IT_IS, now)
    elif now is Link.ENABLED and recorded:
        yield LinkChange(one.name, LinkFate.AS_IT_IS, now)
    elif insist or (recorded is False and change.fate is not Fate.LEAVE):
        yield LinkChange(one.name, LinkFate.ENABLE, now)
    elif one.asked_for:
        yield LinkChange(one.name, LinkFate.AS_IT_IS, now)
    elif recorded or change.fate is Fate.LEAVE:
        why = "an administrator disabled it" if recorded else "its file is an administrator's, and it is not enabled"
        command = "systemctl enable --now" if starts_at_once(one.name) else "systemctl enable"
        yield LinkChange(one.name, LinkFate.LEAVE, now, why, f"`{command} {one.name}` enables it.")
    else:
        yield LinkChange(one.name, LinkFate.ENABLE, now)
