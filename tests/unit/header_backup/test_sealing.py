"""Sealed files: each recipient opens them, nobody else does, and no byte can be changed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.header_backup.builders import AREA, FACTS, opened, sealed_file

from volward.errors import HeaderBackupError, KeyRejectedError
from volward.header_backup import sealing
from volward.keys import recovery, recovery_pair
from volward.keys.source import KeyRef
from volward.model import ProviderKind
from volward.secret import SecretBytes


@pytest.fixture
def key() -> Iterator[SecretBytes]:
    with SecretBytes.random(64) as secret:
        yield secret


def stored(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "pgdata.20261125T222103Z.01234567.header"
    path.write_bytes(content)
    return path


def test_a_providers_key_opens_it(tmp_path: Path, key: SecretBytes) -> None:
    path = stored(tmp_path, sealed_file(key))
    sealed = sealing.read(path)
    assert replace(sealing.read_facts(path), recipients=()) == FACTS
    assert opened(sealed, sealed.facts.recipients[0], key) == AREA
    assert AREA[:64] not in path.read_bytes()


def test_another_key_does_not(tmp_path: Path, key: SecretBytes) -> None:
    sealed = sealing.read(stored(tmp_path, sealed_file(key)))
    with SecretBytes(bytes(64)) as other, pytest.raises(KeyRejectedError):
        opened(sealed, sealed.facts.recipients[0], other)


def test_the_recovery_key_opens_what_was_sealed_without_it(tmp_path: Path) -> None:
    with recovery.generate() as typed, SecretBytes.random(32) as data_key, recovery.generate() as other:
        details = {**recovery_pair.make(typed), "mount": "not the backup's business"}
        ref = KeyRef(ProviderKind.RECOVERY, "pgdata.recovery", 1, details)
        recipient = sealing.for_recovery(data_key, ref, luks_uuid=FACTS.luks_uuid)
        assert set(recipient.ref.details) == set(recovery_pair.FIELDS)
        content = sealing.seal(AREA, replace(FACTS, recipients=(recipient,)), data_key)
        sealed = sealing.read(stored(tmp_path, content))
        assert opened(sealed, sealed.facts.recipients[0], typed) == AREA
        with pytest.raises(KeyRejectedError):
            opened(sealed, sealed.facts.recipients[0], other)


def test_a_recovery_key_without_a_pair_gets_nothing() -> None:
    with SecretBytes.random(32) as data_key, pytest.raises(KeyRejectedError):
        ref = KeyRef(ProviderKind.RECOVERY, "pgdata.recovery", 1)
        sealing.for_recovery(data_key, ref, luks_uuid=FACTS.luks_uuid)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_no_byte_can_be_changed(tmp_path: Path, key: SecretBytes, data: st.DataObject) -> None:
    content = bytearray(sealed_file(key))
    place = data.draw(st.one_of(st.integers(0, 900), st.integers(0, len(content) - 1)))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((HeaderBackupError, KeyRejectedError)):
        sealed = sealing.read(stored(tmp_path, bytes(content)))
        opened(sealed, sealed.facts.recipients[0], key)


def test_what_is_sealed_for_one_volume_opens_no_other(tmp_path: Path, key: SecretBytes) -> None:
    one = sealing.read(stored(tmp_path, sealed_file(key)))
    with pytest.raises(KeyRejectedError):
        sealing.data_key(one.facts.recipients[0], key, luks_uuid="another")


def test_a_digest_that_is_not_the_areas(tmp_path: Path, key: SecretBytes) -> None:
    sealed = sealing.read(stored(tmp_path, sealed_file(key, replace(FACTS, digest="00"))))
    with pytest.raises(HeaderBackupError, match="digest"):
        opened(sealed, sealed.facts.recipients[0], key)


@pytest.mark.parametrize("cut", [0, 5, 22, 100, -1])
def test_a_file_that_is_cut_off(tmp_path: Path, key: SecretBytes, cut: int) -> None:
    with pytest.raises(HeaderBackupError):
        sealing.read(stored(tmp_path, sealed_file(key)[:cut]))


def test_a_file_with_something_behind_it(tmp_path: Path, key: SecretBytes) -> None:
    with pytest.raises(HeaderBackupError, match="follows"):
        sealing.read(stored(tmp_path, sealed_file(key) + b"x"))


@pytest.mark.parametrize("more", [b"x", b""])
def test_the_prologue_of_a_file_that_is_not_whole_says_nothing(tmp_path: Path, key: SecretBytes, more: bytes) -> None:
    """Whether there is a backup of the present header is told by it, without opening the file."""
    content = sealed_file(key)
    path = stored(tmp_path, content + more if more else content[:-1])
    with pytest.raises(HeaderBackupError, match="cut off, or something follows"):
        sealing.read_facts(path)
