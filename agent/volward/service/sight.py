"""What the daemon sees of the volumes: sysfs, PID 1's mountinfo and /proc/swaps. No child process.

A few reads a volume, so that it can look at every event; see sysfs-block-dm and proc(5).
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from volward import pins
from volward.errors import JournalError
from volward.host import block, identity, mapping, mount
from volward.host.mount import Mounts
from volward.host.usage import Usage
from volward.model import Mapping, MappingState, Mount, Pin
from volward.service.board import Sight
from volward.service.task import Watched

_NOT_JUDGED = (MappingState.UNKNOWN, MappingState.SUSPENDED)


def look(volumes: Iterable[Watched]) -> dict[str, Sight]:
    """Look at all volumes; one that cannot be judged is not told of. Raises OSError without sysfs or proc."""
    moment = Moment()
    moment.demand()
    return {volume.name: sight for volume in volumes if (sight := moment.sight_or_none(volume)) is not None}


@dataclass(frozen=True)
class Moment:
    """The host at one moment; what all volumes share is read once."""

    sysfs: Path = mapping.SYSFS
    proc: Path = block.PROC
    dev: Path = block.DEV
    pins: Path = pins.DIRECTORY

    def demand(self) -> None:
        """Raise OSError when the host cannot be looked at."""
        self._names, self._mounts, self._usage  # noqa: B018 (each is read once, here)

    def sight_or_none(self, volume: Watched) -> Sight | None:
        """Say what is seen of one volume; None also when its own path cannot be read (the disk below its file)."""
        try:
            return self.sight(volume)
        except OSError:
            return None

    def sight(self, volume: Watched) -> Sight | None:
        """Say what is seen of one volume; None when that is nothing to go by (`volward status` tells more)."""
        device = Path(volume.device)
        there = device.exists()
        try:
            pin = None if volume.scratch else pins.read(volume.name, directory=self.pins)
        except JournalError:
            return None
        mapped = self._mapping(volume, device if there else None, pin)
        if mapped is None or mapped.state in _NOT_JUDGED:
            return None
        if mapped.state is MappingState.FOREIGN:
            return Sight(device=there, mapping=True, mounted=False, other=mapped.detail.rstrip("."))
        zombie = mapped.state is MappingState.ZOMBIE
        here = self._mounts.at(Path(volume.mount_point)) if volume.mount_point else None
        mounted = here is not None and here.number == mapped.number
        if not volume.mount_point and mapped.node is not None:
            mounted = self._usage.is_swap(mapped.node)
        return Sight(
            device=there,
            mapping=mapped.state is not MappingState.ABSENT,
            mounted=mounted,
            sequence=mapping.disk_sequence(mapped.number, sysfs=self.sysfs),
            zombie=zombie,
            read_only=here is not None and mounted and "ro" in here.options,
            errors=here is not None and mounted and self._has_errors(mapped, here),
            used_percent=_used_percent(here.target) if here is not None and mounted else 0,
            changed=self._changed(device, pin) if there and pin is not None and not volume.is_file else (),
        )

    def _changed(self, device: Path, pin: Pin) -> tuple[str, ...]:
        """Say how the device differs from the one that was pinned; nothing of one whose identity cannot be read."""
        with contextlib.suppress(OSError):
            directory = (self.sysfs / "dev/block" / _number(device)).resolve()
            return identity.of(directory, dev=self.dev).differences(pin.identity)
        return ()

    def _mapping(self, volume: Watched, device: Path | None, pin: Pin | None) -> Mapping | None:
        """Return the mapping of the volume's name; what its header was is known from the pin, without reading it."""
        try:
            number = _number(device) if device is not None and not volume.is_file else None
        except OSError:
            return None
        return mapping.look(
            volume.mapping,
            luks_uuid=pin.luks_uuid if pin else None,
            backing_number=number,
            backing_file=device.resolve() if device is not None and volume.is_file else None,
            plain=volume.scratch,
            known=self._names,
            sysfs=self.sysfs,
        )

    def _has_errors(self, mapped: Mapping, here: Mount) -> bool:
        """Whether ext4 has counted errors (sysfs-fs-ext4): one that gave up because of them need not say "ro"."""
        if mapped.node is None or here.file_system != "ext4":
            return False
        try:
            return int((self.sysfs / "fs/ext4" / mapped.node.name / "errors_count").read_text()) > 0
        except (OSError, ValueError):
            return False

    @cached_property
    def _mounts(self) -> Mounts:
        return Mounts(mount.table(proc=self.proc))

    @cached_property
    def _usage(self) -> Usage:
        return Usage(self.proc, self.dev, mounts=self._mounts.all)

    @cached_property
    def _names(self) -> dict[str, str]:
        return mapping.names(sysfs=self.sysfs)


def _used_percent(mounted: Path) -> int:
    """Of the space that others than root can have (statvfs(3)); 0 when it cannot be said."""
    try:
        space = os.statvfs(mounted)
    except OSError:
        return 0
    used, free = space.f_blocks - space.f_bfree, space.f_bavail
    return 100 * used // (used + free) if used + free else 0


def _number(device: Path) -> str:
    status = device.stat()
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
