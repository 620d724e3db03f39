"""What a test sees of the lab: one virtual Debian host, as a person at its console would have it.

def test_data_survives_a_cut(host):
    disk = host.disk("PG-0001", 256 * MIB)
    host.run("mkfs.ext4", "-q", disk.link)
    host.power_cut()
    host.power_on()
    host.run("fsck.ext4", "-fn", disk.link)
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tests.lab import scan
from tests.lab.disk import Bus, Disk
from tests.lab.errors import LabError
from tests.lab.image import Image
from tests.lab.machine import BOOT_SECONDS, Machine, Snapshot
from tests.lab.qemu import PORTS
from tests.lab.ssh import Result, Ssh
from tests.lab.state import StateDisk
from tests.lab.tpm import Tpm

MIB = 1024 * 1024
WARM = ("/usr/bin/python3", "-I", "-S", "/opt/lab/warm_client.py")


class Host:
    """A virtual host, restored from the snapshot when it is made; `close` ends it."""

    def __init__(self, image: Image, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._disks: list[Disk] = []
        self._state: StateDisk | None = None
        # Keys that this test used: the `host` fixture scans for each when the test is over.
        self.secrets: list[bytes] = []
        self.machine = Machine(image)
        try:
            self.machine.restore(snapshot)
        except BaseException:
            self.machine.discard()
            raise
        self.tpm = Tpm(self)

    # Commands and files

    def run(
        self,
        *argv: str | os.PathLike[str],
        input: str | bytes | None = None,  # noqa: A002  (the word that subprocess.run uses)
        ok: Sequence[int] | None = (0,),
        timeout: float = 300,
    ) -> Result:
        """Run a command as root in the host and return its `stdout`, `stderr` and `status`.

        `input` goes to its standard input; `ok` lists the statuses that do not fail the test (None:
        any); `timeout` is in seconds.
        """
        data = input.encode() if isinstance(input, str) else input
        words = [os.fspath(word) for word in argv]
        return self._ssh.run(words, stdin=data, timeout_seconds=timeout, ok=ok)

    def sh(
        self,
        script: str,
        *args: str,
        input: str | bytes | None = None,  # noqa: A002
        ok: Sequence[int] | None = (0,),
        timeout: float = 300,
    ) -> Result:
        """Run a shell script (stopping at its first error) with these arguments as $1, $2, …"""
        return self.run("bash", "-euo", "pipefail", "-c", script, "lab", *args, input=input, ok=ok, timeout=timeout)

    def volward(
        self,
        *args: str,
        input: str | bytes | None = None,  # noqa: A002
        ok: Sequence[int] | None = (0,),
        timeout: float = 300,
    ) -> Result:
        """Run the installed `volward` with these arguments.

        Its imports are done already where the host was restored (guest/warm_server.py says how): they are
        most of a command's time under emulation. `run("volward", …)` starts the program from nothing.
        """
        return self.run(*WARM, *args, input=input, ok=ok, timeout=timeout)

    def put(self, path: str | PurePosixPath, content: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file in the host, with the directories above it."""
        data = content.encode() if isinstance(content, str) else content
        script = 'mkdir -p "$(dirname "$1")"; rm -f "$1"; (umask 077; cat >"$1"); chmod "$2" "$1"'
        self.sh(script, str(path), f"{mode:o}", input=data)

    def get(self, path: str | PurePosixPath) -> bytes:
        """Read a file in the host."""
        return self.run("cat", str(path)).stdout_bytes

    def journal(self, *match: str) -> str:
        """The journal since the host was restored; `match` is more of journalctl's command line."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", "--all", "--output=short-precise", *match).stdout

    def forward(self, *, guest_port: int, port: int) -> None:
        """Let a server on 127.0.0.1:port of this machine answer on 127.0.0.1:guest_port in the host.

        Holds until the host is cut, restarted or closed.
        """
        self._ssh.forward(guest_port=guest_port, port=port)

    # Disks

    def disk(self, serial: str, size_bytes: int, *, bus: str = Bus.VIRTIO, physical_block_bytes: int = 512) -> Disk:
        """Hot-plug a new blank disk with that serial number, and wait for its link in /dev/disk/by-id."""
        if len(self._disks) >= PORTS:
            raise LabError(f"a host has room for {PORTS} data disks")
        disk = Disk(
            self,
            serial=serial,
            size_bytes=size_bytes,
            bus=Bus(bus),
            physical_block_bytes=physical_block_bytes,
            slot=min(set(range(PORTS)) - {disk.slot for disk in self._disks}),
        )
        self._disks.append(disk)
        if self.machine.is_on:
            disk.plug()
        return disk

    def forget(self, disk: Disk) -> None:
        """Give the place of a removed disk to the next; `Disk.remove` calls it."""
        self._disks.remove(disk)

    def state_disk(self, *more_directories: str) -> StateDisk:
        """Keep what volward writes about itself on a disk, so that it outlives `power_on(cold=False)`.

        Call it before volward runs for the first time. `more_directories` join state.DIRECTORIES.
        """
        if self._state is None:
            self._state = StateDisk(self, more_directories)
        return self._state

    # Power

    def power_cut(self) -> None:
        """Pull the plug. What the host held in its page cache is gone; what it had submitted stays.

        That is weaker than a real cut: a device's own write cache never loses anything here.
        """
        self.machine.cut_power()

    def power_on(self, *, cold: bool = True) -> None:
        """Start the host again with its disks.

        Cold: a real boot of the same root disk (20 s). Otherwise the snapshot is restored (2 s), and
        of the root disk only the directories of `state_disk` are as they were; nothing is started
        that a boot would have started.
        """
        if self.machine.is_on:
            raise LabError("the host is on already")
        plugged = [disk for disk in self._disks if disk.plugged]
        if cold:
            self._refuse_boot_with_state()
            self.machine.boot(*(word for disk in plugged for word in disk.boot_arguments))
            return
        self.machine.restore(self._snapshot)
        for disk in plugged:
            disk.plugged = False
        if self._state is not None:
            self._state.disk.plug()
            self._state.mount()
        for disk in plugged:
            if not disk.plugged:
                disk.plug()

    def reboot(self, *, timeout: float = BOOT_SECONDS) -> None:
        """Reboot in good order and wait until the host answers again. Disks keep their state of plugging."""
        self._refuse_boot_with_state()
        before = self.boot_id()
        # The connection may be gone before the command has returned.
        self.run("systemctl", "reboot", ok=None)
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            try:
                if self.boot_id() != before:
                    return
                time.sleep(0.5)
            except LabError:
                self._ssh.connect(deadline_seconds=max(limit - time.monotonic(), 1))
        raise LabError(f"the host did not reboot within {timeout:g} s; its console says:\n{self.console_tail()}")

    def power_off(self, *, timeout: float = 180) -> None:
        """Shut the host down in good order."""
        self.run("systemctl", "poweroff", ok=None)
        self.machine.wait_until_off(deadline_seconds=timeout)

    def boot_id(self) -> str:
        """The kernel's id of this boot."""
        return self.run("cat", "/proc/sys/kernel/random/boot_id", timeout=60).stdout.strip()

    def wait_until_booted(self, *, timeout: float = BOOT_SECONDS) -> str:
        """Wait until systemd has no jobs left, and return its state: running, degraded, …"""
        done = self.run("systemctl", "is-system-running", "--wait", ok=None, timeout=timeout)
        return done.stdout.strip()

    # Looking at it

    def secrets_scan(self, secrets: Sequence[bytes], *, also: Sequence[str] = ()) -> list[scan.Hit]:
        """Where these secrets can be found, raw or encoded: processes, journal, volward's files, logs.

        `also` names more directories, such as one with core dumps.
        """
        return scan.scan(self, secrets, also=also)

    def stored_keys(self) -> list[bytes]:
        """The unlocking keys in the host's credential store, as far as they can be unsealed now."""
        script = """
            for sealed in /etc/credstore.encrypted/volward.*; do
                [ -e "$sealed" ] || continue
                systemd-creds decrypt "$sealed" - 2>/dev/null | base64 --wrap=0 || true
                echo
            done
        """
        lines = self.sh(script).stdout.split()
        return [base64.b64decode(line) for line in lines]

    def console_tail(self, lines: int = 40) -> str:
        """The last lines of the serial console."""
        return "\n".join(self.machine.console().splitlines()[-lines:])

    @property
    def directory(self) -> Path:
        """The machine's directory outside: logs, disks."""
        return self.machine.directory

    def close(self, *, keep: bool = False) -> None:
        """End the host; `keep` leaves its directory for inspection."""
        if keep:
            (self.directory / "keep").touch()
            self.machine.release()
        else:
            self.machine.discard()

    @property
    def _ssh(self) -> Ssh:
        return self.machine.ssh

    def _refuse_boot_with_state(self) -> None:
        if self._state is not None:
            raise LabError(
                "a host with a state disk cannot boot: its directories are bind mounts over the root disk. "
                "Use power_on(cold=False), or a host without state_disk()"
            )
