"""Passphrases: from a real terminal (a pty), without echo, or not at all."""

import os
import pty
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from volward.errors import ConfirmationError, KeyDeniedError, NoTerminalError
from volward.keys import prompt
from volward.keys.prompt import PromptSource
from volward.secret import SecretBytes


@dataclass
class Terminal:
    master: int
    path: Path
    held: int

    def type(self, answer: bytes) -> threading.Thread:
        """Type as soon as the question stands there and the terminal waits without (or with) echo."""

        def typing() -> None:
            seen = b""
            while b"? " not in seen:
                seen += os.read(self.master, 100)
            time.sleep(0.05)
            os.write(self.master, answer)

        thread = threading.Thread(target=typing)
        thread.start()
        return thread

    def shown(self) -> bytes:
        os.set_blocking(self.master, False)
        try:
            return os.read(self.master, 1000)
        except BlockingIOError:
            return b""

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.held)[3] & termios.ECHO)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    master, slave = pty.openpty()
    yield Terminal(master, Path(os.ttyname(slave)), slave)
    os.close(slave)
    os.close(master)


def bytes_of(secret: SecretBytes) -> bytes:
    with secret, secret.view() as view:
        return bytes(view)


@pytest.mark.parametrize(("echo", "visible"), [(False, False), (True, True)])
def test_reads_one_line(terminal: Terminal, echo: bool, visible: bool) -> None:
    thread = terminal.type("pässphrase mit Leerzeichen \n".encode())
    answer = prompt.ask("Key?", echo=echo, terminal=terminal.path)
    thread.join()
    assert bytes_of(answer) == "pässphrase mit Leerzeichen ".encode(), "blanks belong to it, the newline does not"
    assert (b"ssphrase" in terminal.shown()) is visible
    assert terminal.echoes


@pytest.mark.parametrize("typed", [b"\n", b"\x04", b"a" * 513 + b"\n", b"a" * 600 + b"\n"])
def test_nothing_and_too_much(terminal: Terminal, typed: bytes) -> None:
    thread = terminal.type(typed)
    with pytest.raises(KeyDeniedError, match="was typed"):
        prompt.ask("Key?", terminal=terminal.path)
    thread.join()
    assert terminal.echoes


def test_a_line_without_end_counts(terminal: Terminal) -> None:
    thread = terminal.type(b"abc\x04\x04")
    assert bytes_of(prompt.ask("Key?", terminal=terminal.path)) == b"abc"
    thread.join()


def test_the_terminal_is_put_back_when_the_question_is_broken_off(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def interrupted(*_: object) -> int:
        seen.append(terminal.echoes)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "readv", interrupted)
    thread = terminal.type(b"half\n")
    with pytest.raises(KeyboardInterrupt):
        prompt.ask("Key?", terminal=terminal.path)
    thread.join()
    assert seen == [False]
    assert terminal.echoes


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(NoTerminalError, match="no terminal"):
        prompt.ask("Key?", terminal=tmp_path / "tty")
    file = tmp_path / "file"
    file.write_text("key\n")
    with pytest.raises(NoTerminalError, match="no terminal"):
        prompt.ask("Key?", terminal=file)


class Person:
    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.given: list[SecretBytes] = []

    def __call__(self, question: str) -> SecretBytes:
        self.given.append(SecretBytes(self.answers.pop(0)))
        return self.given[-1]


LONG = b"five random words and more"


def test_a_new_passphrase_is_typed_twice_and_enrolled_from_memory() -> None:
    person = Person(LONG, LONG, LONG, LONG, b"another")
    source = PromptSource(person)
    ref = source.first_ref("pgdata")
    assert source.refs("pgdata") == (ref,)
    assert source.present(ref)
    source.create(ref, adopt=False)
    source.create(ref, adopt=False)
    assert person.given[0].wiped, "a passphrase that was never used is forgotten"
    assert bytes_of(source.read(ref)) == LONG
    assert bytes_of(source.read(ref)) == b"another"


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ((LONG, LONG[:-1]), ConfirmationError),
        ((LONG, LONG.upper()), ConfirmationError),
        ((b"short",), KeyDeniedError),
    ],
)
def test_a_passphrase_that_is_not_enrolled_is_wiped(answers: tuple[bytes, ...], error: type[Exception]) -> None:
    person = Person(*answers)
    source = PromptSource(person)
    with pytest.raises(error):
        source.create(source.first_ref("a"), adopt=False)
    assert all(secret.wiped for secret in person.given)


def test_an_existing_passphrase_is_adopted_by_typing_it_once() -> None:
    source = PromptSource(Person(b"short"))
    ref = source.create(source.first_ref("a"), adopt=True)
    assert bytes_of(source.read(ref)) == b"short"


def test_what_a_person_has_knows_no_versions() -> None:
    ref = PromptSource().first_ref("data")
    assert PromptSource().next_ref(ref) == ref
