"""What PID 1 opens by a line of /etc/crypttab."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from volward.host import systemd_cryptsetup, unit_state
from volward.host.unit_state import UnitState

UNIT = "systemd-cryptsetup@volward\\x2ddata.service"
IDLE = UnitState(UNIT, UNIT, "loaded", "inactive", "generated", False, True, 0, 0, 0)


def test_a_line_is_known_by_the_unit_that_systemd_made_of_it(tmp_path: Path) -> None:
    assert not systemd_cryptsetup.has_line("volward-data", generated=tmp_path)
    (tmp_path / UNIT).touch()
    assert systemd_cryptsetup.has_line("volward-data", generated=tmp_path)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (IDLE, False),
        (replace(IDLE, has_job=True), True),
        (replace(IDLE, active_state="activating"), True),
        (replace(IDLE, active_state="active"), False),
        (replace(IDLE, active_state="failed"), False),
    ],
)
def test_who_is_being_opened(state: UnitState, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def show(units: Sequence[str]) -> tuple[UnitState, ...]:
        asked.extend(units)
        return (state,)

    monkeypatch.setattr(unit_state, "show", show)
    assert systemd_cryptsetup.is_opening(["volward-data"]) is expected
    assert asked == [UNIT]


def test_a_question_to_a_person(tmp_path: Path) -> None:
    assert not systemd_cryptsetup.asks_a_person(questions=tmp_path / "none")
    (tmp_path / "ask.a").write_text("[Ask]\nPID=1\nMessage=The password of something else\nId=other:x\n")
    (tmp_path / "sck.b").touch()
    (tmp_path / "ask.gone").symlink_to(tmp_path / "nowhere")
    assert not systemd_cryptsetup.asks_a_person(questions=tmp_path)
    (tmp_path / "ask.c").write_text("[Ask]\nPID=1\nId=cryptsetup:/dev/disk/by-uuid/1\nMessage=Please enter\n")
    assert systemd_cryptsetup.asks_a_person(questions=tmp_path)
