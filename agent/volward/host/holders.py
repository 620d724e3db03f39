"""Who keeps a mounted volume busy: processes in every mount namespace, and block devices built on it.

umount on the host can succeed while a container's mount namespace still writes to the device, so every
/proc/PID/mountinfo is looked at, not the host's alone. A sandboxed service (systemd-udevd, systemd-logind) has
a namespace of its own too; there the mount is a copy that goes away with the host's, and holds nothing. Reads
/proc (proc(5)) and sysfs; processes come and go meanwhile, and those that cannot be inspected are counted. Owns
no host commands; psutil reads the processes' names and command lines. Shares the mountinfo parser with its
sibling `mount`.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from volward.host import mountinfo
from volward.model import Mount

PROC = Path("/proc")
SYSFS = Path("/sys")

_CONTAINER = re.compile(r"(?:^|[^0-9a-f])([0-9a-f]{64})(?:[^0-9a-f]|$)")
_UNIT = re.compile(r"/([^/]+\.service)(?:/|$)")
_NAMED_FILES = 3


@dataclass(frozen=True)
class Holder:
    """One process, or the first process of a mount namespace in which the volume is still mounted."""

    pid: int
    name: str
    command_line: str
    how: str  # "working directory, file /srv/pg/base/1, 11 more files", "mount namespace (4 processes)"
    container: str = ""  # its full ID, from the control group
    unit: str = ""  # "postgresql@17-main.service", from the control group

    def named(self, container_name: str = "") -> str:
        """Return a line for a person, with the container's name where that is known."""
        container = " ".join(filter(None, (container_name, self.container[:12])))
        where = f"container {container}, " if container else f"{self.unit}, " if self.unit else ""
        return f"process {self.pid} ({where}{self.how}): {self.command_line or self.name or 'it has ended meanwhile'}"


@dataclass(frozen=True)
class Holding:
    """Everything that holds the volume."""

    processes: tuple[Holder, ...]
    devices: tuple[str, ...]  # kernel names of block devices on top of the mapping, or on files of the mount
    mounts_below: tuple[Path, ...]  # mounts inside the mount, which have to go first
    mounted_at: tuple[Path, ...]  # where the host itself has it mounted
    not_inspected: int  # processes that could not be looked at

    @property
    def nobody(self) -> bool:
        """True only when everything could be looked at and nothing but the host's own mount was found."""
        return not (self.processes or self.devices or self.mounts_below or self.not_inspected)


@dataclass
class _Process:
    pid: int
    uses: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    namespace: str = ""

    @property
    def how(self) -> str:
        named = [f"file {path}" for path in self.files[:_NAMED_FILES]]
        rest = len(self.files) - _NAMED_FILES
        return ", ".join([*self.uses, *named, *([f"{rest} more files"] if rest > 0 else [])])


class _Denied(Exception):  # noqa: N818 (not an error: a process that is counted)
    pass


def holding(number: str, *, proc: Path = PROC, sysfs: Path = SYSFS) -> Holding:
    """Find everything that holds the file system of a device number ("252:0"). Never raises for a process."""
    found: list[_Process] = []
    not_inspected = 0
    host = _link(proc / "1/ns/mnt") or _link(proc / "self/ns/mnt")
    namespaces = _Namespaces(number, _mounts(number, proc))
    for pid in _pids(proc):
        process = _Process(pid)
        try:
            _inspect(process, proc / str(pid), number)
            if process.namespace and process.namespace != host:
                namespaces.note(process, proc / str(pid))
        except _Denied:
            not_inspected += 1
        if process.uses or process.files:
            found.append(process)
    holders = [_holder(process.pid, process.how, proc) for process in found]
    told = {process.pid for process in found}
    for pids in namespaces.holding:
        others = [pid for pid in pids if pid not in told]
        if others:
            count = "1 process" if len(others) == 1 else f"{len(others)} processes"
            holders.append(_holder(others[0], f"mount namespace ({count})", proc))
    targets = tuple(mount.target for mount in namespaces.of_host)
    return Holding(
        processes=tuple(sorted(holders, key=lambda one: one.pid)),
        devices=_devices(number, targets, sysfs),
        mounts_below=_mounts_below(targets, proc),
        mounted_at=targets,
        not_inspected=not_inspected,
    )


def _pids(proc: Path) -> list[int]:
    return sorted(int(one.name) for one in proc.iterdir() if one.name.isdecimal())


def _inspect(process: _Process, directory: Path, number: str) -> None:
    """Collect the uses of one process. Raises _Denied when a part of it may not be looked at."""
    denied = False
    try:
        process.namespace = str((directory / "ns/mnt").readlink())
    except FileNotFoundError:
        return
    except OSError as error:
        denied = isinstance(error, PermissionError)
    for link, use in (("cwd", "working directory"), ("root", "root directory"), ("exe", "program")):
        try:
            if _is_on(directory / link, number):
                process.uses.append(use)
        except PermissionError:
            denied = True
    files: dict[str, None] = {}
    for look in (_open_files, _mapped_files):
        try:
            files.update(dict.fromkeys(look(directory, number)))
        except PermissionError:
            denied = True
    process.files = list(files)
    if denied:
        raise _Denied


def _is_on(link: Path, number: str) -> bool:
    """Follow one of /proc's magic links. Raises PermissionError; a link that is gone is on nothing."""
    try:
        device = link.stat().st_dev
    except PermissionError:
        raise
    except OSError:
        return False
    return f"{os.major(device)}:{os.minor(device)}" == number


def _open_files(directory: Path, number: str) -> Iterator[str]:
    try:
        links = list((directory / "fd").iterdir())
    except PermissionError:
        raise
    except OSError:
        return
    for link in links:
        if _is_on(link, number):
            yield _link(link)


def _mapped_files(directory: Path, number: str) -> Iterator[str]:
    """Each line of maps: address, permissions, offset, device in hexadecimal, inode, path."""
    major, _, minor = number.partition(":")
    device = f"{int(major):02x}:{int(minor):02x}"
    try:
        lines = (directory / "maps").read_text(errors="surrogateescape").splitlines()
    except PermissionError:
        raise
    except OSError:
        return
    for line in lines:
        words = line.split(None, 5)
        if len(words) == 6 and words[3] == device:
            yield words[5]


class _Namespaces:
    """The mount namespaces of processes apart from the host's; each one's mountinfo is read once."""

    def __init__(self, number: str, of_host: tuple[Mount, ...]) -> None:
        self.number = number
        self.of_host = of_host
        self._holding: dict[str, bool] = {}
        self._pids: dict[str, list[int]] = {}

    @property
    def holding(self) -> list[list[int]]:
        """The processes of each namespace that holds the file system."""
        return list(self._pids.values())

    def note(self, process: _Process, directory: Path) -> None:
        """Look at the namespace of a process. Raises _Denied."""
        name = process.namespace
        if name not in self._holding:
            try:
                mounts = mountinfo.parse((directory / "mountinfo").read_text(errors="surrogateescape"))
            except PermissionError as error:
                raise _Denied from error
            except OSError:
                return  # the process is gone; the next one of the namespace will tell
            self._holding[name] = self._outlives_the_hosts(mounts)
        if self._holding[name]:
            self._pids.setdefault(name, []).append(process.pid)

    def _outlives_the_hosts(self, mounts: tuple[Mount, ...]) -> bool:
        """Say whether a mount of the file system stays in a namespace when the host's is unmounted.

        A copy that is a slave or peer of the host's mount, at the same place, goes with it, unless something is
        mounted on it (mount_namespaces(7); systemd's ReadWritePaths= is such a mount).
        """
        parents = {mount.parent for mount in mounts}
        goes_along = {(mount.target, mount.root, mount.shared) for mount in self.of_host if mount.shared}
        return any(
            mount.number == self.number
            and (
                mount.identifier in parents
                or not any((mount.target, mount.root, group) in goes_along for group in (mount.shared, mount.master))
            )
            for mount in mounts
        )


def _holder(pid: int, how: str, proc: Path) -> Holder:
    name, command_line = "", ""
    if proc == PROC:
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            with process.oneshot():
                name, command_line = process.name(), " ".join(process.cmdline())
    else:
        name = _text(proc / str(pid) / "comm").strip()
        command_line = _text(proc / str(pid) / "cmdline").replace("\0", " ").strip()
    command_line = " ".join(command_line.split())  # a process that wrote its own title padded it with blanks
    group = _text(proc / str(pid) / "cgroup")
    container, unit = _CONTAINER.search(group), _UNIT.findall(group)
    return Holder(pid, name, command_line, how, container[1] if container else "", unit[-1] if unit else "")


def _mounts(number: str, proc: Path) -> tuple[Mount, ...]:
    with contextlib.suppress(OSError):
        return tuple(mount for mount in mountinfo.read("1", proc=proc) if mount.number == number)
    return ()


def _devices(number: str, targets: tuple[Path, ...], sysfs: Path) -> tuple[str, ...]:
    """Return what stands on the mapping itself, and the loop devices on files of the mount."""
    names: dict[str, None] = {}
    with contextlib.suppress(OSError):
        names.update(dict.fromkeys(sorted(one.name for one in (sysfs / "dev/block" / number / "holders").iterdir())))
    with contextlib.suppress(OSError):
        for block in sorted((sysfs / "block").glob("loop*")):
            file = _text(block / "loop/backing_file").rstrip("\n")
            if file and any(Path(file).is_relative_to(target) for target in targets):
                names[block.name] = None
    return tuple(names)


def _mounts_below(targets: tuple[Path, ...], proc: Path) -> tuple[Path, ...]:
    with contextlib.suppress(OSError):
        mounts = mountinfo.read("1", proc=proc)
        return tuple(
            mount.target
            for mount in mounts
            if any(mount.target != target and mount.target.is_relative_to(target) for target in targets)
        )
    return ()


def _link(path: Path) -> str:
    with contextlib.suppress(OSError):
        return str(path.readlink())
    return ""


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""
