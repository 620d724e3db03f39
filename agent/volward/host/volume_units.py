"""The unit files of a volume: its mount, its mapping, and what ties its consumers to it. Written, not started here.

Mounts are persistent .mount units that PID 1 starts, since a mount made inside a sandboxed service would stay
there (systemd.exec(5)). They have no default dependencies: with them they are ordered before local-fs.target
while the agent runs after it, and the boot would stall. See systemd.mount(5), systemd.unit(5). Calls no host commands.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from volward import durable
from volward.model import StoreKind, VolumeSpec

UNIT_DIRECTORY = Path("/etc/systemd/system")
OPENING_UNIT = "volward.service"  # opens the volumes at boot, and later; shipped in units/
_TIE = "50-volward-"  # begins the name of a drop-in that ties a consumer to a volume
_DEVICE_WAIT_SECONDS = 10
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.")


@dataclass(frozen=True)
class UnitFile:
    """A file that volward keeps below /etc/systemd/system."""

    path: Path
    content: str

    @property
    def current(self) -> bool:
        try:
            return self.path.read_bytes() == self.content.encode()
        except OSError:
            return False

    def write(self) -> None:
        """Write the file durably with mode 0644. Raises NoSpaceError, OSError."""
        durable.make_directory(self.path.parent, mode=0o755)
        durable.replace(self.path, self.content.encode(), mode=0o644)


def escape_path(path: Path) -> str:
    """Escape a path for a unit name (systemd.unit(5), "String escaping for inclusion in unit names")."""
    text = str(path).strip("/")
    if not text:
        return "-"
    escaped = []
    for position, character in enumerate(text):
        if character == "/":
            escaped.append("-")
        elif character in _SAFE and not (position == 0 and character == "."):
            escaped.append(character)
        else:
            escaped.extend(f"\\x{byte:02x}" for byte in character.encode())
    return "".join(escaped)


def mount_unit_name(mount_point: Path) -> str:
    return f"{escape_path(mount_point)}.mount"


def mount_unit(
    volume: str, *, what: Path, where: Path, file_system: str, options: Sequence[str], directory: Path = UNIT_DIRECTORY
) -> UnitFile:
    """Return the unit that mounts a volume; bound to the mapping's device, and to nothing else.

    It brings the unit of the mapping with it, which is stopped after it.
    """
    device = f"{escape_path(what)}.device"
    content = f"""\
# Written by volward for volume {volume}; `volward apply` writes it anew.
[Unit]
Description=Encrypted volume {volume}
DefaultDependencies=no
Conflicts=umount.target
Before=umount.target
BindsTo={device}
After={device}
Wants={mapping_unit_name(volume)}
After={mapping_unit_name(volume)}

[Mount]
What={what}
Where={where}
Type={file_system}
Options={",".join(options).replace("%", "%%") or "defaults"}
"""
    return UnitFile(directory / mount_unit_name(where), content)


def mapping_unit_name(volume: str) -> str:
    return f"volward-mapping-{volume}.service"


def mapping_unit(volume: str, *, what: Path, directory: Path = UNIT_DIRECTORY) -> UnitFile:
    """Return the unit that closes the mapping at shutdown, once its mount has gone; it does nothing else.

    cryptsetup itself closes it, so that nothing of volward has to be there any more; when something holds it, volward
    names that in the journal.
    """
    device = f"{escape_path(what)}.device"
    content = f"""\
# Written by volward for volume {volume}; `volward apply` writes it anew.
[Unit]
Description=Mapping of encrypted volume {volume}
DefaultDependencies=no
# The mount stays, too, when another target is isolated.
IgnoreOnIsolate=yes
Conflicts=umount.target
Before=umount.target
BindsTo={device}
# cryptsetup waits for udev when it closes.
After={device} systemd-udevd.service systemd-udevd-kernel.socket

[Service]
Type=oneshot
RemainAfterExit=yes
# Closed by somebody else, there is nothing left to do.
# A container has a mount of its own, and Docker takes a while to stop it.
ExecStop=timeout --kill-after=5 60 sh -c 'until test ! -e {what} || cryptsetup close {what.name}; do sleep 1; done'
ExecStopPost=-/bin/sh -c 'test ! -e {what} || exec volward holders {volume}'
TimeoutStopSec=90
"""
    return UnitFile(directory / mapping_unit_name(volume), content)


def device_drop_in(volume: str, *, what: Path, directory: Path = UNIT_DIRECTORY) -> UnitFile:
    """Return the drop-in that says how long a mount, and the consumers that need it, wait for the mapping.

    While the boot opens volumes, the wait has not begun: a device unit can be ordered after the unit that makes
    it, and its time-out then counts from that unit's end. Any other time a closed volume is no reason to wait.
    """
    content = f"""\
# Written by volward for volume {volume}: what needs the volume fails soon when it is closed.
[Unit]
After={OPENING_UNIT}
JobRunningTimeoutSec={_DEVICE_WAIT_SECONDS}
"""
    return UnitFile(directory / f"{escape_path(what)}.device.d" / "50-volward.conf", content)


def consumer_drop_in(
    volume: str, *, unit: str, mount_point: Path, writable: Sequence[Path] = (), directory: Path = UNIT_DIRECTORY
) -> UnitFile:
    """Return the drop-in that ties a consumer to the real mount: no mount, no start; mount gone, stopped.

    ``writable`` are the directories that a consumer with a sandbox of its own has to be let into.
    """
    mount = mount_unit_name(mount_point)
    content = f"""\
# Written by volward: {unit} keeps its data on volume {volume}.
[Unit]
RequiresMountsFor={mount_point}
BindsTo={mount}
After={mount}
"""
    if writable:
        paths = "".join(f"ReadWritePaths={path}\n".replace("%", "%%") for path in writable)
        content += f"\n[Service]\n# Its own unit lets it write to the usual places alone.\n{paths}"
    return UnitFile(directory / f"{unit}.d" / f"{_TIE}{volume}.conf", content)


def daemon_drop_in(spec: VolumeSpec, *, directory: Path = UNIT_DIRECTORY) -> UnitFile | None:
    """Return what the sandbox of the daemon has to let through for this one volume; None for most of them.

    A `file:` volume is written through its file, and a scratch volume is made anew at each opening: its directories get
    their owners, or it is used as swap.
    """
    scratch = spec.store is StoreKind.SCRATCH
    lines = []
    if spec.is_file:
        lines.append(f"ReadWritePaths=-{spec.device.parent}".replace("%", "%%"))
    if scratch and spec.mount_point is not None:
        lines += ["CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER", "SystemCallFilter=@chown"]
    if scratch and spec.mount_point is None:
        lines.append("SystemCallFilter=swapon swapoff")
    if not lines:
        return None
    content = "\n".join(
        [f"# Written by volward: what volume {spec.name} needs beyond the others.", "[Service]", *lines, ""]
    )
    return UnitFile(directory / f"{OPENING_UNIT}.d" / f"{_TIE}{spec.name}.conf", content)


def ties(*, directory: Path = UNIT_DIRECTORY) -> dict[str, tuple[Path, ...]]:
    """Return the drop-ins by which volward tied units to volumes, by volume. Raises OSError."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted(directory.glob(f"*.d/{_TIE}*.conf")):
        volume = path.name.removeprefix(_TIE).removesuffix(".conf")
        found[volume] = (*found.get(volume, ()), path)
    return found


def left_behind(spec: VolumeSpec, tied: Sequence[Path]) -> tuple[Path, ...]:
    """Return those of a volume's drop-ins whose consumer the configuration does not name any more."""
    wanted = {unit.path for unit in units_of(spec)}
    return tuple(path for path in tied if path not in wanted)


def remove_drop_in(path: Path) -> None:
    """Remove a drop-in, and its directory with the last one. Raises OSError."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's drop-ins are in it
        path.parent.rmdir()


def units_of(spec: VolumeSpec) -> tuple[UnitFile, ...]:
    """Return the unit files of a volume: its mount and its mapping, drop-ins for its device, consumers, and the daemon.

    Of the databases only redis-server has a sandbox in its Debian unit (ProtectSystem=strict).
    """
    widened = daemon_drop_in(spec)
    for_daemon = () if widened is None else (widened,)
    if spec.mount_point is None:
        return for_daemon
    own = mount_unit(
        spec.name,
        what=spec.mapping_path,
        where=spec.mount_point,
        file_system=spec.file_system,
        options=spec.mount_options,
    )
    writable = [spec.mount_point / entry.path for entry in spec.directories if entry.path != "."]
    tied = [
        consumer_drop_in(
            spec.name,
            unit=unit,
            mount_point=spec.mount_point,
            writable=writable if spec.store is StoreKind.REDIS else (),
        )
        for unit in spec.units
    ]
    what = spec.mapping_path
    return (own, device_drop_in(spec.name, what=what), mapping_unit(spec.name, what=what), *tied, *for_daemon)
