"""Which block devices are mounted or swapped on: PID 1's mountinfo and /proc/swaps (proc(5)), read once for all
devices of a pass. Owns no host commands.
"""

import contextlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from volward.host import mountinfo
from volward.host.identity import text
from volward.model import Mount


class Usage:
    """Mounts and swap space of the host at one moment; each question costs the same, however many there are."""

    def __init__(self, proc: Path, dev: Path, *, mounts: Sequence[Mount] | None = None) -> None:
        """Read now; ``mounts`` are PID 1's, from a caller that has read them already."""
        self._dev = dev
        self._mounts = _mounts(proc) if mounts is None else mounts
        self.swaps = _swaps(proc)

    def mounts(self, directory: Path) -> tuple[Path, ...]:
        """Return where the device of a sysfs directory is mounted.

        btrfs and others mount under a number of their own (0:N); there the source names the device.
        """
        by_number = self._by_number.get(text(directory / "dev"), ())
        return (*by_number, *self._by_source.get(str(self._node(directory)), ()))

    def is_swap(self, directory: Path) -> bool:
        return str(self._node(directory)) in self._swap_nodes

    @cached_property
    def _by_number(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for mount in self._mounts:
            if not mount.number.startswith("0:"):
                found.setdefault(mount.number, []).append(mount.target)
        return found

    @cached_property
    def _by_source(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for mount in self._mounts:
            if mount.number.startswith("0:") and self._is_node(mount.source):
                found.setdefault(os.path.realpath(mount.source), []).append(mount.target)
        return found

    @cached_property
    def _swap_nodes(self) -> frozenset[str]:
        return frozenset(os.path.realpath(source) for source in self.swaps if self._is_node(source))

    def _is_node(self, source: str) -> bool:
        return source.startswith(f"{self._dev}/")

    def _node(self, directory: Path) -> Path:
        return self._dev / directory.name.replace("!", "/")


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
