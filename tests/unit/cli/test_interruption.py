"""Ctrl-C during a step is remembered; during a question it breaks it off at once, and the terminal echoes again."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from volward.cli import main
from volward.cli.interruption import Interruption

AGENT = Path(main.__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_is_remembered_and_nothing_is_broken_off(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    interruption = Interruption()
    with interruption.watched() as watched:
        assert not watched.asked
        signal.raise_signal(number)
        assert watched.asked
    assert signal.getsignal(number) is before
    assert "a step that is running is finished first" in capfd.readouterr().err


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption().watched() as watched:
            signal.raise_signal(signal.SIGHUP)
            assert not watched.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_standard_error_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> int:
        raise OSError(9, "Bad file descriptor")

    with Interruption().watched() as watched, monkeypatch.context() as patch:
        patch.setattr(os, "write", closed)
        signal.raise_signal(signal.SIGINT)
        assert watched.asked


# --- with a real terminal and a real process ----------------------------------------------------------------

ASKING = """
import signal, sys
from volward.cli import main
main._leave_in_order()
import click
from volward.cli.interruption import Interruption
from volward.keys import prompt

@click.command
def asking():
    if sys.argv[1] == "watched":
        with Interruption().watched() as watched:
            try:
                prompt.ask("Passphrase?")
            finally:
                print("asked", watched.asked, flush=True)
    else:
        prompt.ask("Passphrase?")

main.LazyGroup.get_command = lambda *_: asking
sys.exit(main.run(["open"]))
"""


class Conversation:
    """The program on a terminal of its own, as its controlling one."""

    def __init__(self, how: str) -> None:
        self.master, slave = pty.openpty()
        self.slave = slave
        self.child = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import os; os.setsid(); os.close(os.open({os.ttyname(slave)!r}, 2))\n{ASKING}",
                how,
            ],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"PYTHONPATH": str(AGENT), "PATH": "/usr/bin"},
        )
        self.shown = b""

    def read_until(self, words: bytes) -> None:
        while words not in self.shown:
            self.shown += os.read(self.master, 1000)

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def ended(self) -> int:
        status = self.child.wait(20)
        os.close(self.slave)
        try:
            while chunk := os.read(self.master, 1000):
                self.shown += chunk
        except OSError:
            pass
        return status


@pytest.fixture(params=["watched", "plain"])
def conversation(request: pytest.FixtureRequest) -> Iterator[Conversation]:
    talk = Conversation(request.param)
    yield talk
    if talk.child.poll() is None:
        talk.child.kill()
        talk.child.wait()
    os.close(talk.master)


def wait_until_silent(conversation: Conversation) -> None:
    conversation.read_until(b"Passphrase?")
    end = time.monotonic() + 10
    while conversation.echoes and time.monotonic() < end:
        time.sleep(0.01)
    assert not conversation.echoes


def test_ctrl_c_breaks_the_question_off(conversation: Conversation, request: pytest.FixtureRequest) -> None:
    wait_until_silent(conversation)
    os.write(conversation.master, b"half a passph\x03")
    conversation.child.wait(20)
    assert conversation.echoes, "the terminal is put back"
    assert conversation.ended() == 130
    assert b"nterrupted" in conversation.shown
    assert b"Traceback" not in conversation.shown
    assert b"passph" not in conversation.shown
    if "watched" in request.node.name:
        assert b"asked True" in conversation.shown, "the operation stops as well"
        assert b"VW0104" in conversation.shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_so_do_the_other_signals(conversation: Conversation, number: int) -> None:
    wait_until_silent(conversation)
    conversation.child.send_signal(number)
    conversation.child.wait(20)
    assert conversation.echoes
    assert conversation.ended() == 130


def test_an_answer_is_still_an_answer(conversation: Conversation) -> None:
    wait_until_silent(conversation)
    os.write(conversation.master, b"five random words\n")
    assert conversation.ended() == 0
