"""Whether the boot starts a unit is read from links, not asked; systemctl changes it."""

from pathlib import Path

import pytest
from tests.unit.host.recording import Recording

from volward.host import boot, systemd
from volward.host.boot import Link

LINE = "{} loaded {} exited Open and mount the encrypted volumes\n"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    directory = tmp_path / "etc/systemd/system"
    (directory / "multi-user.target.wants").mkdir(parents=True)
    return directory


def want(units: Path, target: str = "multi-user.target") -> Path:
    link = units / f"{target}.wants" / boot.UNIT
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(f"/etc/systemd/system/{boot.UNIT}")
    return link


def test_enabled(units: Path, tmp_path: Path) -> None:
    assert not boot.enabled(root=tmp_path)
    link = want(units)
    assert not boot.enabled(root=tmp_path), "a link that leads nowhere enables nothing"
    assert boot.wanting(boot.UNIT, root=tmp_path) == (link,)
    (units / boot.UNIT).touch()
    assert boot.link(boot.UNIT, root=tmp_path) is Link.ENABLED
    link.unlink()
    assert boot.link(boot.UNIT, root=tmp_path) is Link.DISABLED
    link.touch()
    assert not boot.enabled(root=tmp_path), "no link"


def test_a_unit_of_a_package_is_enabled_by_the_same_link(units: Path, tmp_path: Path) -> None:
    want(units)
    packaged = tmp_path / "usr/lib/systemd/system" / boot.UNIT
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    assert boot.enabled(root=tmp_path)


def test_a_masked_unit_is_not_enabled(units: Path, tmp_path: Path) -> None:
    want(units)
    (units / boot.UNIT).symlink_to("/dev/null")
    assert boot.link(boot.UNIT, root=tmp_path) is Link.MASKED
    assert not boot.enabled(root=tmp_path)
    (units / boot.UNIT).unlink()
    (units / boot.UNIT).symlink_to("/srv/mine")
    assert not boot.is_masked(boot.UNIT, root=tmp_path)


@pytest.fixture
def booted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)


@pytest.mark.usefixtures("booted")
def test_enable(recording: Recording) -> None:
    boot.enable()
    boot.enable([boot.KEY_SOCKET], now=True)
    assert recording.calls == [
        ["systemctl", "enable", "volward.service"],
        ["systemctl", "enable", "--now", "volward-key.socket"],
    ]


def test_in_an_image_that_is_built_nothing_is_started(
    recording: Recording, units: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path / "none")
    (units / boot.UNIT).touch()
    boot.enable(now=True)
    boot.disable([boot.UNIT], now=True, root=tmp_path)
    assert recording.calls == [["systemctl", "enable", boot.UNIT], ["systemctl", "disable", boot.UNIT]]


@pytest.mark.usefixtures("booted")
def test_disable(recording: Recording, units: Path, tmp_path: Path) -> None:
    (units / "volward-key.socket").touch()
    links = [want(units), want(units, "default.target")]
    boot.disable([boot.UNIT, boot.KEY_SOCKET], now=True, root=tmp_path)
    assert recording.calls == [["systemctl", "disable", "--now", "volward-key.socket"]]
    assert not any(link.is_symlink() for link in links), "systemctl knows no unit whose file is gone"
    boot.disable([boot.UNIT], root=tmp_path)
    boot.disable([boot.KEY_SOCKET], root=tmp_path)
    assert recording.calls[1:] == [["systemctl", "disable", "volward-key.socket"]]


def test_states(recording: Recording) -> None:
    recording.answer(stdout=LINE.format(boot.UNIT, "active") + LINE.format("volward-key@1.service", "failed") + "\n")
    assert boot.states([boot.UNIT, "volward-key@.service"]) == {
        boot.UNIT: "active",
        "volward-key@1.service": "failed",
    }
    words = ["systemctl", "list-units", "--all", "--full", "--plain", "--no-legend"]
    assert recording.calls == [[*words, boot.UNIT, "volward-key@*.service"]]


def test_systemd_does_not_answer(recording: Recording) -> None:
    recording.fail(1, "System has not been booted with systemd as init system.")
    assert boot.states([boot.UNIT]) == {}
