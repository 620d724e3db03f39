"""The process boundary: every child process of volward starts here, and nowhere else.

An argv is a list of ``str | Path | KeyFile``; there is no shell. The environment is built, never inherited
(PATH, LC_ALL). A child gets a session of its own, so that Ctrl-C at the terminal reaches volward alone, which
finishes the running step. A key reaches a child through a pipe (/dev/fd/N), never through argv, environment
or disk. See credentials in docs/explanation/threat-model.md, and pipe(7), setsid(2), prctl(2).
"""

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from volward.errors import ToolFailedError, ToolMissingError, ToolTimeoutError
from volward.host import key_file
from volward.host.key_file import KeyFile
from volward.secret import SecretBytes

__all__ = [
    "Completed",
    "KeyFile",
    "Word",
    "follow",
    "forbid_core_dumps",
    "inherited",
    "mutate",
    "read",
    "reveal",
    "transform",
]

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}
READ_TIMEOUT_SECONDS = 30.0
MUTATION_DEADLINE_SECONDS = 600.0
_OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
_SECRET_LIMIT_BYTES = 64 * 1024
_QUOTED_CHARACTERS = 600
_LOOK_AROUND_SECONDS = 0.5  # while a long command runs: does somebody want it to stop?
_DEATH_SECONDS = 5.0  # a child in uninterruptible sleep survives SIGKILL; it is reported then, not waited for

PACKAGES: Mapping[str, str] = {
    "cryptsetup": "cryptsetup-bin",
    "dmsetup": "dmsetup",
    "mkfs.ext4": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "xfs_repair": "xfsprogs",
    "mkswap": "util-linux",
    "swapon": "util-linux",
    "blkid": "util-linux",
    "wipefs": "util-linux",
    "chattr": "e2fsprogs",
    "systemctl": "systemd",
    "systemd-creds": "systemd",
    "systemd-cryptenroll": "systemd-cryptsetup",  # in Debian 12 it is in systemd, which is there
    "modprobe": "kmod",
    "docker": "docker.io",
}

# Children that were given up: kept, so that nothing waits for them when their objects would be collected.
_left_running: list["subprocess.Popen[bytes]"] = []

# What a child that changes the host inherits beside its keys; each thread has its own.
_inherited: ContextVar[tuple[int, ...]] = ContextVar("inherited", default=())

Word = str | Path | KeyFile


@dataclass(frozen=True)
class Completed:
    """What a child left: its exit status and both streams as text."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def read(argv: Sequence[Word], *, ok: Sequence[int] = (0,), timeout_seconds: float = READ_TIMEOUT_SECONDS) -> Completed:
    """Run a command that changes nothing; it is killed after its time-out.

    Raises ToolMissingError, ToolTimeoutError, or ToolFailedError for a status that is not in ``ok``.
    """
    out = _Stream()
    words, status, err = _run(argv, None, timeout_seconds, out, mutates=False)
    return _text(words, status, out.collected, err, ok=ok)


@contextlib.contextmanager
def inherited(descriptor: int) -> Iterator[None]:
    """Let the children of this thread that change the host inherit a descriptor.

    What it locks (flock(2)) stays locked while one of them runs, though volward gave up waiting or was killed.
    """
    before = _inherited.set((*_inherited.get(), descriptor))
    try:
        yield
    finally:
        _inherited.reset(before)


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
    out = _Stream()
    words, status, err = _run(argv, None, deadline_seconds, out, mutates=True, cwd=working_directory)
    return _text(words, status, out.collected, err, ok=ok)


def follow(
    argv: Sequence[Word],
    standard_input: SecretBytes | None,
    *,
    on_line: Callable[[str], None],
    stop: Callable[[], bool],
) -> Completed:
    """Run a command that changes the host for as long as it takes, and hand over each line that it prints.

    Once ``stop`` has said so it gets SIGTERM, again and again until it has ended, and is waited for: only for a command
    that then leaves everything in order. (cryptsetup forgets what it gets before it has begun.) Its status means
    nothing then. Raises ToolMissingError, ToolFailedError for a status other than 0.
    """
    asked = False

    def asked_to_stop() -> bool:
        nonlocal asked
        asked = asked or stop()
        return asked

    out = _Lines(on_line)
    words, status, err = _run(argv, standard_input, float("inf"), out, mutates=True, stop=asked_to_stop)
    return _text(words, status, bytearray(), err, ok=(status,) if asked else (0,))


def transform(argv: Sequence[Word], secret: SecretBytes, *, timeout_seconds: float = READ_TIMEOUT_SECONDS) -> bytes:
    """Feed ``secret`` to a command's standard input and return what it prints (a sealed form of it)."""
    out = _Stream()
    words, status, err = _run(argv, secret, timeout_seconds, out, mutates=False)
    _text(words, status, bytearray(), err, ok=(0,))
    return bytes(out.collected)


def reveal(argv: Sequence[Word], *, timeout_seconds: float = READ_TIMEOUT_SECONDS) -> SecretBytes:
    """Run a command whose standard output is a secret; the output is never decoded or quoted.

    Raises ToolFailedError also when the command printed nothing.
    """
    with SecretBytes.filled(_SECRET_LIMIT_BYTES, lambda _: None) as buffer, buffer.view() as view:
        out = _SecretStream(view)
        words, status, err = _run(argv, None, timeout_seconds, out, mutates=False)
        _text(words, status, bytearray(), err, ok=(0,))
        if not 0 < out.length < len(view):
            amount = "more than a key" if out.length else "no key"
            raise ToolFailedError(
                f"{words[0]} printed {amount}.",
                resolution="Look at its messages, and at what the store holds.",
                status=0,
            )
        with view[: out.length] as key:
            return SecretBytes(key)


def _text(argv: tuple[str, ...], status: int, out: bytearray, err: bytearray, *, ok: Sequence[int]) -> Completed:
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


class _Stream:
    """What a child prints, as far as the limit; the rest is read and dropped."""

    def __init__(self) -> None:
        self.collected = bytearray()

    def take(self, descriptor: int) -> bool:
        """Read once; return whether there may be more."""
        chunk = os.read(descriptor, 65536)
        if len(self.collected) < _OUTPUT_LIMIT_BYTES:
            self.collected += chunk
        return bool(chunk)


class _Lines:
    """What a child prints, line by line as it comes."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""

    def take(self, descriptor: int) -> bool:
        """Read once; return whether there may be more."""
        chunk = os.read(descriptor, 65536)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._on_line(line.decode(errors="replace"))
        return bool(chunk)


class _SecretStream:
    """What a child prints, read straight into locked memory: no copy of it exists in this process.

    A full view means that there was more than fits.
    """

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self.length = 0

    def take(self, descriptor: int) -> bool:
        """Read once; return whether there may be more."""
        with self._view[min(self.length, len(self._view) - 1) :] as rest:
            count = os.readv(descriptor, [rest])
        self.length = min(self.length + count, len(self._view))
        return bool(count)


def _run(
    argv: Sequence[Word],
    standard_input: SecretBytes | None,
    seconds: float,
    out: _Stream | _SecretStream | _Lines,
    *,
    mutates: bool,
    cwd: Path | None = None,
    stop: Callable[[], bool] | None = None,
) -> tuple[tuple[str, ...], int, bytearray]:
    """Start one child, feed it its secrets, collect its output, and wait for it."""
    with contextlib.ExitStack() as stack:
        words: list[str] = []
        keys: list[int] = []
        for word in argv:
            if isinstance(word, KeyFile):
                keys.append(stack.enter_context(word.opened()))
                words.append(f"{word.prefix}/dev/fd/{keys[-1]}")
            else:
                words.append(str(word))
        stdin = subprocess.DEVNULL
        if standard_input is not None:
            stdin = stack.enter_context(key_file.pipe(standard_input))
        if keys or standard_input is not None or isinstance(out, _SecretStream):
            forbid_core_dumps()
        try:
            child = subprocess.Popen(
                words,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(ENVIRONMENT),
                cwd=cwd or "/",
                start_new_session=True,
                pass_fds=(*keys, *_inherited.get()) if mutates else keys,
                # Python ignores SIGPIPE, and a child that changes the host inherits that: when volward ends
                # or gives up first, the child's next message must not kill it half-way.
                restore_signals=not mutates,
            )
        except FileNotFoundError as error:
            if error.filename != words[0]:
                raise
            package = PACKAGES.get(words[0], words[0])
            raise ToolMissingError(
                f"{words[0]} is not installed.", resolution=f"Install it: apt install {package}."
            ) from error
        return tuple(words), *_collect(child, tuple(words), seconds, out, mutates=mutates, stop=stop)


def forbid_core_dumps() -> None:
    """Limit this process and all its children to core files of one byte.

    0 does not stop a piped core_pattern (core(5)), 1 does. The limit survives exec, which
    PR_SET_DUMPABLE does not; set here and not between fork and exec, so that threads may start children.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    if soft != limit:
        resource.setrlimit(resource.RLIMIT_CORE, (limit, hard))


def _collect(
    child: "subprocess.Popen[bytes]",
    argv: tuple[str, ...],
    seconds: float,
    out: _Stream | _SecretStream | _Lines,
    *,
    mutates: bool,
    stop: Callable[[], bool] | None = None,
) -> tuple[int, bytearray]:
    assert child.stdout is not None and child.stderr is not None  # noqa: S101 (both are PIPE above)
    err = _Stream()
    deadline, next_signal = time.monotonic() + seconds, 0.0
    with selectors.DefaultSelector() as selector, child.stdout, child.stderr:
        selector.register(child.stdout, selectors.EVENT_READ, out)
        selector.register(child.stderr, selectors.EVENT_READ, err)
        while selector.get_map():
            left = max(0.0, deadline - time.monotonic())
            ready = selector.select(left if stop is None else _LOOK_AROUND_SECONDS)
            if stop is not None:
                if stop() and time.monotonic() >= next_signal:
                    child.send_signal(signal.SIGTERM)
                    next_signal = time.monotonic() + _LOOK_AROUND_SECONDS
            elif not ready:
                raise _give_up(child, argv, seconds, mutates=mutates)
            for key, _ in ready:
                if not key.data.take(key.fd):
                    selector.unregister(key.fileobj)
        try:
            status = child.wait(None if stop is not None else max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise _give_up(child, argv, seconds, mutates=mutates) from None
    return status, err.collected


def _give_up(
    child: "subprocess.Popen[bytes]", argv: tuple[str, ...], seconds: float, *, mutates: bool
) -> ToolTimeoutError:
    """Return the error for a child that is late; end it only if it cannot have changed anything."""
    if mutates:
        _left_running.append(child)
        return ToolTimeoutError(
            f"`{' '.join(argv)}` (process {child.pid}) still runs after {seconds:.0f} s.",
            resolution="It was left running. Wait until it ends, then run the same command again.",
        )
    os.killpg(child.pid, signal.SIGKILL)
    ended = "was ended"
    try:
        child.wait(_DEATH_SECONDS)
    except subprocess.TimeoutExpired:
        _left_running.append(child)
        ended = f"cannot be ended (process {child.pid})"
    return ToolTimeoutError(
        f"`{' '.join(argv)}` did not answer within {seconds:.0f} s and {ended}.",
        resolution="Look at `dmesg`: a device may be hanging. It only reads, so running it again is safe.",
    )
