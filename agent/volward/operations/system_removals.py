"""What `volward system uninstall` would do. Reads; changes nothing. Runs `systemctl list-units`.

What the manifest lists and nobody changed goes, and the daemon is stopped, which closes nothing. Of volumes nothing
goes: units of their mounts and mappings, consumers' drop-ins, data. What is in use stays: the socket while
/etc/crypttab names it, a template while an instance of it runs.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from volward import manifest
from volward.host import boot, shipped
from volward.host.boot import Link
from volward.host.shipped import BY_PATH, MODE, ROOT, UNITS, Part, at
from volward.installation import Fate, FileChange, Installation, LinkChange, LinkFate, is_ours, look, whose
from volward.manifest import Entry, Manifest
from volward.os_errors import explained
from volward.report import crypttab

_CRYPTTAB = Path("/etc/crypttab")
_WRITTEN_FOR_A_VOLUME = b"# Written by volward"  # how host/systemd.py begins each of them
_ASKED = f"{_CRYPTTAB} has systemd ask there for keys"
_ASK_NO_MORE = f"Remove the lines with {crypttab.SOCKET} from {_CRYPTTAB}, then run the same command again."
_RUNNING = frozenset({"active", "activating", "reloading", "deactivating"})


def plan_uninstall(*, opened_at_boot: Collection[str] = (), root: Path = ROOT) -> Installation:
    """Plan the removal of everything that volward installed and nobody changed. Raises what `plan_install` raises.

    ``opened_at_boot`` are the volumes that the configuration has the boot open, to be named when it will not any more.
    """
    with explained("Looking at the installed units"):
        known = manifest.read(root=root)
        listed = dict.fromkeys([*known.files, *(path for path in BY_PATH if _may_be_adopted(path, root))])
        files = removals(listed, known, root)
        kept = in_use(files)
        removed = [one.path for one in files if one.fate is Fate.REMOVE]
        adopted = [path.name for path in removed if path not in known.files and boot.enabled(path.name, root=root)]
        enabled = tuple(dict.fromkeys([*known.enabled, *adopted]))
        running = _running_services([*(path.name for path in removed), *enabled])
        links = [
            LinkChange(name, LinkFate.AS_IT_IS, boot.link(name, root=root))
            if name in kept
            else _unless_asked(disabling(name, root, stop=name == boot.UNIT and name in running), root)
            for name in enabled
        ]
        off = [one.unit for one in links if one.fate is LinkFate.DISABLE]
        remarks = (*_of_services(running, off), *_of_volumes(off, opened_at_boot, root)) if files or links else ()
        return Installation("uninstall", known, tuple(files), tuple(links), remarks)


def removals(paths: Iterable[Path], known: Manifest, root: Path) -> list[FileChange]:
    changes = [_removed(path, known.files.get(path), root) for path in paths]
    templates = [one.path.name for one in changes if one.fate is Fate.REMOVE and "@." in one.path.name]
    running = [unit for unit, state in boot.states(templates).items() if state in _RUNNING] if templates else []
    asked = _crypttab_asks(root)
    return [_unless_used(one, running, asked=asked) if one.fate is Fate.REMOVE else one for one in changes]


def in_use(files: Iterable[FileChange]) -> set[str]:
    return {one.path.name for one in files if one.fate is Fate.IN_USE}


def _may_be_adopted(path: Path, root: Path) -> bool:
    """Whether there is, on a host that lost its manifest, what this volward would write."""
    found = look(at(path, root))
    if found is None or found.mode != MODE or shipped.is_packaged(BY_PATH[path], root=root):
        return False
    return found.content == shipped.content(BY_PATH[path])


def _removed(path: Path, entry: Entry | None, root: Path) -> FileChange:
    found = look(at(path, root))
    if found is None:
        return FileChange(path, Fate.FORGET)
    if is_ours(found, entry) or (path in BY_PATH and _may_be_adopted(path, root)):
        return FileChange(path, Fate.REMOVE, found)
    return FileChange(
        path,
        Fate.LEAVE,
        found,
        reason=f"it is {whose(found)}",
        resolution=f"`rm {path}` removes it, if you want that.",
    )


def disabling(name: str, root: Path, *, stop: bool = False) -> LinkChange:
    """Return what becomes of a unit that is to be enabled no more; ``stop``: it runs, and is to be stopped with it."""
    fate = LinkFate.DISABLE if stop or boot.wanting(name, root=root) else LinkFate.FORGET
    return LinkChange(name, fate, boot.link(name, root=root))


def _unless_used(change: FileChange, running: Collection[str], *, asked: bool) -> FileChange:
    one = BY_PATH.get(change.path)
    if one is not None and one.part is Part.KEY_SOCKET and asked:
        return FileChange(
            change.path,
            Fate.IN_USE,
            change.before,
            reason=_ASKED,
            resolution=_ASK_NO_MORE,
        )
    if "@." in change.path.name:
        head, _, tail = change.path.name.partition("@.")
        instances = [unit for unit in running if unit.startswith(f"{head}@") and unit.endswith(f".{tail}")]
        if instances:
            return FileChange(
                change.path,
                Fate.IN_USE,
                change.before,
                reason=f"{', '.join(instances)} runs with it",
                resolution="volward stops no service. When it has ended, run the same command again.",
            )
    return change


def _unless_asked(change: LinkChange, root: Path) -> LinkChange:
    """Leave the socket of a package on while it is needed; of one that volward wrote, the file stays as well."""
    if change.unit == boot.KEY_SOCKET and change.now is Link.ENABLED and _crypttab_asks(root):
        return replace(change, fate=LinkFate.LEAVE, reason=_ASKED, resolution=_ASK_NO_MORE)
    return change


def _crypttab_asks(root: Path) -> bool:
    try:
        lines = at(_CRYPTTAB, root).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    return any(str(crypttab.SOCKET) in line.split() for line in lines if not line.lstrip().startswith("#"))


def _running_services(names: Iterable[str]) -> tuple[str, ...]:
    services = [name for name in dict.fromkeys(names) if name.endswith(".service") and "@." not in name]
    states = boot.states(services) if services else {}
    return tuple(name for name in services if states.get(name) in _RUNNING)


def _of_services(running: Iterable[str], off: Collection[str]) -> Iterator[str]:
    for name in running:
        if name in off:
            yield f"{name} is stopped, which closes nothing: what is open stays open."
        else:
            yield f"{name} is active and is not stopped: it ends by itself."


def _of_volumes(off: Collection[str], opened_at_boot: Collection[str], root: Path) -> Iterator[str]:
    """Say what of the volumes stays, so that nobody looks for it in vain, and what nobody does for them any more."""
    volumes = tuple(_files_of_volumes(root))
    if volumes:
        listed = ", ".join(map(str, volumes))
        yield f"These files are the volumes' and stay, so that what is mounted can be unmounted in order: {listed}."
    if boot.UNIT in off and (volumes or opened_at_boot):
        which = f", although the configuration has it open {', '.join(opened_at_boot)}" if opened_at_boot else ""
        yield (
            f"WARNING: the next boot opens no volume{which}, and nothing watches them any more. `volward open --all` "
            "opens them by hand after each boot; `volward system install` takes this back."
        )


def _files_of_volumes(root: Path) -> Iterator[Path]:
    directory = at(UNITS.own, root)
    patterns = ("*.mount", "volward-mapping-*.service", "*.d/50-volward*.conf")
    for found in sorted(path for pattern in patterns for path in directory.glob(pattern)):
        if found.read_bytes().startswith(_WRITTEN_FOR_A_VOLUME):
            yield UNITS.own / found.relative_to(directory)
