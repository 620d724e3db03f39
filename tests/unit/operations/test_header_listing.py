"""The list: each file beside the present header, for people and for programs."""

from dataclasses import replace

from tests.unit.header_backup.host import BackupHost, needs_cryptsetup, volume

from volward.model import ProviderKind
from volward.operations.header_listing import listing
from volward.operations.header_repair import repair

pytestmark = needs_cryptsetup
__all__ = ["volume"]


def test_current_old_expired_kept_and_damaged(volume: BackupHost) -> None:
    assert listing(volume.spec) == ()
    volume.enrol(volume.store(ProviderKind.CREDENTIAL), 1)
    first = volume.backup().path
    (row,) = listing(volume.spec)
    assert (row.state, row.expired) == ("current", False)
    volume.remove(1)
    (row,) = listing(volume.spec)
    assert (row.state, row.expired) == ("old", None), "nothing newer is there to say so"
    volume.wreck(secondary=False)
    repair(volume.spec, deadline_seconds=1)
    damaged = first.with_name(f"pgdata.20200101T000000Z.{'0' * 8}.header")
    damaged.write_bytes(b"x")

    rows = {(row.state, row.expired): row for row in listing(volume.spec)}

    assert set(rows) == {("current", False), ("kept", False), ("old", True), ("damaged", None)}
    old = rows["old", True]
    assert old.cells()[2:5] == ("old, expired", "0 credential.v1, 1 credential.v2", "credential")
    assert rows["damaged", None].cells()[5] == damaged.name
    told = old.as_json()
    assert told["file"] == str(first) and told["expired"] is True
    assert told["recipients"] == ["credential:volward.pgdata.header.v1"]
    assert "damaged" in str(rows["damaged", None].as_json()["error"])


def test_what_a_revoked_recovery_key_opens_has_expired(volume: BackupHost) -> None:
    volume.enrol_recovery().wipe()
    old = volume.backup().path
    volume.remove(1)
    new = volume.backup().path
    assert {row.stored.path: row.expired for row in listing(volume.spec)} == {new: False, old: True}


def test_a_device_that_is_away(volume: BackupHost) -> None:
    volume.backup()
    spec = replace(volume.spec, device=volume.spec.device.with_name("gone"))
    (row,) = listing(spec)
    assert (row.state, row.expired) == ("unknown", None)
