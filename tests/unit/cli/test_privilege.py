"""Root, and a kernel that can open a LUKS volume: /dev/mapper/control alone proves nothing."""

from pathlib import Path

import pytest
from tests.unit.host.recording import Recording

from volward.cli import main, privilege
from volward.errors import NoDeviceMapperError, ToolMissingError

WITH = "252 device-mapper\n235 autofs\n"
WITHOUT = "235 autofs\n200 tun\n"


def demand(tmp_path: Path, *, load: bool, misc: str | None = WITHOUT) -> None:
    if misc is not None:
        (tmp_path / "misc").write_text(misc)
    privilege.demand_device_mapper(load=load, module=tmp_path / "dm_crypt", misc=tmp_path / "misc")


@pytest.mark.parametrize("command", ["apply", "open", "close", "plan", "status", "journal", "repin x", "key export x"])
def test_without_root_nothing_is_even_read(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main.run(["--config", str(tmp_path / "none"), *command.split()]) == 77
    assert "needs root" in capsys.readouterr().err


def test_a_loaded_module_needs_no_process(tmp_path: Path, recording: Recording) -> None:
    (tmp_path / "dm_crypt").mkdir()
    demand(tmp_path, load=True)
    assert recording.calls == []


@pytest.mark.parametrize(
    ("load", "call"), [(True, ["modprobe", "dm_crypt"]), (False, ["modprobe", "--dry-run", "--quiet", "dm_crypt"])]
)
def test_a_module_that_can_be_loaded(tmp_path: Path, recording: Recording, load: bool, call: list[str]) -> None:
    demand(tmp_path, load=load)
    assert recording.calls == [call]


@pytest.mark.parametrize("load", [True, False])
@pytest.mark.parametrize("misc", [WITHOUT, None])
def test_a_kernel_without_it_points_to_the_demo(
    tmp_path: Path, recording: Recording, load: bool, misc: str | None
) -> None:
    recording.fail(1, "modprobe: FATAL: Module dm_crypt not found")
    with pytest.raises(NoDeviceMapperError) as refused:
        demand(tmp_path, load=load, misc=misc)
    assert "make demo" in refused.value.resolution
    assert refused.value.exit_status == 72


def test_a_kernel_that_has_it_built_in_and_no_modprobe(tmp_path: Path, recording: Recording) -> None:
    recording.answers.append(ToolMissingError("modprobe is not installed.", resolution="Install it."))
    demand(tmp_path, load=True, misc=WITH)
