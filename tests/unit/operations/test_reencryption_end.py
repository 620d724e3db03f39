"""Ending a re-encryption that cryptsetup is stuck in: a real header on a file; its data are for tests/host."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.unit.builders import UUID
from tests.unit.header_backup.host import BackupHost, needs_cryptsetup, volume
from tests.unit.host import stuck_header

from volward import pins
from volward.errors import (
    DamagedHeaderError,
    IdentityError,
    KeyRejectedError,
    ProviderUnavailableError,
    VerificationError,
)
from volward.header_backup import files, recipients, sealing
from volward.header_backup.scratch import Scratch
from volward.host import block, cryptsetup, header_area
from volward.keys import header_token, recovery
from volward.keys.header_token import HeaderToken
from volward.keys.providers import Providers
from volward.model import Observation, Pin, ProviderKind
from volward.observe import observe
from volward.operations import reencryption_end
from volward.secret import SecretBytes

pytestmark = needs_cryptsetup
__all__ = ["volume"]
CREDENTIAL, RECOVERY = ProviderKind.CREDENTIAL, ProviderKind.RECOVERY
DOWN = ProviderUnavailableError("Vault is sealed.", resolution="Unseal it.")


@pytest.fixture(autouse=True)
def _readable_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Scratch, "file_system", lambda *arguments: ("ext4", "uuid-of-the-data"))
    yield


@pytest.fixture
def stuck(volume: BackupHost) -> BackupHost:
    """The volume with a credential's key and a recovery key, cut when the old keyslots had gone."""
    credential, typed = volume.store(CREDENTIAL), volume.store(RECOVERY)
    first = credential.first_ref("pgdata")
    with recovery.generate() as key, key.view() as view:
        owned = bytes(view)
    typed.keys[typed.first_ref("pgdata")] = owned
    credential.keys[first] = b"k" * 64  # without a newline
    keys = (credential.keys[first], owned)
    stuck_header.make(volume.node, keys, "--uuid", UUID, "--label", "pgdata", "--subsystem", "volward")
    for ref, number in ((first, 0), (typed.first_ref("pgdata"), 1)):
        digest = header_token.fingerprint(SecretBytes(keys[0])) if number == 0 else ""
        text = header_token.build(HeaderToken("pgdata", ref, (number,), digest, number == 1 or None))
        cryptsetup.import_token(volume.node, text, number=None)
    stuck_header.cut(volume.node, keys)
    volume.spec = replace(volume.spec, file_size_bytes=12 * stuck_header.MIB)
    pins.write("pgdata", Pin(block.resolve_file(volume.node).identity, UUID))
    assert volume.header.cut_at_the_end
    return volume


def end(volume: BackupHost, *, typed: bool = False) -> str:
    seen: Observation = observe(volume.spec)
    with Providers() as providers:
        return reencryption_end.end(volume.spec, seen, volume.header, providers, typed=typed, deadline_seconds=1)


def area(volume: BackupHost) -> bytes:
    return header_area.read(volume.node, volume.header.area_bytes)


def test_it_is_whole_and_every_key_opens_it(stuck: BackupHost) -> None:
    before = area(stuck)
    name = end(stuck)
    assert not stuck.header.damaged and not stuck.header.reencrypting
    for kind, keyslot in ((CREDENTIAL, 2), (RECOVERY, 3)):
        (content,) = [one for ref, one in stuck.store(kind).keys.items() if ref.name == "volward.pgdata"]
        with SecretBytes(content) as key:
            assert cryptsetup.test_key(stuck.node, key, keyslot=keyslot)
    (kept,) = files.of(stuck.spec.header_backups, "pgdata")
    assert kept.path.name == name
    with Providers() as providers:
        sealed = sealing.read(kept.path)
        assert recipients.unsealed(sealed, stuck.spec, providers, None, deadline_seconds=1)[0] == before
    with pytest.raises(DamagedHeaderError, match="not at the end of a re-encryption"):
        end(stuck)


def test_what_it_finds_no_file_system_by_is_not_written(stuck: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    before = area(stuck)
    monkeypatch.setattr(Scratch, "file_system", lambda *arguments: ("", ""))
    with pytest.raises(VerificationError, match="nothing that volward knows, not ext4"):
        end(stuck)
    assert area(stuck) == before
    assert stuck.files() == []


def test_nobody_is_there_and_no_provider_answers(stuck: BackupHost) -> None:
    stuck.store(CREDENTIAL).error = DOWN
    with pytest.raises(KeyRejectedError, match="Vault is sealed"):
        end(stuck)
    assert stuck.header.cut_at_the_end


def test_by_the_recovery_key_where_somebody_is_there(stuck: BackupHost) -> None:
    credential, typed = stuck.store(CREDENTIAL), stuck.store(RECOVERY)
    credential.keys[credential.first_ref("pgdata")] = bytes(64)
    with pytest.raises(KeyRejectedError):
        end(stuck)
    end(stuck, typed=True)
    assert not stuck.header.reencrypting
    assert typed.keys


def test_a_cut_while_it_is_written(stuck: BackupHost) -> None:
    """One copy is torn; the other one is still of the state before, or of the one after."""
    stuck.wreck(secondary=False)
    assert stuck.header.damaged and stuck.header.cut_at_the_end
    end(stuck)
    assert not stuck.header.damaged and not stuck.header.reencrypting


def test_a_link_that_changes_at_the_last_moment(stuck: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    before = area(stuck)
    other = replace(
        block.resolve_file(stuck.node), identity=replace(block.resolve_file(stuck.node).identity, path="/x")
    )
    monkeypatch.setattr("volward.operations.header_write.block", SimpleNamespace(of_volume=lambda spec: other))
    with pytest.raises(IdentityError):
        end(stuck)
    assert area(stuck) == before
