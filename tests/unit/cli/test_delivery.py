"""A recovery key is handed over whole and confirmed, or discarded; and it goes nowhere that anybody reads by chance."""

import os
import pty
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from volward.cli import delivery
from volward.cli.delivery import DescriptorDelivery, TerminalDelivery
from volward.errors import ConfirmationError
from volward.keys import prompt, recovery
from volward.secret import SecretBytes

GROUPS = ("A1B2C", "D3E4F", "G5H6J", "K7M8N", "P9Q0R", "S1T2V", "W3X4Y", "Z5A6B")
TEXT = "-".join(GROUPS)


@pytest.fixture
def key() -> Iterator[SecretBytes]:
    with SecretBytes(TEXT.encode()) as secret:
        yield secret


# --- on a terminal ----------------------------------------------------------------------------------------


class Person:
    """Sits at a real terminal (a pty), reads what is shown and types an answer to each question."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        self.master, slave = pty.openpty()
        self.shown = ""
        self._answers = list(answers)
        self._slave = slave
        path = Path(os.ttyname(slave))
        monkeypatch.setattr(prompt, "ask", partial(prompt.ask, terminal=path))
        monkeypatch.setattr(prompt, "show", partial(prompt.show, terminal=path))
        monkeypatch.setattr(recovery, "choose_groups", lambda: (2, 7))
        self._thread = threading.Thread(target=self._sit, daemon=True)
        self._thread.start()

    def _sit(self) -> None:
        asked = 0
        while True:
            try:
                self.shown += os.read(self.master, 1000).decode()
            except OSError:
                return
            if self.shown.count("that you have it:") > asked:
                asked += 1
                time.sleep(0.05)
                os.write(self.master, (self._answers.pop(0) + "\n").encode())

    def leave(self) -> str:
        os.close(self._slave)
        self._thread.join(5)
        os.close(self.master)
        return self.shown.replace("\r\n", "\n")


def test_two_groups_are_typed_back(monkeypatch: pytest.MonkeyPatch, key: SecretBytes) -> None:
    person = Person(monkeypatch, "d3e4f", " W3X4Y ")
    TerminalDelivery().hand_over("pgdata", key)
    shown = person.leave()
    assert f"\n    {TEXT}\n" in shown
    assert "The recovery key of pgdata. Write it down now" in shown
    assert "Type group 2 of the key" in shown
    assert "Type group 7 of the key" in shown


def test_a_slip_is_no_catastrophe(
    monkeypatch: pytest.MonkeyPatch, key: SecretBytes, capsys: pytest.CaptureFixture[str]
) -> None:
    person = Person(monkeypatch, "", "D3E4F", "too long", "D3E4F", "W3X4Y")
    TerminalDelivery().hand_over("pgdata", key)
    person.leave()
    assert capsys.readouterr().out == "That is not what was shown. Look again.\n" * 2


def test_the_third_wrong_answer_discards_it(
    monkeypatch: pytest.MonkeyPatch, key: SecretBytes, capsys: pytest.CaptureFixture[str]
) -> None:
    person = Person(monkeypatch, "D3E4G", "D3E4F", "00000", "W3X4Y")
    with pytest.raises(ConfirmationError, match="it was discarded; it opens nothing") as refused:
        TerminalDelivery().hand_over("pgdata", key)
    person.leave()
    assert "Run the same command again" in refused.value.resolution
    out = capsys.readouterr().out
    assert TEXT not in out, "it is shown on the terminal alone, whatever standard output is"
    assert out.splitlines()[-1] == "That is not what was shown."


# --- to an escrow -----------------------------------------------------------------------------------------


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


def close(pipe: list[int], which: int) -> None:
    os.close(pipe.pop(which))


def test_one_line_a_volume(pipe: list[int], key: SecretBytes) -> None:
    escrow = DescriptorDelivery(pipe[1])
    escrow.hand_over("pgdata", key)
    escrow.hand_over("cache", key)
    assert os.read(pipe[0], 1000).decode() == f"pgdata {TEXT}\ncache {TEXT}\n"


def test_a_file_has_it_on_the_disk(tmp_path: Path, key: SecretBytes, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with (tmp_path / "escrow").open("wb") as file:
        DescriptorDelivery(file.fileno()).hand_over("pgdata", key)
        assert synced == [file.fileno()]
    assert (tmp_path / "escrow").read_text() == f"pgdata {TEXT}\n"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_never_a_standard_stream(number: int) -> None:
    with pytest.raises(ConfirmationError, match="standard stream"):
        DescriptorDelivery(number)


@pytest.mark.parametrize("number", [987, -1, 2**40])
def test_one_that_is_not_open(number: int) -> None:
    with pytest.raises(ConfirmationError, match="it is not open"):
        DescriptorDelivery(number)


def test_one_that_is_for_reading(pipe: list[int]) -> None:
    with pytest.raises(ConfirmationError, match="reading only"):
        DescriptorDelivery(pipe[0])


def test_one_that_nobody_reads(pipe: list[int]) -> None:
    close(pipe, 0)
    with pytest.raises(ConfirmationError, match="nobody reads from it"):
        DescriptorDelivery(pipe[0])


def test_a_terminal_is_no_escrow() -> None:
    master, slave = pty.openpty()
    assert delivery.writing_problem(slave) == "it is a terminal"
    os.close(master)
    os.close(slave)


def test_the_reader_goes_away_meanwhile(pipe: list[int], key: SecretBytes) -> None:
    escrow = DescriptorDelivery(pipe[1])
    close(pipe, 0)
    with pytest.raises(ConfirmationError, match="Broken pipe") as refused:
        escrow.hand_over("pgdata", key)
    assert "It was discarded." in refused.value.resolution
    assert TEXT not in str(refused.value)


def test_a_part_of_the_line_does_not_count(pipe: list[int], key: SecretBytes, monkeypatch: pytest.MonkeyPatch) -> None:
    escrow = DescriptorDelivery(pipe[1])
    monkeypatch.setattr(os, "writev", lambda *_: 5)
    with pytest.raises(ConfirmationError, match="a part of the line only"):
        escrow.hand_over("pgdata", key)
