"""Restoring and repairing a real LUKS2 header on a plain file; the proof by the data is left to tests/host."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.builders import OTHER_IDENTITY, OTHER_UUID
from tests.unit.header_backup.host import BackupHost, needs_cryptsetup, volume

from volward import journal, lock, pins
from volward.errors import (
    BusyError,
    DamagedHeaderError,
    DeviceBusyError,
    ForeignHeaderError,
    HeaderBackupError,
    IdentityError,
    KeyExistsError,
    KeyRejectedError,
    MappingError,
    NoHeaderBackupError,
    NoOpenerError,
    ProviderUnavailableError,
    UnfinishedOperationError,
    VerificationError,
    VolwardError,
)
from volward.header_backup import files, recipients, sealing
from volward.header_backup.facts import Kind
from volward.header_backup.scratch import Scratch
from volward.host import cryptsetup, header_area, superblock
from volward.keys import recovery_pair
from volward.keys.providers import Providers
from volward.model import (
    BlankProbe,
    CopyState,
    Finding,
    Mapping,
    MappingState,
    Observation,
    Pin,
    Presence,
    ProviderKind,
)
from volward.observe import observe
from volward.operations import header_repair, header_target
from volward.operations.header_repair import repair
from volward.operations.header_restore import Restored, restore
from volward.operations.header_target import look
from volward.operations.header_verify import verify

pytestmark = needs_cryptsetup
__all__ = ["volume"]
CREDENTIAL = ProviderKind.CREDENTIAL
DOWN = ProviderUnavailableError("Vault is sealed.", resolution="Unseal it.")


@pytest.fixture(autouse=True)
def _readable_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Scratch, "file_system", lambda *arguments: ("ext4", "uuid-of-the-data"))
    yield


def area(volume: BackupHost) -> bytes:
    return header_area.read(volume.node, 1024 * 1024 + 32768)


def restored(volume: BackupHost, name: str | None = None, *, ask_recovery: bool = False) -> Restored:
    return restore(look(volume.spec, name), ask_recovery=ask_recovery, deadline_seconds=1)


def kept(volume: BackupHost) -> tuple[Path, bytes]:
    (one,) = (one for one in files.of(volume.spec.header_backups, "pgdata") if one.path.suffix == ".kept")
    sealed = sealing.read(one.path)
    return one.path, recipients.unsealed(sealed, volume.spec, Providers(), None, deadline_seconds=1)[0]


def test_both_copies_gone(volume: BackupHost) -> None:
    whole = area(volume)
    path = volume.backup().path
    volume.wreck()
    wrecked = area(volume)

    wanted = look(volume.spec, None)
    assert wanted.backup == path and not wanted.is_open
    done = restore(wanted, ask_recovery=False, deadline_seconds=1)

    assert area(volume) == whole
    assert (done.opened_by, done.keyslot) == ("credential:volward.pgdata.header.v1", 0)
    assert kept(volume) == (volume.spec.header_backups / done.kept, wrecked)
    (record,) = journal.every()
    assert record.outcome == "done" and record.steps_done == ("keep", "write", "check")
    assert volume.audited[-2:] == [("header-restore", "intent", ""), ("header-restore", "done", "")]


def test_what_is_kept_of_a_whole_header_opens_as_a_backup_does(volume: BackupHost) -> None:
    volume.backup()
    volume.enrol(volume.store(CREDENTIAL), 1)
    restored(volume)
    assert len(volume.header.keyslots) == 1
    path, content = kept(volume)
    facts = sealing.read_facts(path)
    assert facts.kind is Kind.KEPT and [slot.number for slot in facts.keyslots] == [0, 1]
    assert verify(volume.spec, path, ask_recovery=False, deadline_seconds=1).keyslot in (0, 1)
    with volume.node.open("r+b") as file:
        file.write(content)
    assert len(volume.header.keyslots) == 2


def test_by_the_recovery_key_alone(volume: BackupHost) -> None:
    volume.enrol_recovery().wipe()
    whole = area(volume)
    path = volume.backup().path
    volume.wreck()
    volume.store(CREDENTIAL).error = DOWN
    with pytest.raises(NoOpenerError, match="Vault is sealed"):
        restored(volume)
    assert journal.every() == ()
    store = volume.store(ProviderKind.RECOVERY)
    store.keys[store.first_ref("pgdata")] = next(iter(store.keys.values()))

    assert verify(volume.spec, path, ask_recovery=True, deadline_seconds=1).keyslot == 1
    done = restored(volume, ask_recovery=True)

    assert area(volume) == whole
    assert (done.opened_by, done.keyslot) == ("recovery:pgdata.recovery.v1", 1)
    (stored,) = (one for one in files.of(volume.spec.header_backups, "pgdata") if one.path.suffix == ".kept")
    assert stored.facts is not None and [one.ref.provider for one in stored.facts.recipients] == ["recovery"]


@pytest.mark.parametrize("moved", [True, False])
def test_whoever_opened_the_backup_gets_what_is_kept(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    """Reinstalled, moved in Vault, or with the policy to read alone: no new key is needed to keep what is there."""
    whole = area(volume)
    volume.backup()
    volume.wreck()
    wrecked = area(volume)
    if moved:
        volume.move_store(monkeypatch)
    else:
        volume.refuse_to_create(monkeypatch)
    restored(volume)
    assert area(volume) == whole
    assert kept(volume)[1] == wrecked


def test_a_provider_that_the_configuration_does_not_list_any_more(volume: BackupHost) -> None:
    volume.backup()
    volume.wreck()
    volume.spec = replace(volume.spec, providers=(ProviderKind.PROMPT,))
    typed = volume.store(ProviderKind.PROMPT)
    store = volume.store(CREDENTIAL)
    typed.keys[typed.first_ref("pgdata")] = store.keys[store.first_ref("pgdata")]
    restored(volume)
    assert [one.ref.provider for one in sealing.read_facts(kept(volume)[0]).recipients] == [CREDENTIAL]


def test_a_repair_keeps_what_is_there_for_whoever_opens_the_backups(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume.backup()
    volume.wreck(primary=False)
    before = area(volume)
    volume.move_store(monkeypatch)
    assert repair(volume.spec, deadline_seconds=1) is not None
    assert kept(volume)[1] == before


def test_a_recipient_that_nothing_can_be_sealed_to_stops_no_restore(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume.enrol_recovery().wipe()
    whole = area(volume)
    volume.backup()
    volume.wreck()
    monkeypatch.setattr(recovery_pair, "is_complete", lambda details: False)
    restored(volume)
    assert area(volume) == whole
    assert [one.ref.provider for one in sealing.read_facts(kept(volume)[0]).recipients] == [CREDENTIAL]


def test_a_recovery_key_that_opens_the_file_and_no_keyslot(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    volume.enrol_recovery().wipe()
    path = volume.backup().path
    store = volume.store(ProviderKind.RECOVERY)
    store.keys[store.first_ref("pgdata")] = next(iter(store.keys.values()))
    monkeypatch.setattr(Scratch, "opens", lambda *arguments: False)
    with pytest.raises(KeyRejectedError, match="recovery key opens none"):
        verify(volume.spec, path, ask_recovery=True, deadline_seconds=1)
    with pytest.raises(KeyRejectedError, match=r"volward\.pgdata\.v1 opens none"):
        verify(volume.spec, path, ask_recovery=False, deadline_seconds=1)


def test_the_header_for_stock_cryptsetup(volume: BackupHost, tmp_path: Path) -> None:
    whole = area(volume)
    path, output = volume.backup().path, tmp_path / "header"
    verify(volume.spec, path, ask_recovery=False, deadline_seconds=1, output=output)
    assert output.read_bytes() == whole and output.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyExistsError):
        verify(volume.spec, path, ask_recovery=False, deadline_seconds=1, output=output)
    volume.wreck()
    cryptsetup.restore_header(volume.node, output)
    assert area(volume) == whole


def test_a_copy_from_elsewhere(volume: BackupHost, tmp_path: Path) -> None:
    path = volume.backup().path
    elsewhere = path.rename(tmp_path / "usb-stick")
    volume.wreck()
    with pytest.raises(NoHeaderBackupError, match="--from FILE"):
        look(volume.spec, None)
    restored(volume, str(elsewhere))
    assert not volume.header.damaged


def test_the_header_of_other_data_is_refused(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    volume.backup()
    volume.wreck()
    before = area(volume)
    monkeypatch.setattr(Scratch, "file_system", lambda *arguments: ("", ""))
    with pytest.raises(HeaderBackupError, match="nothing that volward knows") as raised:
        restored(volume)
    assert "the start of the data may be overwritten as well" in raised.value.resolution
    for words in ("volward header verify pgdata", "--output", "luksHeaderRestore", "fsck.ext4 -b"):
        assert words in raised.value.resolution
    assert area(volume) == before and journal.every() == ()
    assert volume.audited[-1] == ("header-restore", "failed", "VW0507")


# --- refusals --------------------------------------------------------------------------------------------


def refused(volume: BackupHost, error: type[VolwardError], words: str) -> None:
    before = area(volume)
    with pytest.raises(error, match=words):
        restored(volume)
    assert area(volume) == before
    assert "kept" not in volume.files()


def test_another_device(volume: BackupHost) -> None:
    volume.backup()
    volume.wreck()
    pin = pins.read("pgdata")
    assert pin is not None
    pins.write("pgdata", Pin(replace(pin.identity, size_bytes=1), pin.luks_uuid))
    refused(volume, IdentityError, "size_bytes: pinned 1")
    pins.remove("pgdata")
    restored(volume)


def test_another_device_than_the_backups_when_nothing_is_pinned(volume: BackupHost) -> None:
    volume.backup()
    volume.wreck()
    pins.remove("pgdata")
    with volume.node.open("r+b") as file:
        file.truncate(9 * 1024 * 1024)
    refused(volume, IdentityError, "size_bytes")


def test_a_volume_that_was_formatted_anew(volume: BackupHost) -> None:
    volume.backup()
    pin = pins.read("pgdata")
    assert pin is not None
    pins.write("pgdata", Pin(pin.identity, OTHER_UUID))
    refused(volume, HeaderBackupError, "formatted anew")


def test_another_volumes_backup(volume: BackupHost) -> None:
    path = volume.backup().path
    other = replace(volume.spec, name="other")
    with pytest.raises(HeaderBackupError, match="of pgdata, not of other"):
        look(other, str(path))


def looks_like(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    def seen(spec: object, **options: object) -> Observation:
        found = observe(spec, **options)  # type: ignore[arg-type]
        device = changes.get("device")
        wanted = {k: v for k, v in changes.items() if k not in ("device", "header")}
        if isinstance(device, dict) and found.device:
            wanted["device"] = replace(found.device, **device)
        own = changes.get("header")
        if isinstance(own, dict) and found.header:
            wanted["header"] = replace(found.header, **own)
        return replace(found, **wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(header_target, "observe", seen)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"device": {"mounted_at": (Path("/mnt"),)}}, DeviceBusyError, "mounted at /mnt"),
        ({"device": {"holders": ("dm-7",)}}, DeviceBusyError, "dm-7"),
        ({"device": {"swap": True}}, DeviceBusyError, "swap"),
        ({"device": {"read_only": True}}, DeviceBusyError, "read-only"),
        ({"header": {"uuid": OTHER_UUID}}, ForeignHeaderError, OTHER_UUID),
        ({"header": {"requirements": ("online-reencrypt-v2",)}}, DamagedHeaderError, "re-encryption"),
        ({"mapping": Mapping("volward-pgdata", MappingState.SUSPENDED)}, MappingError, "suspended"),
        ({"mapping": Mapping("volward-pgdata", MappingState.ZOMBIE)}, MappingError, "zombie"),
    ],
)
def test_what_is_not_safe(
    volume: BackupHost,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    error: type[VolwardError],
    words: str,
) -> None:
    volume.backup()
    looks_like(monkeypatch, **changes)
    refused(volume, error, words)


OPEN = Mapping("volward-pgdata", MappingState.ACTIVE, Path("/dev/dm-0"), "253:0")


@pytest.mark.parametrize("holder", ["dm-0", "volward-pgdata (dm-0)"])
def test_an_open_volume_of_the_same_data(volume: BackupHost, monkeypatch: pytest.MonkeyPatch, holder: str) -> None:
    volume.backup()
    volume.wreck()
    looks_like(monkeypatch, mapping=OPEN, device={"holders": ("loop0", holder)})
    monkeypatch.setattr(superblock, "read", lambda node: ("ext4", "uuid-of-the-data"))
    assert look(volume.spec, None).is_open
    restored(volume)
    assert not volume.header.damaged


def test_an_open_volume_of_other_data(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    volume.backup()
    volume.wreck()
    looks_like(monkeypatch, mapping=OPEN, device={"holders": ("dm-0",)})
    monkeypatch.setattr(superblock, "read", lambda node: ("ext4", "another"))
    refused(volume, HeaderBackupError, "not pgdata's ext4")


def test_the_header_of_another_file_system_is_no_case_for_fsck(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume.backup()
    volume.wreck()
    monkeypatch.setattr(Scratch, "file_system", lambda *arguments: ("xfs", "another"))
    with pytest.raises(HeaderBackupError, match="they are xfs") as raised:
        restored(volume)
    assert "another backup" in raised.value.resolution and "fsck" not in raised.value.resolution


def test_what_is_there_is_told(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    volume.backup()
    assert "both copies are whole" in look(volume.spec, None).present
    volume.wreck(secondary=False)
    assert "not whole" in look(volume.spec, None).present
    volume.wreck()
    assert "data at byte 0" in look(volume.spec, None).present
    probe = BlankProbe(Presence.PRESENT, (Finding("ext4 file system", 1080),))
    looks_like(monkeypatch, probe=probe)
    assert "ext4 file system at byte 1080" in look(volume.spec, None).present


def test_what_changed_since_it_was_confirmed(volume: BackupHost) -> None:
    volume.backup()
    wanted = look(volume.spec, None)
    other = replace(wanted, device=replace(wanted.device, identity=OTHER_IDENTITY))
    with pytest.raises(IdentityError, match="what was confirmed"):
        restore(other, ask_recovery=False, deadline_seconds=1)


def test_a_link_that_changes_at_the_last_moment(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    volume.backup()
    wanted = look(volume.spec, None)
    other = replace(wanted.device, identity=OTHER_IDENTITY)
    before = area(volume)
    monkeypatch.setattr("volward.operations.header_write.block", SimpleNamespace(of_volume=lambda spec: other))
    with pytest.raises(IdentityError, match="a moment ago"):
        restore(wanted, ask_recovery=False, deadline_seconds=1)
    assert area(volume) == before


def test_not_while_another_volward_works_on_it(volume: BackupHost) -> None:
    volume.backup()
    wanted = look(volume.spec, None)
    with lock.held("pgdata"), pytest.raises(BusyError):
        restore(wanted, ask_recovery=False, deadline_seconds=1)


# --- cut and resumed -------------------------------------------------------------------------------------


class PowerCutError(BaseException):
    pass


POINTS = [f"{step} {point}" for step in ("keep", "write", "check") for point in ("begun", "acted", "done")]


@pytest.mark.parametrize("point", POINTS)
def test_cut_at_every_step_and_resumed(volume: BackupHost, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    whole = area(volume)
    path = volume.backup().path
    volume.wreck()
    wrecked = area(volume)
    step, when = point.split()
    with monkeypatch.context() as patch:
        _cut(patch, step, when)
        with pytest.raises(PowerCutError):
            restored(volume)
    (record,) = journal.unfinished("pgdata")
    if step == "write" and when == "begun":  # torn: the first half only
        with volume.node.open("r+b") as file:
            file.write(whole[:20000])
    with pytest.raises(UnfinishedOperationError, match="another backup"):
        other = path.with_name("other")
        other.write_bytes(path.read_bytes())
        look(volume.spec, str(other))

    wanted = look(volume.spec, str(path))
    assert wanted.record is not None and wanted.record.operation == record.operation
    restore(wanted, ask_recovery=False, deadline_seconds=1)

    assert area(volume) == whole
    assert journal.unfinished() == ()
    contents = [
        recipients.unsealed(sealing.read(one.path), volume.spec, Providers(), None, deadline_seconds=1)[0]
        for one in files.of(volume.spec.header_backups, "pgdata")
        if one.path.suffix == ".kept"
    ]
    assert contents and set(contents) == {wrecked}, "what was there before is kept, whenever the power went"


def _cut(patch: pytest.MonkeyPatch, step: str, when: str) -> None:
    begin, end = journal.Operation.begin_step, journal.Operation.end_step

    def begun(self: journal.Operation, name: str) -> None:
        begin(self, name)
        if (name, when) == (step, "begun"):
            raise PowerCutError

    def ended(self: journal.Operation, name: str) -> None:
        if (name, when) == (step, "acted"):
            raise PowerCutError
        end(self, name)
        if (name, when) == (step, "done"):
            raise PowerCutError

    patch.setattr(journal.Operation, "begin_step", begun)
    patch.setattr(journal.Operation, "end_step", ended)


def test_a_cut_restore_is_of_the_device_that_was_confirmed(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    volume.backup()
    pins.remove("pgdata")
    with monkeypatch.context() as patch:
        _cut(patch, "write", "begun")
        with pytest.raises(PowerCutError):
            restored(volume)
    facts = dict(journal.unfinished("pgdata")[0].facts)
    facts["identity"] = {**facts["identity"], "size_bytes": 1}  # type: ignore[dict-item]
    journal.resume(journal.unfinished("pgdata")[0]).end("aborted")
    journal.begin(journal.HEADER_RESTORE, "pgdata", facts)
    with pytest.raises(IdentityError, match="was confirmed for"):
        look(volume.spec, None)


def cut(volume: BackupHost, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    with monkeypatch.context() as patch:
        _cut(patch, *point.split())
        with pytest.raises(PowerCutError):
            restored(volume)


@pytest.mark.parametrize(
    ("point", "confirmed"),
    [("keep begun", False), ("keep done", False), ("write begun", True), ("write done", True), ("check begun", True)],
)
def test_a_confirmation_holds_once_writing_began(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch, point: str, confirmed: bool
) -> None:
    volume.backup()
    volume.wreck()
    cut(volume, monkeypatch, point)
    assert look(volume.spec, None).is_confirmed is confirmed


@pytest.mark.parametrize("copies", [1, 2])
def test_a_header_that_was_mended_since_is_kept_and_asked_for_again(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    """Cut, repaired with stock tools, used for weeks: the journal's backup is an old header then."""
    whole = area(volume)
    volume.backup()
    volume.wreck()
    cut(volume, monkeypatch, "write begun")
    with volume.node.open("r+b") as file:
        file.write(whole)
    volume.enrol(volume.store(CREDENTIAL), 1)
    if copies == 1:
        volume.wreck(secondary=False)
    newer = area(volume)
    wanted = look(volume.spec, None)
    assert not wanted.is_confirmed

    done = restore(wanted, ask_recovery=False, deadline_seconds=1)

    sealed = sealing.read(volume.spec.header_backups / done.kept)
    assert recipients.unsealed(sealed, volume.spec, Providers(), None, deadline_seconds=1)[0] == newer
    assert area(volume) == whole and journal.unfinished() == ()


def test_a_backup_that_was_made_since_shows_that_the_header_was_whole(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = area(volume)
    volume.backup()
    volume.wreck()
    cut(volume, monkeypatch, "write begun")
    with volume.node.open("r+b") as file:
        file.write(whole)
    volume.enrol(volume.store(CREDENTIAL), 1)
    monkeypatch.setattr(time, "time", lambda: 1000.0)  # a clock that was set back
    volume.backup()
    volume.wreck()
    assert not look(volume.spec, None).is_confirmed


def test_a_device_that_was_mended_between_looking_and_writing(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = area(volume)
    volume.backup()
    volume.wreck()
    cut(volume, monkeypatch, "write begun")
    wanted = look(volume.spec, None)
    with volume.node.open("r+b") as file:
        file.write(whole)
    volume.enrol(volume.store(CREDENTIAL), 1)
    with pytest.raises(IdentityError, match="what was confirmed"):
        restore(wanted, ask_recovery=False, deadline_seconds=1)


def test_a_cut_restore_is_of_the_header_that_was_confirmed(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    path = volume.backup().path
    cut(volume, monkeypatch, "write begun")
    volume.enrol(volume.store(CREDENTIAL), 1)
    path.write_bytes(volume.backup().path.read_bytes())
    with pytest.raises(HeaderBackupError, match="was confirmed for"):
        look(volume.spec, None)


@pytest.mark.parametrize("wrong", ["write", "whole", "key"])
def test_a_disk_that_does_not_keep_what_is_written(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    volume.backup()
    volume.wreck()
    read = header_area.read
    seen = []

    def failing(node: Path, length: int) -> bytes:
        content = read(node, length)
        if node == volume.node:
            seen.append(node)
        at = {"write": 2, "whole": 3}.get(wrong, 0)  # the first is what is kept
        return b"x" if node == volume.node and len(seen) == at else content

    monkeypatch.setattr(header_area, "read", failing)
    test_key = cryptsetup.test_key

    def no_key(node: Path, *arguments: object, **more: object) -> bool:
        return not (wrong == "key" and node == volume.node) and test_key(node, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(cryptsetup, "test_key", no_key)
    with pytest.raises(VerificationError, match="dmesg"):
        restored(volume)
    assert len(journal.unfinished("pgdata")) == 1
    monkeypatch.undo()


# --- repair ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["primary", "secondary"])
def test_one_copy_is_mended_from_the_other(volume: BackupHost, which: str) -> None:
    volume.enrol_recovery().wipe()
    volume.wreck(**{"primary" if which == "secondary" else "secondary": False})
    before = area(volume)
    assert volume.header.damaged

    done = repair(volume.spec, deadline_seconds=1)

    assert done is not None and which in done.mended and done.remarks == ()
    assert (volume.header.primary, volume.header.secondary) == (CopyState.VALID, CopyState.VALID)
    assert len(volume.header.keyslots) == 2
    assert kept(volume)[1] == before
    assert "header" in volume.files(), "and the mended one is backed up"
    assert journal.unfinished() == ()


def test_nothing_to_repair(volume: BackupHost) -> None:
    before = area(volume)
    assert repair(volume.spec, deadline_seconds=1) is None
    assert area(volume) == before and journal.every() == ()


def test_both_copies_gone_is_no_case_for_repair(volume: BackupHost) -> None:
    volume.wreck()
    with pytest.raises(DamagedHeaderError, match="header restore pgdata"):
        repair(volume.spec, deadline_seconds=1)


def test_what_cannot_be_kept_is_not_repaired(volume: BackupHost) -> None:
    volume.wreck(primary=False)
    before = area(volume)
    volume.store(CREDENTIAL).error = DOWN
    with pytest.raises(ProviderUnavailableError):
        repair(volume.spec, deadline_seconds=1)
    assert area(volume) == before
    assert volume.audited[-1] == ("header-repair", "failed", "VW0401")


def test_a_repair_that_mends_nothing(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    volume.wreck(primary=False)
    monkeypatch.setattr(cryptsetup, "repair", lambda node: None)
    with pytest.raises(VerificationError, match="not whole after the repair"):
        repair(volume.spec, deadline_seconds=1)


@pytest.mark.parametrize("point", ["keep begun", "keep done", "write acted", "check acted"])
def test_a_repair_that_was_cut(volume: BackupHost, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    volume.wreck(primary=False)
    before = area(volume)
    with monkeypatch.context() as patch:
        _cut(patch, *point.split())
        with pytest.raises(PowerCutError):
            repair(volume.spec, deadline_seconds=1)
    assert repair(volume.spec, deadline_seconds=1) is not None
    assert not volume.header.damaged and journal.unfinished() == ()
    first = min((one for one in volume.spec.header_backups.iterdir() if one.suffix == ".kept"), key=lambda p: p.name)
    sealed = sealing.read(first)
    assert recipients.unsealed(sealed, volume.spec, Providers(), None, deadline_seconds=1)[0] == before
    assert header_repair.WRITE in journal.every()[0].steps_done


def test_a_repair_that_goes_on_later_keeps_what_is_there_then(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = area(volume)
    volume.wreck(primary=False)
    with monkeypatch.context() as patch:
        _cut(patch, "keep", "done")
        with pytest.raises(PowerCutError):
            repair(volume.spec, deadline_seconds=1)
    with volume.node.open("r+b") as file:
        file.write(whole)
    volume.enrol(volume.store(CREDENTIAL), 1)
    volume.wreck(primary=False)
    newer = area(volume)
    done = repair(volume.spec, deadline_seconds=1)
    assert done is not None and done.kept
    sealed = sealing.read(volume.spec.header_backups / done.kept)
    assert recipients.unsealed(sealed, volume.spec, Providers(), None, deadline_seconds=1)[0] == newer
