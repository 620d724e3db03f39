"""Which block devices are mounted or swapped on: PID 1's mountinfo and /proc/swaps (proc(5)), read once for all
devices of a pass. Owns no host commands.
"""

import contextlib
import os
from pathlib import Path

from volward.host import mountinfo
from volward.host.identity import text
from volward.model import Mount


class Usage:
    """Mounts and swap space of the host at one moment."""

    def __init__(self, proc: Path, dev: Path) -> None:
        self._dev = dev
        self._mounts = _mounts(proc)
        self.swaps = _swaps(proc)

    def mounts(self, directory: Path) -> tuple[Path, ...]:
        """Return where the device of a sysfs directory is mounted.

        btrfs and others mount under a number of their own (0:N); there the source names the device.
        """
        own = text(directory / "dev")
        node = self._node(directory)
        return tuple(
            mount.target
            for mount in self._mounts
            if mount.number == own or (mount.number.startswith("0:") and self._leads_to(mount.source, node))
        )

    def is_swap(self, directory: Path) -> bool:
        node = self._node(directory)
        return any(self._leads_to(source, node) for source in self.swaps)

    def _node(self, directory: Path) -> Path:
        return self._dev / directory.name.replace("!", "/")

    def _leads_to(self, source: str, node: Path) -> bool:
        return source.startswith(f"{self._dev}/") and Path(os.path.realpath(source)) == node


def _mounts(proc: Path) -> tuple[Mount, ...]:
    """Return PID 1's mounts; where those are hidden (in a container) this process's own."""
    for process in ("1", "self"):
        with contextlib.suppress(OSError):
            return mountinfo.read(process, proc=proc)
    return ()


def _swaps(proc: Path) -> frozenset[str]:
    with contextlib.suppress(OSError):
        lines = (proc / "swaps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()[1:]
        return frozenset(mountinfo.unescaped(line.split()[0]) for line in lines if line.strip())
    return frozenset()
