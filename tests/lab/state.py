"""A disk for what volward remembers, so that a power cut followed by a quick restore is a real one.

Restoring the snapshot reverts the root disk, and with it journal, configuration and sealed keys: after a
cut, volward would find a world that never was. Here these directories are bind mounts from a disk of
their own, which is attached again after the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.host import Host

SERIAL = "lab-state"
SIZE_BYTES = 1024 * 1024 * 1024  # sparse; header backups take 16 MiB a volume
MOUNT_POINT = "/run/lab-state"
# The host key of systemd-creds is not among them: it is the same in each restored host.
DIRECTORIES = (
    "/var/lib/volward",
    "/etc/volward",
    "/etc/credstore",
    "/etc/credstore.encrypted",
    "/etc/systemd/system",
)


class StateDisk:
    """Made by `Host.state_disk`; `disk` is the disk itself."""

    def __init__(self, host: Host, more_directories: Sequence[str]) -> None:
        self._host = host
        self.directories = (*DIRECTORIES, *more_directories)
        self.disk = host.disk(SERIAL, SIZE_BYTES)
        # Each directory starts with what the root disk has there, owners and modes included.
        script = f"""
        mkfs.ext4 -q "$1"
        mkdir -p {MOUNT_POINT}
        mount "$1" {MOUNT_POINT}
        shift
        for directory; do
            mkdir -p "$directory" "{MOUNT_POINT}$directory"
            cp -aT "$directory" "{MOUNT_POINT}$directory"
        done
        umount {MOUNT_POINT}
        """
        host.sh(script, self.disk.link, *self.directories)
        # Units are what they were: PID 1 need not read them again.
        self._mount()

    def mount(self) -> None:
        """Put the disk's directories in place in a restored host; PID 1 reads its units again."""
        self._mount()
        self._host.run("systemctl", "daemon-reload")

    def _mount(self) -> None:
        script = f"""
        mkdir -p {MOUNT_POINT}
        mount "$1" {MOUNT_POINT}
        shift
        for directory; do
            mkdir -p "$directory"
            mount --bind "{MOUNT_POINT}$directory" "$directory"
        done
        """
        self._host.sh(script, self.disk.link, *self.directories)
