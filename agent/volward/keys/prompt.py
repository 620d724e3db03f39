"""The provider ``prompt``: what a person types at the terminal, on /dev/tty and nowhere else.

A passphrase is read without echo, straight into a buffer that is wiped. There is no fallback to standard
input: without a terminal nobody is asked (FAULTS: a headless host that waits for a passphrase hangs).
Ctrl-C breaks a question off at once, whatever the command does with signals otherwise. Follows termios(3),
tty_ioctl(4) and signal(7); calls no host commands.
"""

import contextlib
import os
import select
import signal
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from volward.errors import ConfirmationError, InterruptedRunError, KeyDeniedError, NoTerminalError
from volward.keys.source import KeyRef
from volward.model import ProviderKind
from volward.secret import SecretBytes

TERMINAL = Path("/dev/tty")
SHORTEST_PASSPHRASE_BYTES = 12
_LONGEST_BYTES = 512  # cryptsetup's limit for what is typed
_BREAKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Ask = Callable[[str], SecretBytes]


def ask(question: str, *, echo: bool = False, terminal: Path = TERMINAL) -> SecretBytes:
    """Ask on the terminal and return the line that was typed, without its end.

    Raises NoTerminalError without a terminal, KeyDeniedError when nothing (or too much) was typed,
    InterruptedRunError when a signal broke the question off whose own action did not end the process.
    """
    buffer = bytearray(_LONGEST_BYTES + 2)
    with _breakable() as signals, _terminal(terminal) as descriptor, memoryview(buffer) as view:
        try:
            os.write(descriptor, f"{question} ".encode())
            with _echo(descriptor, on=echo):
                length = _read_line(descriptor, view, signals)
            if not echo:
                os.write(descriptor, b"\n")
            if not 0 < length <= _LONGEST_BYTES:
                raise KeyDeniedError(
                    f"Nothing, or more than {_LONGEST_BYTES} bytes, was typed.", resolution="Run the command again."
                )
            with view[:length] as line:
                return SecretBytes(line)
        finally:
            view[:] = bytes(len(view))


def show(before: str, secret: SecretBytes, after: str, *, terminal: Path = TERMINAL) -> None:
    """Show a secret on the terminal between two texts, without a copy of it as text. Raises NoTerminalError."""
    with _terminal(terminal) as descriptor, secret.view() as view:
        for piece in (before.encode(), view, after.encode()):
            os.write(descriptor, piece)


class _BrokenOff(BaseException):
    """A signal came while somebody was asked; no handler of errors may take it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Signals:
    """The signals that came while a question stands; ``descriptor`` becomes readable with the first.

    The action raises nothing: it could do so between any two instructions, with the terminal still silent. And
    the interpreter itself writes to the pipe (signal.set_wakeup_fd), also for a signal that comes right before
    the wait, where an action of Python's would run only after it.
    """

    def __init__(self) -> None:
        self.descriptor, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self.taken: list[int] = []

    def take(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.taken.append(number)

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        os.close(self.descriptor)
        os.close(self._writer)


@contextlib.contextmanager
def _breakable() -> Iterator[_Signals | None]:
    """Let the signals that end a program break the question off, then do what they do otherwise.

    A command that watches for them (cli/interruption.py) only takes note, and the read would go on (PEP 475). A
    signal that is ignored (nohup(1)) stays so. Signals reach the main thread alone: elsewhere there is None.
    """
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    actions = {number: signal.getsignal(number) for number in _BREAKING}
    before = {number: action for number, action in actions.items() if action not in (signal.SIG_IGN, None)}
    signals = _Signals()
    try:
        try:
            for number in before:
                signal.signal(number, signals.take)
            yield signals
        finally:
            for number, action in before.items():
                signal.signal(number, action)
            signals.close()
    except _BrokenOff as broken:
        signal.raise_signal(broken.number)  # Python's own action for Ctrl-C raises KeyboardInterrupt here
        raise InterruptedRunError(
            "Interrupted while a question was asked.", resolution="Run the same command again; it goes on from there."
        ) from None


def _read_line(descriptor: int, view: memoryview, signals: _Signals | None) -> int:
    """Fill ``view`` until a line or the input ends; return the length without the line's end."""
    length = 0
    while length < len(view):
        if signals is not None:
            _wait(descriptor, signals)
        with view[length:] as rest:
            count = os.readv(descriptor, [rest])
        end = length + count
        if not count:
            break
        length = end
        if view[length - 1] == ord("\n"):
            return length - 1
    return length


def _wait(descriptor: int, signals: _Signals) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(signals.descriptor, select.POLLIN)
    while True:
        ready = {number for number, _ in poll.poll()}
        if signals.taken:
            raise _BrokenOff(signals.taken[0])
        if descriptor in ready:
            return
        os.read(signals.descriptor, 64)  # of a signal that is none of ours (a child that ended, SIGWINCH)


@contextlib.contextmanager
def _terminal(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise NoTerminalError(
            f"Somebody has to type a key, and there is no terminal ({error.strerror}).",
            resolution="Run the command on a terminal; volward never waits for a person who is not there.",
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _echo(descriptor: int, *, on: bool) -> Iterator[None]:
    """Set the echo for one line, in line mode, and put the terminal back however the line ends (Ctrl-C too).

    Input that was typed before the question is thrown away: it was not meant as an answer.
    """
    try:
        before = termios.tcgetattr(descriptor)
    except termios.error as error:
        raise NoTerminalError(
            "Somebody has to type a key, and this is no terminal.", resolution="Run the command on a terminal."
        ) from error
    during = list(before)
    flags = before[3] | termios.ICANON
    during[3] = flags | termios.ECHO if on else flags & ~termios.ECHO
    try:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, during)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class PromptSource:
    """Passphrases, whose store is a person's memory.

    ``create`` asks twice and keeps the passphrase for the one ``read`` that enrols it; every other ``read``
    asks again.
    """

    provider = ProviderKind.PROMPT
    interactive = True

    def __init__(self, ask_for: Ask = ask) -> None:
        self._ask = ask_for
        self._chosen: SecretBytes | None = None

    def first_ref(self, volume: str) -> KeyRef:
        """Return the ref of the volume's passphrase."""
        return KeyRef(self.provider, volume, 1)

    def next_ref(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> KeyRef:  # noqa: ARG002
        """Return the same ref: what a person types has no versions."""
        return ref

    def refs(self, volume: str, *, deadline_seconds: float = 0.0) -> tuple[KeyRef, ...]:  # noqa: ARG002
        """Return one ref: a passphrase may always be tried."""
        return (self.first_ref(volume),)

    def present(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> bool:  # noqa: ARG002
        """Return True: whether somebody remembers it shows when it is asked for."""
        return True

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float = 0.0) -> KeyRef:  # noqa: ARG002
        """Ask for a new passphrase twice. With ``adopt`` it is asked once, as one that exists already."""
        chosen = self._ask(f"{'Passphrase' if adopt else 'New passphrase'} for {ref.name}:")
        try:
            if len(chosen) < SHORTEST_PASSPHRASE_BYTES and not adopt:
                raise KeyDeniedError(
                    f"The passphrase is shorter than {SHORTEST_PASSPHRASE_BYTES} characters.",
                    resolution="Choose a longer one, for example five random words.",
                )
            if not adopt:
                with self._ask("The same again:") as again:
                    if len(again) != len(chosen) or not again.matches(chosen):
                        raise ConfirmationError(
                            "The two passphrases differ.", resolution="Nothing was enrolled. Run the command again."
                        )
        except BaseException:
            chosen.wipe()
            raise
        self._forget()
        self._chosen = chosen
        return ref

    def read(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> SecretBytes:  # noqa: ARG002
        """Return the passphrase just created, once; otherwise ask."""
        if self._chosen is not None:
            chosen, self._chosen = self._chosen, None
            return chosen
        return self._ask(f"Passphrase for {ref.name}:")

    def _forget(self) -> None:
        if self._chosen is not None:
            self._chosen.wipe()
