"""Whether this process and this kernel can do what the command needs; asked before anything else."""

import os
from pathlib import Path

from volward.errors import NoDeviceMapperError, NotPrivilegedError, ToolFailedError, ToolMissingError

_MODULE = Path("/sys/module/dm_crypt")
_MISC = Path("/proc/misc")


def demand_root(command: str) -> None:
    """Raise NotPrivilegedError unless this is root."""
    if os.geteuid() != 0:
        raise NotPrivilegedError(
            f"`volward {command}` needs root: block devices and mounts belong to it.",
            resolution=f"Run `sudo volward {command}`.",
        )


def demand_device_mapper(*, load: bool, module: Path = _MODULE, misc: Path = _MISC) -> None:
    """Raise NoDeviceMapperError when the kernel can open no LUKS volume; with ``load`` its module is loaded.

    The node /dev/mapper/control says nothing: systemd makes it also where no driver stands behind it. Without
    ``load`` modprobe(8) is asked what it would do. A kernel that has dm-crypt built in may lack modprobe and
    /sys/module/dm_crypt; then device mapper's line in /proc/misc counts.
    """
    if module.is_dir():
        return
    from volward.host import run

    try:
        if load:
            run.mutate(["modprobe", "dm_crypt"])
        else:
            run.read(["modprobe", "--dry-run", "--quiet", "dm_crypt"])
    except (ToolFailedError, ToolMissingError) as error:
        if not _has_device_mapper(misc):
            raise NoDeviceMapperError(
                "This kernel has no device mapper, so no LUKS volume can be opened on it. Nothing was changed.",
                resolution="Use a kernel with dm-crypt; `make demo` in volward's source shows all of it in a virtual "
                "host.",
            ) from error


def _has_device_mapper(misc: Path) -> bool:
    try:
        return any(line.split()[-1:] == ["device-mapper"] for line in misc.read_text().splitlines())
    except OSError:
        return False
