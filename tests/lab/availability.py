"""Whether this machine can run the lab, and if not, why."""

from __future__ import annotations

import os
import re
import shutil
import sys

from tests.lab import qemu
from tests.lab.errors import LabError, LabUnavailableError

TOOLS = ("qemu-system-x86_64", "qemu-img", "swtpm", "ssh", "setpriv")
# Older emulators compute AES in software within the emulated CPU: dm-crypt is four times slower.
OLDEST_QEMU = 9


def check() -> None:
    """Raise LabUnavailableError, saying what is missing, unless virtual hosts can be started here."""
    if sys.platform != "linux":
        raise LabUnavailableError("the lab runs on Linux")
    if os.geteuid() != 0:
        raise LabUnavailableError("the lab needs root")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise LabUnavailableError(f"the lab needs {', '.join(missing)}: run `python3 -m tests.lab tools`")
    major = qemu_major()
    if major < OLDEST_QEMU:
        raise LabUnavailableError(
            f"the lab needs QEMU {OLDEST_QEMU} or newer, this is {major}: run `python3 -m tests.lab tools`"
        )


def qemu_major() -> int:
    """The major version of the installed QEMU, 0 if that cannot be told."""
    try:
        found = re.search(r"version (\d+)", qemu.version())
    except (LabError, OSError):
        return 0
    return int(found.group(1)) if found else 0


def is_required() -> bool:
    """Whether a lab that cannot run is a failure and not a reason to skip: on CI, or on request."""
    return bool(os.environ.get("CI")) or os.environ.get("VOLWARD_LAB") == "require"
