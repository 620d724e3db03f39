"""Child processes of the lab on the outer machine: started here, ended here, by process id alone.

Long-lived children (QEMU, swtpm, ssh) are started through setpriv(1) with a parent-death signal, so
that an interrupted or killed test run leaves none of them behind.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab.errors import LabError


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdin: bytes | None = None,
    timeout_seconds: float | None = None,
) -> bytes:
    """Run a command to its end and return its standard output; raise LabError unless it returns 0."""
    words = [str(word) for word in argv]
    done = subprocess.run(
        words, cwd=cwd, env=env, input=stdin, capture_output=True, timeout=timeout_seconds, check=False
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace").strip()
        tail = "\n".join(output.splitlines()[-30:])
        raise LabError(f"`{' '.join(words)[:300]}` ended with status {done.returncode}:\n{tail}")
    return done.stdout


def start(argv: Sequence[str | Path], *, log: Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a command that lives until `stop`, at most as long as this thread; its output goes to `log`."""
    words = ["setpriv", "--pdeathsig", "KILL", *map(str, argv)]
    with log.open("ab") as output:
        return subprocess.Popen(
            words,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C on the terminal is for the test run, which then ends its children in order.
            start_new_session=True,
        )


def stop(child: subprocess.Popen[bytes] | None, *, grace_seconds: float = 0) -> None:
    """End a child of `start`: politely when it is given `grace_seconds`, for certain in any case."""
    if child is None or child.poll() is not None:
        return
    if grace_seconds > 0:
        child.terminate()
        try:
            child.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            pass
        else:
            return
    child.kill()
    child.wait()
