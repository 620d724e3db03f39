"""Whether this process may do what the command needs; asked before anything else."""

import os
from pathlib import Path

from volward.errors import NoDeviceMapperError, NotPrivilegedError

_CONTROL = Path("/dev/mapper/control")
_MISC = Path("/proc/misc")


def demand_root(command: str) -> None:
    """Raise NotPrivilegedError unless this is root."""
    if os.geteuid() != 0:
        raise NotPrivilegedError(
            f"`volward {command}` needs root: block devices and mounts belong to it.",
            resolution=f"Run `sudo volward {command}`.",
        )


def demand_device_mapper(*, misc: Path = _MISC, control: Path = _CONTROL) -> None:
    """Raise NoDeviceMapperError when the kernel has no device mapper (it is listed in /proc/misc, see dmsetup(8))."""
    if control.exists() or "device-mapper" in misc.read_text():
        return
    from volward.errors import ToolFailedError, ToolMissingError
    from volward.host import run

    try:
        run.mutate(["modprobe", "dm_crypt"])
    except (ToolFailedError, ToolMissingError) as error:
        raise NoDeviceMapperError(
            "This kernel has no device mapper, so no LUKS volume can be opened on it.",
            resolution="Use a kernel with dm-crypt; `make demo` in volward's source shows all of it in a virtual host.",
        ) from error
