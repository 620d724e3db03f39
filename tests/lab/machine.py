"""One virtual machine: a directory, QEMU, swtpm and an ssh connection; started, restored, saved, ended."""

from __future__ import annotations

import fcntl
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache, qemu
from tests.lab.errors import LabError
from tests.lab.image import Image
from tests.lab.process import run, start, stop
from tests.lab.qmp import Qmp
from tests.lab.ssh import Ssh

# A cold boot takes 15 s on an idle machine; CI may run several of these at once.
BOOT_SECONDS = 300.0
RESTORE_SECONDS = 120.0
# A unix socket's address holds 107 bytes, and ssh appends 17 to its name while it makes one.
LONGEST_DIRECTORY = 107 - 17 - len("/ssh.sock")


@dataclass(frozen=True)
class Snapshot:
    """A machine that stands still: root disk, memory, device state and TPM state, all of one moment."""

    directory: Path

    @property
    def root(self) -> Path:
        return self.directory / "root.qcow2"

    @property
    def memory(self) -> Path:
        return self.directory / "memory"

    @property
    def devices(self) -> Path:
        return self.directory / "devices"

    @property
    def tpm(self) -> Path:
        return self.directory / "tpm"


class Machine:
    """A virtual machine that may be running; its directory is removed by `discard`."""

    def __init__(self, image: Image) -> None:
        parent = cache.root() / "machines"
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.image = image
        self.directory = Path(tempfile.mkdtemp(prefix="m-", dir=parent))
        if len(str(self.directory)) > LONGEST_DIRECTORY:
            shutil.rmtree(self.directory)
            raise LabError(f"{parent} is too long for unix sockets; set VOLWARD_LAB_CACHE to a shorter path")
        # Held as long as this process lives, however it ends: `sweep` tells by it who is left behind.
        self._owner = (self.directory / "owner").open("w")
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        self._qemu: subprocess.Popen[bytes] | None = None
        self._swtpm: subprocess.Popen[bytes] | None = None
        self._qmp: Qmp | None = None
        self._ssh: Ssh | None = None

    @property
    def qmp(self) -> Qmp:
        if self._qmp is None:
            raise LabError("the machine is off")
        return self._qmp

    @property
    def ssh(self) -> Ssh:
        if self._ssh is None:
            raise LabError("the machine is off")
        return self._ssh

    @property
    def is_on(self) -> bool:
        return self._qemu is not None and self._qemu.poll() is None

    def new_root(self, backing: Path, backing_format: str) -> None:
        """An empty root disk on top of `backing`; whatever this machine's root disk held is gone."""
        overlay = self.directory / "root.qcow2"
        overlay.unlink(missing_ok=True)
        options = ["-q", "-f", "qcow2", "-F", backing_format, "-b", str(backing)]
        run(["qemu-img", "create", *options, overlay])

    def boot(self, *extra: str, memory: Path | None = None) -> None:
        """Start from the root disk, as after a press on the power button, and wait for ssh.

        `extra` is more of QEMU's command line; guest memory goes to the file `memory` if there is one.
        """
        self._launch(extra, memory=memory, share_memory=memory is not None)
        self.ssh.connect(deadline_seconds=BOOT_SECONDS)

    def restore(self, snapshot: Snapshot, *, memory: Path | None = None) -> None:
        """Go on from a snapshot, with a fresh root disk on top of the snapshot's, and wait for ssh.

        The snapshot stays as it is. If the machine is to be saved again, `memory` names a copy of the
        snapshot's memory file, which then follows the guest.
        """
        self.new_root(snapshot.root, "qcow2")
        tpm = self.directory / "tpm"
        shutil.rmtree(tpm, ignore_errors=True)
        shutil.copytree(snapshot.tpm, tpm)
        self._launch((), memory=memory or snapshot.memory, share_memory=memory is not None, incoming=True)
        # The memory is in place already (the file), so only the devices' state is read.
        self._set_capabilities()
        self.qmp.execute("migrate-incoming", {"uri": f"file:{snapshot.devices}"})
        self._wait_for_migration()
        self.qmp.execute("cont")
        self.ssh.connect(deadline_seconds=RESTORE_SECONDS)
        self._wake()

    def _wake(self) -> None:
        """Tell a restored guest what time it is; it still believes in the moment of the snapshot."""
        self.ssh.run(["date", "--utc", "--set", f"@{time.time():.3f}"])

    def save(self) -> None:
        """Stop the guest and write its state; the directory then holds what a `Snapshot` needs.

        The machine must have been started with a memory file `memory` in its own directory.
        """
        self.ssh.disconnect()
        self.qmp.execute("stop")
        self._set_capabilities()
        self.qmp.execute("migrate", {"uri": f"file:{self.directory / 'devices'}"})
        self._wait_for_migration()
        self.qmp.execute("quit")
        if self._qemu is not None:
            self._qemu.wait(60)
        self.cut_power()

    def _set_capabilities(self) -> None:
        wanted = [{"capability": "x-ignore-shared", "state": True}]
        self.qmp.execute("migrate-set-capabilities", {"capabilities": wanted})

    def _wait_for_migration(self) -> None:
        limit = time.monotonic() + RESTORE_SECONDS
        while time.monotonic() < limit:
            info = self.qmp.execute("query-migrate")
            if info.get("status") == "completed":
                return
            if info.get("status") in ("failed", "cancelled"):
                raise LabError(f"QEMU could not move the machine's state: {info.get('error-desc', info)}")
            time.sleep(0.01)
        raise LabError("QEMU did not finish moving the machine's state")

    def cut_power(self) -> None:
        """End QEMU and the TPM at once, like a plug that is pulled."""
        stop(self._qemu)
        stop(self._swtpm)
        if self._ssh is not None:
            self._ssh.disconnect()
        if self._qmp is not None:
            self._qmp.close()
        self._qemu = self._swtpm = self._ssh = self._qmp = None
        for name in ("qmp.sock", "console.sock", "tpm.sock"):
            (self.directory / name).unlink(missing_ok=True)

    def wait_until_off(self, *, deadline_seconds: float = 180) -> None:
        """Wait for a guest that was told to power off."""
        if self._qemu is not None:
            try:
                self._qemu.wait(deadline_seconds)
            except subprocess.TimeoutExpired:
                raise LabError(f"the guest did not power off within {deadline_seconds:g} s") from None
        self.cut_power()

    def release(self) -> None:
        """End the machine and leave its directory."""
        self.cut_power()
        self._owner.close()

    def discard(self) -> None:
        """End the machine and remove its directory."""
        self.release()
        shutil.rmtree(self.directory, ignore_errors=True)

    def console(self) -> str:
        """What the serial console has shown since the machine was made."""
        log = self.directory / "console.log"
        if not log.exists():
            return ""
        # Terminals want carriage returns and colours, readers of a test report do not.
        text = log.read_bytes().decode(errors="replace").replace("\r", "")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    def _launch(self, extra: Sequence[str], *, memory: Path | None, share_memory: bool, incoming: bool = False) -> None:
        if self.is_on:
            raise LabError("the machine is on already")
        # Another process may take the port between our look and QEMU's; then there is a next one.
        for attempt in range(5):
            port = _free_port()
            self._start_tpm()
            hardware = qemu.Hardware(
                directory=self.directory,
                image=self.image,
                ssh_port=port,
                memory=memory,
                share_memory=share_memory,
                incoming=incoming,
            )
            log = self.directory / "qemu.log"
            self._qemu = start([*qemu.argv(hardware), *extra], log=log, cwd=self.directory)
            if self._wait_for_socket("qmp.sock", self._qemu):
                self._qmp = Qmp(self.directory / "qmp.sock")
                key, known = self.image.ssh_key, self.image.known_hosts
                self._ssh = Ssh(self.directory, key=key, known_hosts=known, port=port)
                return
            self.cut_power()
            said = log.read_text(errors="replace")[-2000:]
            if "hostfwd" not in said or attempt == 4:
                raise LabError(f"QEMU did not start: {said}")

    def _start_tpm(self) -> None:
        state = self.directory / "tpm"
        state.mkdir(exist_ok=True, mode=0o700)
        self._swtpm = start(
            [
                *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "startup-clear"),
                *("--ctrl", f"type=unixio,path={self.directory / 'tpm.sock'}", "--terminate"),
            ],
            log=self.directory / "swtpm.log",
        )
        if not self._wait_for_socket("tpm.sock", self._swtpm):
            raise LabError(f"swtpm did not start: {(self.directory / 'swtpm.log').read_text()}")

    def _wait_for_socket(self, name: str, child: subprocess.Popen[bytes]) -> bool:
        limit = time.monotonic() + 30
        while time.monotonic() < limit and child.poll() is None:
            if (self.directory / name).exists():
                return True
            time.sleep(0.01)
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def sweep() -> list[Path]:
    """Remove the directories of machines whose test run was killed; return them.

    Their processes ended with it. Directories that were kept on purpose stay.
    """
    gone = [path for path in _directories() if not (path / "keep").exists() and not _is_owned(path)]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return gone


def _directories() -> list[Path]:
    parent = cache.root() / "machines"
    return sorted(parent.glob("m-*")) if parent.exists() else []


def _is_owned(directory: Path) -> bool:
    """Whether the process that made this directory still runs."""
    try:
        with (directory / "owner").open() as owner:
            fcntl.flock(owner, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # Made a moment ago, if it has no such file yet.
        return time.time() - directory.stat().st_mtime < 60
    return False
