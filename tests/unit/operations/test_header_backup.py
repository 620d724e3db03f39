"""Header backups of a real LUKS2 header: made, proven, expired; what cannot be proven does not exist."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import OTHER_UUID
from tests.unit.header_backup.host import BackupHost, needs_cryptsetup, volume

from volward import lock, pins
from volward.errors import (
    BusyError,
    DamagedHeaderError,
    ForeignHeaderError,
    HeaderBackupError,
    KeyDeniedError,
    KeyRejectedError,
    NoHeaderBackupError,
    NoOpenerError,
    NoTerminalError,
    NotProvisionedError,
    ProviderUnavailableError,
    VerificationError,
)
from volward.header_backup import files, recipients, scratch, sealing
from volward.header_backup.facts import Facts, Kind, Recipient, mark_of
from volward.host import cryptsetup, header_area
from volward.keys import header_token
from volward.keys.providers import Providers
from volward.keys.source import KeyRef
from volward.model import Pin, ProviderKind, StoreKind
from volward.operations import header_backup, header_backup_expiry
from volward.secret import SecretBytes

pytestmark = needs_cryptsetup
__all__ = ["volume"]
CREDENTIAL = ProviderKind.CREDENTIAL
DOWN = ProviderUnavailableError("Vault is sealed.", resolution="Unseal it.")


def opened(volume: BackupHost, path: Path, typed: SecretBytes | None = None) -> bytes:
    return recipients.unsealed(sealing.read(path), volume.spec, Providers(), typed, deadline_seconds=1)[0]


def test_a_backup_is_the_header_area_and_opens_by_the_store(volume: BackupHost) -> None:
    before = volume.node.read_bytes()
    made = volume.backup()
    assert not made.existed
    assert volume.node.read_bytes() == before
    assert opened(volume, made.path) == before[: made.facts.area_bytes]
    assert made.facts.is_of(volume.header)
    assert made.facts.keyslots[0].key == "volward.pgdata" and made.facts.keyslots[0].fingerprint
    assert [str(one.ref) for one in made.facts.recipients] == ["credential:volward.pgdata.header.v1"]
    assert volume.audited == [("header-backup", "done", "")]
    assert any("No recovery key opens" in remark for remark in made.remarks)
    assert list(Path(volume.spec.device.parent / "scratch").iterdir()) == []


def test_no_secret_is_in_the_prologue(volume: BackupHost) -> None:
    with volume.enrol_recovery() as typed:
        head = volume.backup().path.read_bytes()[:20000]
        for key in (*volume.store(CREDENTIAL).keys.values(), bytes(typed.view())):
            assert key not in head and key.hex().encode() not in head


def test_a_header_that_did_not_change_keeps_its_backup(volume: BackupHost) -> None:
    first = volume.backup()
    again = volume.backup()
    assert again.existed and again.path == first.path
    assert volume.audited == [("header-backup", "done", "")]
    volume.enrol(volume.store(CREDENTIAL), 1)
    assert not volume.backup().existed
    assert volume.files() == ["header", "header"]


def test_a_backup_that_has_rotted_is_no_reason_not_to_make_another(volume: BackupHost) -> None:
    path = volume.backup().path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert volume.backup().path != path


def test_the_recovery_key_opens_it_when_nobody_else_answers(volume: BackupHost) -> None:
    with volume.enrol_recovery() as typed:
        made = volume.backup()
        assert made.remarks == ()
        volume.store(CREDENTIAL).error = DOWN
        assert opened(volume, made.path, typed) == header_area.read(volume.node, made.facts.area_bytes)
        with pytest.raises(NoOpenerError, match=r"Vault is sealed"):
            opened(volume, made.path)
    with SecretBytes(b"00000-00000") as wrong, pytest.raises(NoOpenerError, match=r"pgdata\.recovery"):
        opened(volume, made.path, wrong)


def test_a_backup_without_a_recovery_key_is_not_opened_by_one(volume: BackupHost) -> None:
    with SecretBytes(b"x") as typed, pytest.raises(NoOpenerError, match="no recovery key"):
        opened(volume, volume.backup().path, typed)


def test_a_new_recovery_key_takes_a_new_backup(volume: BackupHost) -> None:
    volume.backup()
    volume.enrol_recovery(pair=False).wipe()
    without = volume.backup()
    assert not without.existed and any("No recovery key opens" in remark for remark in without.remarks)


def test_one_store_that_does_not_answer_is_left_out_and_said(volume: BackupHost) -> None:
    volume.spec = replace(volume.spec, providers=(ProviderKind.PROMPT, CREDENTIAL, ProviderKind.RECOVERY))
    other = volume.store(ProviderKind.RECOVERY)
    other.interactive, other.error = False, DOWN
    made = volume.backup()
    assert [one.ref.provider for one in made.facts.recipients] == [CREDENTIAL]
    assert any("Vault is sealed" in remark for remark in made.remarks)


def test_a_timer_asks_nobody_and_makes_what_it_can(volume: BackupHost) -> None:
    """A volume whose keys are typed: with a recovery key to seal to, it has a backup that only its sealing proves."""
    with volume.enrol_recovery():
        volume.spec = replace(volume.spec, providers=(ProviderKind.PROMPT,))
        person = volume.store(ProviderKind.PROMPT)
        person.interactive, person.error = True, NoTerminalError("Nobody is there.", resolution="Come.")
        with pytest.raises(KeyRejectedError, match="Nobody is there"):
            volume.backup()
        made = volume.backup(ask=False)
        assert [one.is_recovery for one in made.facts.recipients] == [True]
        assert any("No key was at hand" in remark for remark in made.remarks)
        assert volume.backup(ask=False).existed


def test_a_timer_has_nothing_to_do_where_every_key_is_typed(volume: BackupHost) -> None:
    volume.spec = replace(volume.spec, providers=(ProviderKind.PROMPT,))
    volume.store(ProviderKind.PROMPT).interactive = True
    assert header_backup.backup(volume.spec, deadline_seconds=1, ask=False) is None
    assert (volume.files(), volume.audited) == ([], [])
    volume.wreck()
    with pytest.raises(DamagedHeaderError):
        header_backup.backup(volume.spec, deadline_seconds=1, ask=False)


def test_nobody_to_seal_it_for(volume: BackupHost) -> None:
    volume.store(CREDENTIAL).error = DOWN
    with pytest.raises(ProviderUnavailableError, match="Nobody could open"):
        volume.backup()
    assert volume.files() == []
    assert volume.audited == [("header-backup", "failed", "VW0401")]


def test_a_key_that_does_not_open_it_is_no_proof(volume: BackupHost) -> None:
    store = volume.store(CREDENTIAL)
    store.keys[store.first_ref("pgdata")] = bytes(64)
    with pytest.raises(KeyRejectedError, match="could not be proven"):
        volume.backup()
    assert volume.files() == []


def test_a_header_that_lost_its_tokens_is_proven_by_what_the_store_has(volume: BackupHost) -> None:
    cryptsetup.remove_token(volume.node, 0)
    made = volume.backup()
    assert made.facts.keyslots[0].provider == ""
    assert not any("No key was at hand" in remark for remark in made.remarks)
    store = volume.store(CREDENTIAL)
    del store.keys[store.first_ref("pgdata")]
    with pytest.raises(KeyRejectedError, match="no provider has a key"):
        volume.backup()


def test_a_store_that_cannot_list_its_keys(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = volume.store(CREDENTIAL).refs

    def down(name: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        if name == "pgdata":
            raise DOWN
        return refs(name, deadline_seconds=deadline_seconds)

    monkeypatch.setattr(volume.store(CREDENTIAL), "refs", down)
    assert not volume.backup().existed


def test_the_key_for_backups_is_read_where_it_is_and_made_only_where_it_is_not(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that may read alone, or was installed anew, makes no key and needs none made."""
    first = volume.backup()
    volume.refuse_to_create(monkeypatch)
    cryptsetup.import_token(volume.node, '{"type": "other", "keyslots": []}', number=None)
    second = volume.backup()
    assert not second.existed
    assert [one.ref for one in second.facts.recipients] == [one.ref for one in first.facts.recipients]


def test_an_unlocking_key_that_cannot_be_read_is_no_proof(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    store = volume.store(CREDENTIAL)
    read = store.read

    def denied(ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        if not ref.name.endswith(".header"):
            raise KeyDeniedError("403.", resolution="Ask.")
        return read(ref, deadline_seconds=deadline_seconds)

    monkeypatch.setattr(store, "read", denied)
    with pytest.raises(KeyRejectedError, match="403"):
        volume.backup()


def test_keys_in_hand_prove_it_without_asking_the_store_again(volume: BackupHost) -> None:
    store = volume.store(CREDENTIAL)
    key = store.keys[store.first_ref("pgdata")]
    store.keys[store.first_ref("pgdata")] = bytes(64)
    with SecretBytes(key) as held, SecretBytes(b"no") as wrong:
        said = header_backup.after_change(volume.spec, Providers(), deadline_seconds=1, held=[wrong, held])
    assert said == ()
    assert volume.files() == ["header"]


def test_a_recovery_key_of_an_older_volward_opens_no_backup_and_that_is_said(volume: BackupHost) -> None:
    assert header_backup.after_change(volume.spec, Providers(), deadline_seconds=1) == ()
    volume.enrol_recovery(pair=False).wipe()
    (said,) = header_backup.after_change(volume.spec, Providers(), deadline_seconds=1)
    assert "volward recovery enrol pgdata" in said


@pytest.mark.parametrize("public", ["AAAA", "A" * 43 + "="])
def test_a_pair_that_nothing_can_be_sealed_to_is_left_out_and_said(volume: BackupHost, public: str) -> None:
    volume.enrol_recovery(2).wipe()
    volume.enrol_recovery(1, public=public).wipe()
    made = volume.backup()
    assert [one.ref.provider for one in made.facts.recipients] == [CREDENTIAL, ProviderKind.RECOVERY]
    (said,) = made.remarks
    assert "keyslot 1" in said and "volward recovery enrol pgdata" in said
    assert volume.backup().existed


def test_a_file_whose_recovery_recipient_has_no_pair(volume: BackupHost) -> None:
    volume.enrol_recovery().wipe()
    facts = volume.backup().facts
    bare = Recipient(KeyRef(ProviderKind.RECOVERY, "pgdata.recovery", 1), "x")
    _put(volume, replace(facts, recipients=(bare,), created_at=facts.created_at + 60))
    assert volume.backup().existed


def test_the_clock_was_set_back(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    first = volume.backup().facts
    volume.enrol(volume.store(CREDENTIAL), 1)
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    second = volume.backup()
    assert second.facts.created_at == first.created_at + 1
    assert files.of(volume.spec.header_backups, "pgdata")[0].path == second.path


def test_a_volume_of_passphrases_alone(volume: BackupHost) -> None:
    """The recovery key is its one recipient; a held key proves it, or nobody does and that is said."""
    volume.enrol_recovery().wipe()
    volume.spec = replace(volume.spec, providers=(ProviderKind.PROMPT,))
    said = header_backup.after_change(volume.spec, Providers(), deadline_seconds=1)
    assert len(said) == 1 and "No key was at hand" in said[0]
    assert volume.files() == ["header"]


def test_a_failure_after_a_change_is_a_warning(volume: BackupHost) -> None:
    volume.store(CREDENTIAL).error = DOWN
    (said,) = header_backup.after_change(volume.spec, Providers(), deadline_seconds=1)
    assert "no backup of its present header" in said and "volward header backup pgdata" in said
    assert volume.audited == [("header-backup", "failed", "VW0401")]


def test_a_full_disk_is_a_warning_too(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **more: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    (said,) = header_backup.after_change(volume.spec, Providers(), deadline_seconds=1)
    assert "No space left" in said


def test_scratch_has_no_header(volume: BackupHost) -> None:
    volume.spec = replace(volume.spec, store=StoreKind.SCRATCH)
    assert header_backup.after_change(volume.spec, Providers(), deadline_seconds=1) == ()
    with pytest.raises(NotProvisionedError):
        volume.backup()


def test_half_a_header_is_not_backed_up(volume: BackupHost) -> None:
    volume.wreck(secondary=False)
    before = volume.node.read_bytes()
    with pytest.raises(DamagedHeaderError, match="header repair pgdata"):
        volume.backup()
    volume.wreck()
    with pytest.raises(DamagedHeaderError, match="header restore pgdata"):
        volume.backup()
    assert volume.node.read_bytes()[32768:] == before[32768:]


def test_a_header_that_is_not_the_pinned_one(volume: BackupHost) -> None:
    pin = pins.read("pgdata")
    assert pin is not None
    pins.write("pgdata", Pin(pin.identity, OTHER_UUID))
    with pytest.raises(ForeignHeaderError, match="volward repin pgdata"):
        volume.backup()


def test_not_while_another_volward_works_on_it(volume: BackupHost) -> None:
    with lock.held("pgdata"), pytest.raises(BusyError):
        volume.backup()


def test_what_does_not_come_back_is_not_kept(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "unseal", lambda sealed, key: b"something else")
    with pytest.raises(VerificationError, match="does not give back"):
        volume.backup()
    assert volume.files() == []


def test_what_cryptsetup_restores_otherwise_is_not_kept(volume: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cryptsetup, "restore_header", lambda node, image: None)
    with pytest.raises(HeaderBackupError, match="restores something else"):
        volume.backup()
    assert volume.files() == []


def test_an_area_without_a_header_is_no_scratch(volume: BackupHost) -> None:
    with pytest.raises(HeaderBackupError, match="no LUKS2 header"), scratch.restored("x", bytes(65536)):
        pass


def test_what_a_killed_run_left_in_the_scratch_goes(volume: BackupHost) -> None:
    place = volume.spec.device.parent / "scratch"
    for name in ("999999999.abc", f"{os.getpid()}.abc", "mine"):
        (place / name).mkdir(parents=True)
    volume.backup()
    assert sorted(path.name for path in place.iterdir()) == [f"{os.getpid()}.abc", "mine"]


def test_a_recipient_that_can_yield_no_key(volume: BackupHost) -> None:
    path = volume.backup().path
    sealed = sealing.read(path)
    ref = KeyRef(ProviderKind.TPM2, "x", 1)
    sealed = replace(sealed, facts=replace(sealed.facts, recipients=(Recipient(ref, "x"),)))
    with pytest.raises(NoOpenerError, match="cannot be asked"):
        recipients.unsealed(sealed, volume.spec, Providers(), None, deadline_seconds=1)


# --- expiry ----------------------------------------------------------------------------------------------


def test_backups_with_a_revoked_key_go_once_a_newer_one_is_proven(volume: BackupHost) -> None:
    revoked = volume.enrol(volume.store(CREDENTIAL), 1)
    old = volume.backup().path
    with pytest.raises(NoHeaderBackupError, match="older ones are kept"):
        header_backup_expiry.expire(volume.spec, revoked)
    volume.remove(1)
    with pytest.raises(NoHeaderBackupError):
        header_backup_expiry.expire(volume.spec, revoked)
    assert old.exists()
    new = volume.backup().path

    assert header_backup_expiry.expire(volume.spec, revoked) == (old,)
    assert [path.name for path in volume.spec.header_backups.iterdir()] == [new.name]
    assert volume.audited[-1] == ("header-backup-expire", "done", "")
    assert header_backup_expiry.expire(volume.spec, revoked) == ()


def test_a_kept_area_that_nobody_can_read_goes_with_them(volume: BackupHost) -> None:
    made = volume.backup()
    facts = replace(made.facts, kind=Kind.KEPT, keyslots=(), created_at=made.facts.created_at)
    later = replace(facts, created_at=made.facts.created_at + 60)
    kept = [_put(volume, one) for one in (facts, later)]
    assert header_backup_expiry.expire(volume.spec, "0" * 32) == (kept[0],)


def pair_of(volume: BackupHost) -> str:
    (content,) = header_token.of_provider(volume.header, ProviderKind.RECOVERY)
    return mark_of(content)


def test_backups_that_a_revoked_recovery_key_opens_go_too(volume: BackupHost) -> None:
    """Whoever found the paper opens those files by it, and the header in them."""
    volume.enrol_recovery().wipe()
    mark = pair_of(volume)
    old = volume.backup().path
    kept = _put(volume, replace(sealing.read_facts(old), kind=Kind.KEPT, keyslots=()))
    with pytest.raises(NoHeaderBackupError, match="older ones are kept"):
        header_backup_expiry.expire(volume.spec, mark)
    volume.remove(1)
    volume.enrol_recovery().wipe()
    new = volume.backup().path

    assert set(header_backup_expiry.expire(volume.spec, mark)) == {old, kept}
    assert [path.name for path in volume.spec.header_backups.iterdir()] == [new.name]


def test_backups_expire_with_the_change_once_its_own_is_proven(
    volume: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoked = volume.enrol(volume.store(CREDENTIAL), 1)
    old = volume.backup().path
    volume.remove(1)
    volume.backup()

    volume.store(CREDENTIAL).error = DOWN
    (said,) = header_backup.after_change(volume.spec, Providers(), deadline_seconds=1, revoked=[revoked])
    assert "Those that a revoked key opens stay until then." in said and old.exists(), "it was not proven in this run"

    volume.store(CREDENTIAL).error = None
    said_of_nothing = header_backup.after_change(volume.spec, Providers(), deadline_seconds=1, revoked=[revoked, ""])
    assert not old.exists() and volume.files() == ["header"]
    assert len(said_of_nothing) == 1 and "neither a fingerprint nor a key pair" in said_of_nothing[0]


def test_a_revoked_key_that_the_new_backup_still_has(volume: BackupHost) -> None:
    revoked = volume.enrol(volume.store(CREDENTIAL), 1)
    (said,) = header_backup.after_change(volume.spec, Providers(), deadline_seconds=1, revoked=[revoked])
    assert "older ones are kept" in said


def test_backups_of_a_volume_key_that_is_gone_expire_with_the_change(volume: BackupHost) -> None:
    old = volume.backup().path
    kept = _put(volume, replace(sealing.read_facts(old), kind=Kind.KEPT))
    volume.enrol(volume.store(CREDENTIAL), 1)
    volume.store(CREDENTIAL).error = DOWN
    header_backup.after_change(volume.spec, Providers(), deadline_seconds=1, new_volume_key=True)
    assert old.exists() and kept.exists()
    volume.store(CREDENTIAL).error = None
    assert header_backup.after_change(volume.spec, Providers(), deadline_seconds=1, new_volume_key=True) == ()
    assert volume.files() == ["header"] and not old.exists()


def test_a_key_without_a_fingerprint_cannot_be_told(volume: BackupHost) -> None:
    with pytest.raises(ValueError, match="fingerprint"):
        header_backup_expiry.expire(volume.spec, "")


def _put(volume: BackupHost, facts: Facts) -> Path:
    with SecretBytes.random(32) as data_key:
        area = bytes(facts.area_bytes)
        content = sealing.seal(area, facts, data_key)
    return files.write(volume.spec.header_backups, facts, content, prove=lambda _: None)


def test_the_prologue_is_json_that_a_person_can_read(volume: BackupHost) -> None:
    line = volume.backup().path.read_bytes().split(b"\n")[1]
    assert json.loads(line)["volume"] == "pgdata"
