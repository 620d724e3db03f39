"""The process boundary: every child process of volward starts here, and nowhere else.

An argv is a list of ``str | Path | KeyFile``; there is no shell. The environment is built, never inherited
(PATH, LC_ALL). A child gets a session of its own, so that Ctrl-C at the terminal reaches volward alone, which
finishes the running step. A key reaches a child through a pipe (/dev/fd/N), never through argv, environment
or disk. See credentials in docs/explanation/threat-model.md, and pipe(7), setsid(2), prctl(2).
"""

import contextlib
import mmap
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from volward.errors import ToolFailedError, ToolMissingError, ToolTimeoutError
from volward.secret import SecretBytes

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}
READ_TIMEOUT_SECONDS = 30.0
MUTATION_DEADLINE_SECONDS = 600.0
_OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
_SECRET_LIMIT_BYTES = 64 * 1024
_QUOTED_CHARACTERS = 600
_DEATH_SECONDS = 5.0  # a child in uninterruptible sleep survives SIGKILL; it is reported then, not waited for

_PACKAGES = {
    "cryptsetup": "cryptsetup-bin",
    "dmsetup": "dmsetup",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "mkswap": "util-linux",
    "wipefs": "util-linux",
    "chattr": "e2fsprogs",
    "systemctl": "systemd",
    "systemd-creds": "systemd",
    "systemd-cryptenroll": "systemd-cryptsetup (Debian 12: systemd)",
    "docker": "docker.io",
}


@dataclass(frozen=True, eq=False)
class KeyFile:
    """A secret that the child reads as a file; in argv it becomes ``prefix`` + ``/dev/fd/N``.

    ``seekable`` passes locked anonymous memory instead of a pipe, for a child that seeks in its key file
    (systemd-cryptenroll(1) does: "Illegal seek").
    """

    secret: SecretBytes
    prefix: str = ""
    seekable: bool = False


Word = str | Path | KeyFile


@dataclass(frozen=True)
class Completed:
    """What a child left: its exit status and both streams as text."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def read(
    argv: Sequence[Word], *, ok: Sequence[int] = (0,), timeout_seconds: float = READ_TIMEOUT_SECONDS
) -> Completed:
    """Run a command that changes nothing; it is killed after its time-out.

    Raises ToolMissingError, ToolTimeoutError, or ToolFailedError for a status that is not in ``ok``.
    """
    return _text(*_run(argv, None, timeout_seconds, mutates=False), ok=ok)


def mutate(
    argv: Sequence[Word],
    *,
    ok: Sequence[int] = (0,),
    deadline_seconds: float = MUTATION_DEADLINE_SECONDS,
    working_directory: Path | None = None,
) -> Completed:
    """Run a command that changes the host; after its deadline it is reported and left alone, never killed.

    Raises ToolMissingError, ToolTimeoutError, or ToolFailedError for a status that is not in ``ok``.
    """
    return _text(*_run(argv, None, deadline_seconds, mutates=True, cwd=working_directory), ok=ok)


def transform(
    argv: Sequence[Word], secret: SecretBytes, *, timeout_seconds: float = READ_TIMEOUT_SECONDS
) -> bytes:
    """Feed ``secret`` to a command's standard input and return what it prints (a sealed form of it)."""
    words, status, out, err = _run(argv, secret, timeout_seconds, mutates=False)
    _text(words, status, bytearray(), err, ok=(0,))
    return bytes(out)


def reveal(argv: Sequence[Word], *, timeout_seconds: float = READ_TIMEOUT_SECONDS) -> SecretBytes:
    """Run a command whose standard output is a secret; the output is never decoded or quoted.

    Raises ToolFailedError also when the command printed nothing.
    """
    with SecretBytes.filled(_SECRET_LIMIT_BYTES, lambda _: None) as buffer:
        words, status, length, err = _run_revealing(argv, buffer, timeout_seconds)
        _text(words, status, bytearray(), err, ok=(0,))
        if not 0 < length < len(buffer):
            raise ToolFailedError(
                f"{words[0]} printed no key." if not length else f"{words[0]} printed more than a key.",
                resolution="Look at its messages, and at what the store holds.",
                status=0,
            )
        with buffer.view() as view, view[:length] as key:
            return SecretBytes(key)


def _text(
    argv: tuple[str, ...], status: int, out: bytearray, err: bytearray, *, ok: Sequence[int]
) -> Completed:
    done = Completed(argv, status, out.decode(errors="replace"), err.decode(errors="replace"))
    if status not in ok:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).split())[:_QUOTED_CHARACTERS]
        ended = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise ToolFailedError(
            f"`{' '.join(argv)}` {ended}" + (f": {said.rstrip('.')}." if said else "."),
            resolution="`volward status` shows what is there now; running the same command again is safe.",
            status=status,
            stderr=done.stderr,
        )
    return done


def _run(
    argv: Sequence[Word],
    standard_input: SecretBytes | None,
    seconds: float,
    *,
    mutates: bool,
    yields_secret: bool = False,
    cwd: Path | None = None,
) -> tuple[tuple[str, ...], int, bytearray, bytearray]:
    """Start one child, feed it its secrets, collect its output, and wait for it."""
    with contextlib.ExitStack() as stack:
        words: list[str] = []
        key_descriptors: list[int] = []
        for word in argv:
            if isinstance(word, KeyFile):
                descriptor = stack.enter_context(_key_pipe(word.secret))
                key_descriptors.append(descriptor)
                words.append(f"{word.prefix}/dev/fd/{descriptor}")
            else:
                words.append(str(word))
        stdin = stack.enter_context(_key_pipe(standard_input)) if standard_input else subprocess.DEVNULL
        if yields_secret or key_descriptors or standard_input:
            _forbid_core_dumps()
        try:
            child = subprocess.Popen(
                words,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(ENVIRONMENT),
                cwd=cwd or "/",
                start_new_session=True,
                pass_fds=key_descriptors,
            )
        except FileNotFoundError as error:
            package = _PACKAGES.get(words[0], words[0])
            raise ToolMissingError(
                f"{words[0]} is not installed.", resolution=f"Install it: apt install {package}."
            ) from error
    return tuple(words), *_collect(child, tuple(words), seconds, mutates=mutates)


def _forbid_core_dumps() -> None:
    """Set RLIMIT_CORE to 1 in this process, whose children inherit it.

    0 does not stop a piped core_pattern, 1 does (core(5)); PR_SET_DUMPABLE would be reset at exec.
    """
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, hard))


@contextlib.contextmanager
def _key_pipe(secret: SecretBytes) -> Iterator[int]:
    """Yield the reading end of a pipe that already holds the whole secret.

    A pipe takes 64 KiB without a reader (pipe(7)); keys are far smaller, so no writer thread is needed.
    """
    reader, writer = os.pipe()
    try:
        try:
            os.set_blocking(writer, False)
            with secret.view() as view:
                if os.write(writer, view) != len(view):
                    raise ValueError("a key must fit into a pipe (64 KiB)")
        finally:
            os.close(writer)
        yield reader
    finally:
        os.close(reader)


def _collect(
    child: "subprocess.Popen[bytes]", argv: tuple[str, ...], seconds: float, *, mutates: bool
) -> tuple[int, bytearray, bytearray]:
    assert child.stdout is not None and child.stderr is not None  # noqa: S101 (both are PIPE above)
    streams = {child.stdout: bytearray(), child.stderr: bytearray()}
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector, child.stdout, child.stderr:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                _give_up(child, argv, seconds, mutates=mutates)
            for key, _ in ready:
                collected = streams[child.stdout if key.fileobj is child.stdout else child.stderr]
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif len(collected) < _OUTPUT_LIMIT_BYTES:
                    collected += chunk
        try:
            status = child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _give_up(child, argv, seconds, mutates=mutates)
            raise AssertionError("unreachable") from None
    return status, streams[child.stdout], streams[child.stderr]


def _give_up(
    child: "subprocess.Popen[bytes]", argv: tuple[str, ...], seconds: float, *, mutates: bool
) -> None:
    """Report a child that is late; end it only if it cannot have changed anything."""
    if mutates:
        raise ToolTimeoutError(
            f"`{' '.join(argv)}` (process {child.pid}) still runs after {seconds:.0f} s.",
            resolution="It was left running. Wait until it ends, then run the same command again.",
        )
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    raise ToolTimeoutError(
        f"`{' '.join(argv)}` did not answer within {seconds:.0f} s and was ended.",
        resolution="Look at `dmesg`: a device may be hanging. It only reads, so running it again is safe.",
    )
