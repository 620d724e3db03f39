"""What PID 1 opens by a line of /etc/crypttab."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from volward.host import systemd, systemd_cryptsetup, unit_state
from volward.host.unit_state import UnitState

UNIT = "systemd-cryptsetup@volward\\x2ddata.service"
IDLE = UnitState(UNIT, UNIT, "loaded", "inactive", "generated", False, True, 0, 0, 0)
OPENING = replace(IDLE, active_state="activating", has_job=True)
FAILED = replace(IDLE, active_state="failed")


def test_a_line_is_known_by_the_unit_that_systemd_made_of_it(tmp_path: Path) -> None:
    assert not systemd_cryptsetup.has_line("volward-data", generated=tmp_path)
    (tmp_path / UNIT).touch()
    assert systemd_cryptsetup.has_line("volward-data", generated=tmp_path)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (IDLE, False),
        (replace(IDLE, has_job=True), True),
        (replace(OPENING, state_change_usec=41_000_000), True),
        (replace(OPENING, state_change_usec=39_000_000), False),
        (replace(IDLE, active_state="active"), False),
        (FAILED, False),
    ],
)
def test_who_is_being_opened(state: UnitState, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def show(units: Sequence[str]) -> tuple[UnitState, ...]:
        asked.extend(units)
        return (state,)

    monkeypatch.setattr(unit_state, "show", show)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    assert systemd_cryptsetup.is_opening(["volward-data"], longest_seconds=60.0) is expected
    assert asked == [UNIT]


class Pid1:
    """PID 1 with one line of /etc/crypttab: its unit comes from state to state as it is looked at."""

    def __init__(self, states: list[UnitState], *, after_the_end: UnitState = FAILED) -> None:
        self.states = states
        self.after_the_end = after_the_end
        self.asked: list[str] = []
        self.now = 0.0

    def show(self, units: Sequence[str]) -> tuple[UnitState, ...]:
        assert list(units) == [UNIT]
        return (self.states.pop(0) if len(self.states) > 1 else self.states[0],)

    def end(self, unit: str) -> None:
        self.asked.append(f"end {unit}")
        self.states = [self.after_the_end]

    def start(self, unit: str) -> None:
        self.asked.append(f"start {unit}")

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def give_way(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have PID 1 give way; returns what it was asked for."""

    def give(pid1: Pid1, *, line: bool = True, asks: bool = False) -> list[str]:
        monkeypatch.setattr(systemd_cryptsetup, "has_line", lambda mapping: line)
        monkeypatch.setattr(systemd_cryptsetup, "asks_a_person", lambda: asks)
        monkeypatch.setattr(unit_state, "show", pid1.show)
        monkeypatch.setattr(systemd, "end_main_process", pid1.end)
        monkeypatch.setattr(systemd, "start_soon", pid1.start)
        monkeypatch.setattr(time, "monotonic", lambda: pid1.now)
        monkeypatch.setattr(time, "sleep", pid1.sleep)
        systemd_cryptsetup.give_way("volward-data")
        return pid1.asked

    return give


END_AND_START = [f"end {UNIT}", f"start {UNIT}"]


def test_a_question_that_nobody_needs_answer_any_more_is_taken_back(give_way: Callable[..., list[str]]) -> None:
    pid1 = Pid1([OPENING])
    assert give_way(pid1, asks=True) == END_AND_START
    assert pid1.now == 0.0, "it would not end by itself"


def test_what_ends_by_itself_is_left_to_end(give_way: Callable[..., list[str]]) -> None:
    assert give_way(Pid1([OPENING, OPENING, replace(IDLE, active_state="active")])) == []


def test_one_that_came_second_and_failed_is_started_again(give_way: Callable[..., list[str]]) -> None:
    assert give_way(Pid1([OPENING, OPENING, FAILED])) == [f"start {UNIT}"]


def test_one_that_waits_for_its_key_is_not_waited_for(give_way: Callable[..., list[str]]) -> None:
    pid1 = Pid1([OPENING])
    assert give_way(pid1) == END_AND_START
    assert 5.0 <= pid1.now < 6.0


def test_one_that_does_not_end_keeps_no_mount_waiting_for_ever(give_way: Callable[..., list[str]]) -> None:
    pid1 = Pid1([OPENING], after_the_end=OPENING)
    assert give_way(pid1) == [f"end {UNIT}"]
    assert 10.0 <= pid1.now < 12.0


@pytest.mark.parametrize("state", [IDLE, replace(IDLE, active_state="active")])
def test_there_is_nothing_to_give_way(state: UnitState, give_way: Callable[..., list[str]]) -> None:
    assert give_way(Pid1([state])) == []


def test_without_a_line_nobody_is_asked(give_way: Callable[..., list[str]]) -> None:
    assert give_way(Pid1([]), line=False) == []


def test_a_question_to_a_person(tmp_path: Path) -> None:
    assert not systemd_cryptsetup.asks_a_person(questions=tmp_path / "none")
    (tmp_path / "ask.a").write_text("[Ask]\nPID=1\nMessage=The password of something else\nId=other:x\n")
    (tmp_path / "sck.b").touch()
    (tmp_path / "ask.gone").symlink_to(tmp_path / "nowhere")
    assert not systemd_cryptsetup.asks_a_person(questions=tmp_path)
    (tmp_path / "ask.c").write_text("[Ask]\nPID=1\nId=cryptsetup:/dev/disk/by-uuid/1\nMessage=Please enter\n")
    assert systemd_cryptsetup.asks_a_person(questions=tmp_path)
