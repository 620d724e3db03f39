"""The last look before a device is pinned, wiped, formatted or claimed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.apply.machine import KEY, Machine
from tests.unit.builders import (
    BLANK,
    DEVICE,
    FILE_SPEC,
    IDENTITY,
    NO_FILE,
    OTHER_IDENTITY,
    OTHER_UUID,
    SCRATCH,
    SPEC,
    TO_FORMAT,
    UUID,
    unfinished,
)

from volward import pins
from volward.apply import Work, apply
from volward.errors import (
    BugError,
    DeviceBusyError,
    DeviceUnknownError,
    IdentityError,
    NoSpaceError,
    NotBlankError,
    OperatingSystemError,
    VerificationError,
)
from volward.host import backing_file, marker
from volward.host.cryptsetup import Argon2id, Pbkdf2
from volward.keys.providers import Providers
from volward.keys.source import KeyRef
from volward.model import Action, BlankProbe, DeviceClass, Finding, Identity, Pin, Presence, ProviderKind, Step
from volward.secret import SecretBytes

EXT4 = BlankProbe(Presence.PRESENT, (Finding("ext4 file system", 1080),))
UNREADABLE = BlankProbe(Presence.UNKNOWN, (Finding("read error (EIO)", 4096),))
OUR_NOISE = BlankProbe(Presence.PRESENT, (Finding("data", 32768), Finding("LUKS2 header (primary)", 0)))
CUT = unfinished(TO_FORMAT[:-1], str(Step.FORMAT))


def step(name: Step) -> Action:
    return Action(name, f"do {name}", "a test wants it", destructive=name in (Step.FORMAT, Step.WIPE))


@pytest.fixture
def work(machine: Machine) -> Iterator[Work]:
    with Work.on(SPEC, BLANK, Providers()) as one:
        one.take(KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 1), SecretBytes(KEY))
        yield one


# --- format -----------------------------------------------------------------------------------------------


def test_a_blank_device_is_formatted_with_the_uuid_of_the_journal(machine: Machine, work: Work) -> None:
    apply(step(Step.FORMAT), work)
    assert machine.log == [f"format /dev/vdb {Pbkdf2()} sector 4096"]
    assert machine.present.uuid == work.luks_uuid
    assert machine.audited == [("format", "intent", ""), ("format", "done", "")]


def test_what_a_person_typed_is_stretched(machine: Machine) -> None:
    spec = replace(SPEC, providers=(ProviderKind.TPM2, ProviderKind.PROMPT, ProviderKind.CREDENTIAL))
    with Work.on(spec, BLANK, Providers()) as work:
        work.take(KeyRef(ProviderKind.PROMPT, "volward.pgdata", 1), SecretBytes(b"five random words"))
        apply(step(Step.FORMAT), work)
    profile = spec.recovery
    expected = Argon2id(profile.memory_kib, profile.iterations, profile.lanes)
    assert machine.log == [f"format /dev/vdb {expected} sector 4096"]


@pytest.mark.parametrize(
    ("changes", "size", "sector"),
    [
        ({}, 4096 * 100, 4096),
        ({"physical_sector_bytes": 512}, 4096 * 100, 512),
        ({}, 4096 * 100 + 512, 512),
    ],
)
def test_a_sector_is_never_one_that_a_power_cut_tears(
    machine: Machine, changes: dict[str, Any], size: int, sector: int
) -> None:
    machine.device = replace(DEVICE, identity=replace(IDENTITY, size_bytes=size), **changes)
    with Work.on(SPEC, replace(BLANK, device=machine.device), Providers()) as work:
        work.take(KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 1), SecretBytes(KEY))
        apply(step(Step.FORMAT), work)
    assert machine.log[0].endswith(f"sector {sector}")


def test_the_owner_may_choose_the_sector(machine: Machine) -> None:
    spec = replace(SPEC, cipher=replace(SPEC.cipher, sector_size_bytes=512))
    with Work.on(spec, BLANK, Providers()) as work:
        work.take(KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 1), SecretBytes(KEY))
        apply(step(Step.FORMAT), work)
    assert machine.log[0].endswith("sector 512")


@pytest.mark.parametrize("probe", [EXT4, UNREADABLE])
def test_what_came_since_the_plan_is_not_formatted(machine: Machine, work: Work, probe: BlankProbe) -> None:
    machine.probe = probe
    with pytest.raises(NotBlankError, match="not blank any more"):
        apply(step(Step.FORMAT), work)
    assert machine.log == []
    assert machine.audited[-1] == ("format", "failed", "VW0302")


def test_the_owners_overwrite_does_not_replace_the_proof_after_the_wipe(machine: Machine, work: Work) -> None:
    work.overwrite = True
    machine.probe = EXT4
    with pytest.raises(NotBlankError):
        apply(step(Step.FORMAT), work)
    assert machine.log == []


@pytest.mark.parametrize(
    "use", [{"mounted_at": (Path("/mnt"),)}, {"holders": ("md0",)}, {"swap": True}], ids=["mounted", "held", "swap"]
)
def test_what_is_in_use_is_not_formatted(machine: Machine, work: Work, use: dict[str, Any]) -> None:
    machine.device = replace(DEVICE, **use)
    with pytest.raises(DeviceBusyError):
        apply(step(Step.FORMAT), work)
    assert machine.log == []


def test_another_device_behind_the_link_is_not_formatted(machine: Machine, work: Work) -> None:
    machine.device = replace(DEVICE, identity=OTHER_IDENTITY)
    with pytest.raises(IdentityError, match="serial: pinned PG1, found PG2"):
        apply(step(Step.FORMAT), work)
    assert machine.log == []


def test_a_header_that_cannot_be_read_is_not_formatted(machine: Machine, work: Work) -> None:
    machine.header_presence = Presence.UNKNOWN
    with pytest.raises(DeviceUnknownError):
        apply(step(Step.FORMAT), work)
    assert machine.log == []


def test_a_format_that_does_not_open_is_told(machine: Machine, work: Work) -> None:
    machine.obedient = False
    with pytest.raises(VerificationError, match="its key does not open it"):
        apply(step(Step.FORMAT), work)


def test_a_format_without_a_key_is_a_bug(machine: Machine) -> None:
    with Work.on(SPEC, BLANK, Providers()) as work, pytest.raises(BugError):
        apply(step(Step.FORMAT), work)
    assert machine.log == []


# --- resumed ----------------------------------------------------------------------------------------------


@pytest.fixture
def resumed(machine: Machine) -> Iterator[Work]:
    with Work.on(SPEC, replace(BLANK, unfinished=CUT), Providers()) as one:
        one.take(KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 1), SecretBytes(KEY))
        yield one


def test_our_own_half_format_is_made_anew(machine: Machine, resumed: Work) -> None:
    machine.probe = OUR_NOISE
    apply(step(Step.FORMAT), resumed)
    assert machine.log[0].startswith("format")
    assert machine.present.uuid == UUID


def test_a_format_that_had_ended_is_not_repeated(machine: Machine, resumed: Work) -> None:
    machine.formatted()
    apply(step(Step.FORMAT), resumed)
    assert machine.log == []


def test_our_header_without_our_key_is_made_anew(machine: Machine, resumed: Work) -> None:
    machine.formatted(slots={0: b"the key of the run before, which nobody has"})
    apply(step(Step.FORMAT), resumed)
    assert machine.log != []


def test_a_header_of_others_is_not_our_half_format(machine: Machine, resumed: Work) -> None:
    machine.formatted()
    machine.header = replace(machine.present, uuid=OTHER_UUID)
    with pytest.raises(NotBlankError):
        apply(step(Step.FORMAT), resumed)
    assert machine.log == []


def test_a_stranger_on_our_half_format_stays(machine: Machine, resumed: Work) -> None:
    machine.probe = EXT4
    with pytest.raises(NotBlankError):
        apply(step(Step.FORMAT), resumed)
    assert machine.log == []


# --- wipe -------------------------------------------------------------------------------------------------


def test_a_wipe_that_was_asked_for(machine: Machine, work: Work) -> None:
    work.overwrite = True
    machine.probe = EXT4
    apply(step(Step.WIPE), work)
    assert machine.log == [f"wipe /dev/vdb {IDENTITY.size_bytes}"]
    apply(step(Step.FORMAT), work)
    assert machine.log[1].startswith("format")


def test_a_wipe_that_nobody_asked_for(machine: Machine, work: Work) -> None:
    with pytest.raises(BugError):
        apply(step(Step.WIPE), work)
    assert machine.log == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"mounted_at": (Path("/mnt"),)}, DeviceBusyError),
        ({"holders": ("dm-3",)}, DeviceBusyError),
        ({"identity": OTHER_IDENTITY}, IdentityError),
    ],
)
def test_a_wipe_looks_once_more(machine: Machine, work: Work, changes: dict[str, Any], error: type[Exception]) -> None:
    work.overwrite = True
    machine.device = replace(DEVICE, **changes)
    with pytest.raises(error):
        apply(step(Step.WIPE), work)
    assert machine.log == []


def test_partitions_go_with_the_wipe_or_are_named(machine: Machine, work: Work) -> None:
    work.overwrite, machine.probe = True, EXT4
    machine.device = replace(DEVICE, holders=("vdb1",), partitions=("vdb1",))
    machine.obedient = False
    with pytest.raises(VerificationError, match=r"still knows its partitions \(vdb1\)"):
        apply(step(Step.WIPE), work)
    machine.obedient = True
    apply(step(Step.WIPE), work)
    apply(step(Step.FORMAT), work)
    assert machine.log[-1].startswith("format")


def test_a_partition_that_is_held_is_use(machine: Machine, work: Work) -> None:
    work.overwrite = True
    machine.device = replace(DEVICE, holders=("md0", "vdb1"), partitions=("vdb1",))
    with pytest.raises(DeviceBusyError, match="md0"):
        apply(step(Step.WIPE), work)
    assert machine.log == []


def test_what_survives_a_wipe_is_named(machine: Machine, work: Work) -> None:
    work.overwrite, machine.obedient, machine.probe = True, False, EXT4
    with pytest.raises(VerificationError, match="ext4 file system at byte 1080"):
        apply(step(Step.WIPE), work)


# --- file, pin, scratch -----------------------------------------------------------------------------------


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write = pins.write
    monkeypatch.setattr(pins, "write", lambda volume, pin: write(volume, pin, directory=tmp_path))
    return tmp_path


def test_the_pin(machine: Machine, work: Work, pinned: Path) -> None:
    apply(step(Step.PIN), work)
    assert pins.read("pgdata", directory=pinned) == Pin(IDENTITY, work.luks_uuid)


def test_a_full_root_disk_is_told_and_the_next_step_not_taken(
    machine: Machine, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(volume: str, pin: Pin) -> None:
        raise OSError(28, "No space left on device", "/var/lib/volward/pins")

    monkeypatch.setattr(pins, "write", full)
    with pytest.raises(NoSpaceError, match="pgdata: do pin stopped"):
        apply(step(Step.PIN), work)
    assert machine.audited[-1] == ("pin", "failed", "VW0206")


def test_a_read_only_file_system(machine: Machine, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(volume: str, pin: Pin) -> None:
        raise OSError(30, "Read-only file system", "/var/lib/volward/pins")

    monkeypatch.setattr(pins, "write", read_only)
    with pytest.raises(OperatingSystemError, match="Read-only") as refused:
        apply(step(Step.PIN), work)
    assert "findmnt" in refused.value.resolution


def test_the_file_is_made_once(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Path, int]] = []
    monkeypatch.setattr(backing_file, "create", lambda path, size: made.append((path, size)))
    spec = replace(FILE_SPEC, device=tmp_path / "a.img")
    with Work.on(spec, NO_FILE, Providers()) as work:
        apply(step(Step.CREATE_FILE), work)
        spec.device.touch()
        apply(step(Step.CREATE_FILE), work)
    assert made == [(spec.device, spec.file_size_bytes)]


def test_a_file_below_a_link_is_the_one_that_was_planned(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "images").symlink_to(tmp_path / "real")
    spec = replace(FILE_SPEC, device=tmp_path / "images/a.img")
    with Work.on(spec, NO_FILE, Providers()) as work:
        size = spec.file_size_bytes or 0
        assert work.identity == Identity(DeviceClass.FILE, size, path=str(tmp_path / "real/a.img"))


def test_a_file_without_a_size_is_impossible(machine: Machine) -> None:
    with Work.on(replace(FILE_SPEC, file_size_bytes=None), NO_FILE, Providers()) as work, pytest.raises(AssertionError):
        apply(step(Step.CREATE_FILE), work)


def test_a_scratch_device_is_claimed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(marker, "write", lambda node, *, uuid, volume: written.append((uuid, volume)))
    with Work.on(SCRATCH, BLANK, Providers()) as work:
        apply(step(Step.CLAIM_SCRATCH), work)
        assert written == [(work.luks_uuid, "pgdata")]
        machine.probe = EXT4
        with pytest.raises(NotBlankError):
            apply(step(Step.CLAIM_SCRATCH), work)
    assert len(written) == 1
