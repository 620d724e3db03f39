"""The unit of the boot calls the very volward that is installed, and whether it is enabled is read, not asked."""

import sys
from pathlib import Path

import pytest
from tests.unit.host.recording import Recording

from volward.host import boot


def test_the_unit_that_is_shipped(tmp_path: Path) -> None:
    unit = boot.unit(program="/opt/volward/bin/volward", directory=tmp_path)
    assert unit.path == tmp_path / "volward-open.service"
    assert "ExecStart=/opt/volward/bin/volward open --all\n" in unit.content
    assert "/usr/local/bin" not in unit.content
    assert "LimitCORE=1" in unit.content


@pytest.mark.parametrize(
    ("name", "mode", "ours"), [("volward", 0o755, True), ("volward", 0o644, False), ("pytest", 0o755, False)]
)
def test_the_program_that_runs_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: int, ours: bool
) -> None:
    program = tmp_path / name
    program.write_text("#!/bin/sh\n")
    program.chmod(mode)
    monkeypatch.setattr(sys, "argv", [str(program), "apply"])
    expected = str(program) if ours else "/usr/local/bin/volward"
    assert f"ExecStart={expected} open --all\n" in boot.unit(directory=tmp_path).content


def test_a_wheel_brings_the_unit_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "units").mkdir()
    (tmp_path / "units/volward-open.service").write_text("packaged\n")
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    assert boot.unit(program="x", directory=tmp_path).content == "packaged\n"


def test_enabled(tmp_path: Path) -> None:
    wants = tmp_path / "multi-user.target.wants"
    wants.mkdir()
    assert not boot.enabled(directory=tmp_path)
    (wants / boot.UNIT).symlink_to(tmp_path / boot.UNIT)
    assert not boot.enabled(directory=tmp_path), "a link that leads nowhere enables nothing"
    boot.unit(program="x", directory=tmp_path).write()
    assert boot.enabled(directory=tmp_path)


def test_enable(recording: Recording) -> None:
    boot.enable()
    assert recording.calls == [["systemctl", "enable", "volward-open.service"]]


def test_the_timer_rotates_what_is_due_once_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recording: Recording
) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    service, timer = boot.rotation_units(directory=tmp_path)
    assert "ExecStart=/usr/local/bin/volward rotate --due\n" in service.content
    assert {"LimitCORE=1", "MemorySwapMax=0"} <= set(service.content.splitlines())
    assert {"Persistent=true", "OnCalendar=daily"} <= set(timer.content.splitlines())
    assert "RandomizedDelaySec=" in timer.content
    (tmp_path / "timers.target.wants").mkdir()
    (tmp_path / "timers.target.wants/volward-rotate.timer").symlink_to(timer.path)
    assert not boot.enabled(boot.ROTATING_TIMER, directory=tmp_path)
    timer.write()
    assert boot.enabled(boot.ROTATING_TIMER, directory=tmp_path)
    boot.enable([boot.ROTATING_TIMER], now=True)
    assert recording.calls == [["systemctl", "enable", "--now", "volward-rotate.timer"]]
