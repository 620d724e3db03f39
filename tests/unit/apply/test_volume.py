"""From an enrolled device to directories on a mount: each step on nothing but the volume's own mapping and mount."""

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.apply.machine import KEY, Machine
from tests.unit.builders import BLANK, CLOSED, IDENTITY, MOUNT, OPEN, PERFECT, SCRATCH, SPEC, SWAP, UUID

from volward.apply import Work, apply
from volward.errors import (
    BusyError,
    DeviceUnknownError,
    FileSystemError,
    IdentityError,
    MappingError,
    MountPointError,
    OperatingSystemError,
)
from volward.host import mount, swap, systemd, systemd_cryptsetup, volume_units
from volward.host.file_system import FileSystemFound
from volward.host.volume_units import UnitFile
from volward.keys.providers import Providers
from volward.model import MIB, Action, Directory, MappingState, Mount, ProviderKind, Step, VolumeSpec


def step(name: Step) -> Action:
    return Action(name, f"do {name}", "a test wants it")


@pytest.fixture
def work(machine: Machine) -> Iterator[Work]:
    machine.formatted()
    machine.source(ProviderKind.CREDENTIAL, KEY)
    with Work.on(SPEC, replace(PERFECT, mapping=CLOSED), Providers()) as one:
        yield one


# --- mapping and file system ------------------------------------------------------------------------------


def test_opening_is_remembered_for_status(machine: Machine, work: Work) -> None:
    apply(step(Step.OPEN), work)
    assert work.opened_fresh
    (remembered,) = machine.remembered
    assert (remembered.by, remembered.disk_sequence) == ("credential", "sequence of 253:0")


def test_a_mapping_that_is_not_there_afterwards_is_told(machine: Machine, work: Work) -> None:
    machine.obedient = False
    with pytest.raises(MappingError, match=r"of /dev/disk/by-id/virtio-PG1 is absent\. `volward"):
        apply(step(Step.OPEN), work)
    assert machine.remembered == []


def test_the_file_system_is_made_on_an_empty_mapping(machine: Machine, work: Work) -> None:
    machine.mapping = OPEN
    apply(step(Step.MAKE_FILE_SYSTEM), work)
    assert machine.log == ["mkfs ext4 pgdata"]
    assert machine.content.uuid == work.file_system_uuid


def test_our_own_half_made_one_is_made_anew(machine: Machine, work: Work) -> None:
    machine.mapping, machine.content = OPEN, FileSystemFound("ext4", work.file_system_uuid)
    apply(step(Step.MAKE_FILE_SYSTEM), work)
    assert machine.log == ["mkfs ext4 pgdata"]


def test_one_that_was_made_whole_and_not_written_down_stays(machine: Machine, work: Work) -> None:
    machine.mapping, machine.content = OPEN, FileSystemFound("ext4", work.file_system_uuid)
    machine.whole = True
    apply(step(Step.MAKE_FILE_SYSTEM), work)
    assert machine.log == []


def test_a_damaged_one_that_may_hold_data_stays(machine: Machine, work: Work) -> None:
    machine.mapping, machine.content = OPEN, FileSystemFound("ext4", work.file_system_uuid)
    machine.may_hold_data = True
    with pytest.raises(FileSystemError, match="may have been mounted"):
        apply(step(Step.MAKE_FILE_SYSTEM), work)
    assert machine.log == []


@pytest.mark.parametrize("found", [FileSystemFound("ext4", "somebody's"), FileSystemFound("xfs", "")])
def test_any_other_content_stays(machine: Machine, work: Work, found: FileSystemFound) -> None:
    machine.mapping, machine.content = OPEN, found
    with pytest.raises(FileSystemError, match="already carries"):
        apply(step(Step.MAKE_FILE_SYSTEM), work)
    assert machine.log == []


@pytest.mark.parametrize("state", [MappingState.ABSENT, MappingState.FOREIGN, MappingState.ZOMBIE])
def test_no_file_system_on_a_mapping_that_is_not_the_volume(machine: Machine, work: Work, state: MappingState) -> None:
    machine.mapping = replace(OPEN, state=state, detail="not ours.")
    with pytest.raises(MappingError):
        apply(step(Step.MAKE_FILE_SYSTEM), work)
    assert machine.log == []


def test_a_maker_that_did_nothing_is_noticed(machine: Machine, work: Work) -> None:
    machine.mapping, machine.obedient = OPEN, False
    with pytest.raises(DeviceUnknownError, match="yet nothing is found there"):
        apply(step(Step.MAKE_FILE_SYSTEM), work)


def test_close(machine: Machine, work: Work) -> None:
    machine.mapping = OPEN
    apply(step(Step.CLOSE), work)
    assert machine.log == ["close volward-pgdata"]
    machine.mapping, machine.content = OPEN, FileSystemFound("busy", "")
    with pytest.raises(BusyError):
        apply(step(Step.CLOSE), work)


# --- scratch ----------------------------------------------------------------------------------------------


@pytest.fixture
def scratch(machine: Machine) -> Iterator[Work]:
    machine.marker_uuid = UUID
    with Work.on(SCRATCH, replace(BLANK, scratch_uuid=UUID), Providers()) as one:
        yield one


def test_a_scratch_volume_lies_behind_its_marker(machine: Machine, scratch: Work) -> None:
    apply(step(Step.OPEN), scratch)
    assert machine.log == [f"open by random key from {MIB} for {IDENTITY.size_bytes - MIB}"]
    assert machine.remembered[0].by == "random key"
    apply(step(Step.MAKE_FILE_SYSTEM), scratch)
    assert machine.log[-1] == "mkfs ext4 pgdata"


@pytest.mark.parametrize("found", ["", "5f1e1a53-0000-4000-8000-00000000000f"])
def test_without_its_marker_a_device_is_left_alone(machine: Machine, scratch: Work, found: str) -> None:
    machine.marker_uuid = found
    with pytest.raises(IdentityError):
        apply(step(Step.OPEN), scratch)
    assert machine.log == []


def test_a_scratch_mapping_of_an_earlier_operation_is_never_formatted(machine: Machine, scratch: Work) -> None:
    machine.mapping = OPEN
    with pytest.raises(MappingError, match="was not opened in this operation"):
        apply(step(Step.MAKE_FILE_SYSTEM), scratch)
    assert machine.log == []


def test_swap(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Path | str] = []
    monkeypatch.setattr(systemd_cryptsetup, "give_way", used.append)
    monkeypatch.setattr(swap, "on", used.append)
    with Work.on(SWAP, BLANK, Providers()) as work:
        apply(step(Step.SWAP_ON), work)
    assert used == ["volward-pgdata", Path("/dev/mapper/volward-pgdata")]


# --- mount ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warning", ["", "The file system of /srv has no immutable flag."])
def test_a_seal_that_is_weak_is_remarked(
    machine: Machine, work: Work, monkeypatch: pytest.MonkeyPatch, warning: str
) -> None:
    monkeypatch.setattr(mount, "create_and_seal", lambda path: warning)
    apply(step(Step.SEAL_MOUNT_POINT), work)
    assert work.remarks == ((warning,) if warning else ())


def test_units_that_are_current_are_not_written(
    machine: Machine, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current, old = UnitFile(tmp_path / "current.mount", "[Mount]\n"), UnitFile(tmp_path / "d/old.mount", "[Mount]\n")
    current.write()
    before = current.path.stat().st_ino
    left = tmp_path / "app.service.d/50-volward-pgdata.conf"
    left.parent.mkdir()
    left.touch()
    monkeypatch.setattr(volume_units, "units_of", lambda spec: (current, old))
    monkeypatch.setattr(volume_units, "ties", lambda: {"pgdata": (left,), "cache": (current.path,)})
    apply(step(Step.WRITE_UNITS), work)
    assert not left.exists()
    assert current.path.stat().st_ino == before
    assert old.current


@pytest.fixture
def mounts(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[Mount]:
    """What is mounted once systemd was asked; the first list entry counts."""
    machine.mapping = OPEN
    there: list[Mount] = [MOUNT]
    monkeypatch.setattr(systemd, "start", lambda unit: machine.log.append(f"start {unit}"))
    monkeypatch.setattr(systemd_cryptsetup, "give_way", lambda mapping: machine.log.append(f"give way {mapping}"))
    monkeypatch.setattr(mount, "table", lambda: tuple(there))
    monkeypatch.setattr(mount, "at", lambda path, table: there[0] if there else None)
    return there


def test_systemd_mounts_and_the_mount_is_looked_at(machine: Machine, work: Work, mounts: list[Mount]) -> None:
    apply(step(Step.MOUNT), work)
    assert machine.log == ["give way volward-pgdata", "start srv-volward-pgdata.mount"]


@pytest.mark.parametrize("found", [[], [replace(MOUNT, number="8:1")]], ids=["nothing", "something else"])
def test_a_mount_that_is_not_the_volume_is_told(
    machine: Machine, work: Work, mounts: list[Mount], found: list[Mount]
) -> None:
    mounts[:] = found
    with pytest.raises(MountPointError, match="does not show it") as refused:
        apply(step(Step.MOUNT), work)
    assert "systemctl status srv-volward-pgdata.mount" in refused.value.resolution


def test_a_volume_without_a_mount_point_is_never_mounted(machine: Machine, mounts: list[Mount]) -> None:
    with Work.on(SWAP, BLANK, Providers()) as work, pytest.raises(AssertionError):
        apply(step(Step.MOUNT), work)


# --- the store's directories --------------------------------------------------------------------------------

ME, MINE = str(os.getuid()), str(os.getgid())


def store(root: Path, *directories: Directory) -> VolumeSpec:
    return replace(SPEC, mount_point=root, directories=directories)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "mounted"
    path.mkdir(mode=0o755)
    return path


def prepare(spec: VolumeSpec) -> None:
    with Work.on(spec, PERFECT, Providers()) as work:
        apply(step(Step.PREPARE_STORE), work)


def test_directories_are_made_and_mended(machine: Machine, mounts: list[Mount], root: Path) -> None:
    (root / "old").mkdir(mode=0o777)
    (root / "old/content").write_text("kept")
    deep = Directory("a/b", ME, MINE, 0o750)
    prepare(store(root, Directory(".", ME, MINE, 0o711), Directory("old", ME, MINE, 0o700), deep))
    assert [stat.S_IMODE((root / path).stat().st_mode) for path in (".", "old", "a/b")] == [0o711, 0o700, 0o750]
    assert (root / "old/content").read_text() == "kept"


def test_an_owner_is_changed_only_where_it_differs(
    machine: Machine, mounts: list[Mount], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda descriptor, uid, gid: owners.append((uid, gid)))
    prepare(store(root, Directory("mine", ME, MINE, 0o700), Directory("theirs", "12345", "54321", 0o700)))
    assert owners == [(12345, 54321)]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_nothing_is_followed_out_of_the_volume(
    machine: Machine, mounts: list[Mount], root: Path, tmp_path: Path, kind: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    if kind == "link":
        (root / "data").symlink_to(outside)
    else:
        (root / "data").write_text("x")
    with pytest.raises(MountPointError, match="a file or a symbolic link is in its place"):
        prepare(store(root, Directory("data", ME, MINE, 0o700)))
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755


def test_a_disk_with_errors_is_not_called_a_file_in_its_place(
    machine: Machine, mounts: list[Mount], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "mkdir", broken)
    with pytest.raises(OperatingSystemError) as refused:
        prepare(store(root, Directory("data", ME, MINE, 0o700)))
    assert "dmesg" in refused.value.resolution


def test_never_below_an_unmounted_mount_point(machine: Machine, mounts: list[Mount], root: Path) -> None:
    mounts.clear()
    with pytest.raises(MountPointError, match="is not the mounted volume"):
        prepare(store(root, Directory("data", ME, MINE, 0o700)))
    assert list(root.iterdir()) == []
