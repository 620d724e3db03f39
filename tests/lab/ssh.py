"""Commands in the guest over ssh, all through one multiplexed connection: about 20 ms a command."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.process import start, stop

# Cheap to compute under emulation, and the connection never leaves the loopback interface.
_CRYPTO = ["KexAlgorithms=curve25519-sha256", "Ciphers=aes128-gcm@openssh.com,aes128-ctr"]


@dataclass(frozen=True)
class Result:
    """What a command in the guest said; `stdout` and `stderr` as text, undecodable bytes escaped."""

    argv: tuple[str, ...]
    status: int
    stdout_bytes: bytes
    stderr_bytes: bytes

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode(errors="backslashreplace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode(errors="backslashreplace")

    def __str__(self) -> str:
        command = shlex.join(self.argv)
        if len(command) > 2000:
            command = command[:2000] + " …"
        return (
            f"$ {command}\nstatus {self.status}\n--- stdout\n{self.stdout.rstrip()}\n--- stderr\n{self.stderr.rstrip()}"
        )


class CommandError(LabError):
    """A command in the guest ended with a status that the test did not expect."""

    def __init__(self, result: Result, expected: Sequence[int]) -> None:
        wanted = " or ".join(map(str, expected))
        super().__init__(f"unexpected status (not {wanted}) of a command in the guest\n{result}")
        self.result = result


class Ssh:
    """The way into one guest."""

    def __init__(self, directory: Path, *, key: Path, known_hosts: Path, port: int) -> None:
        self._directory = directory
        self._socket = directory / "ssh.sock"
        self._master: subprocess.Popen[bytes] | None = None
        options = [
            *(f"IdentityFile={key}", f"UserKnownHostsFile={known_hosts}", "HostKeyAlias=volward-lab"),
            *("IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "BatchMode=yes", "LogLevel=ERROR"),
            *("ConnectTimeout=30", "GSSAPIAuthentication=no", f"ControlPath={self._socket}", *_CRYPTO),
        ]
        words = [word for option in options for word in ("-o", option)]
        self._base = ["ssh", "-F", "none", "-p", str(port), "-l", "root", *words]

    def connect(self, *, deadline_seconds: float) -> None:
        """Open the connection, trying until the guest answers or the deadline is over."""
        limit = time.monotonic() + deadline_seconds
        log = self._directory / "ssh.log"
        while time.monotonic() < limit:
            self.disconnect()
            self._master = start([*self._base, "-M", "-N", "127.0.0.1"], log=log)
            while self._master.poll() is None and time.monotonic() < limit:
                if self._socket.exists():
                    return
                time.sleep(0.02)
            time.sleep(0.1)
        self.disconnect()
        raise LabError(f"no answer over ssh within {deadline_seconds:g} s: {log.read_text()[-500:]}")

    def disconnect(self) -> None:
        """Let go of the connection; nothing is said to the guest."""
        stop(self._master)
        self._master = None
        self._socket.unlink(missing_ok=True)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout_seconds: float = 300,
        ok: Sequence[int] | None = (0,),
    ) -> Result:
        """Run a command as root and return its result.

        `ok` lists the statuses that are expected (None: any); another one raises CommandError. A
        command that takes longer than `timeout_seconds` raises LabError, and goes on in the guest.
        """
        command = [*self._base, "-o", "ControlMaster=no", "127.0.0.1", "--", shlex.join(argv)]
        try:
            # With no input the command sees an empty one, never the terminal of the test run.
            done = subprocess.run(
                command, input=stdin or b"", capture_output=True, timeout=timeout_seconds, check=False
            )
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"") + (late.stderr or b"")
            text = said.decode(errors="backslashreplace")
            raise LabError(
                f"`{shlex.join(argv)[:2000]}` in the guest took more than {timeout_seconds:g} s; it said:\n{text}"
            ) from None
        result = Result(tuple(argv), done.returncode, done.stdout, done.stderr)
        if ok is not None and result.status not in ok:
            raise CommandError(result, ok)
        return result

    def interactive(self, argv: Sequence[str] = ()) -> int:
        """Hand the terminal to a command in the guest, or to a shell there; return its status."""
        command = [*self._base, "-o", "ControlMaster=no", "-t", "127.0.0.1"]
        if argv:
            command += ["--", shlex.join(argv)]
        return subprocess.run(command, check=False).returncode

    def forward(self, *, guest_port: int, port: int) -> None:
        """Let 127.0.0.1:guest_port in the guest be 127.0.0.1:port of the outer machine."""
        spec = f"127.0.0.1:{guest_port}:127.0.0.1:{port}"
        done = subprocess.run([*self._base, "-O", "forward", "-R", spec, "127.0.0.1"], capture_output=True, check=False)
        if done.returncode != 0:
            raise LabError(f"ssh did not forward port {guest_port}: {done.stderr.decode().strip()}")
