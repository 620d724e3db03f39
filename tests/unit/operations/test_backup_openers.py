"""Whether the stores' keys open the header backups that are kept."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.builders import SPEC
from tests.unit.header_backup.builders import FACTS, REF

from volward.errors import HeaderBackupError, KeyDeniedError
from volward.header_backup import files, sealing
from volward.header_backup.facts import Facts
from volward.keys.source import KeyRef
from volward.model import ProviderKind
from volward.operations import backup_openers
from volward.report.preflight import Check, Verdict
from volward.secret import SecretBytes

CREDENTIAL, VAULT = ProviderKind.CREDENTIAL, ProviderKind.VAULT
KEY, OTHER_KEY = bytes(range(64)), bytes(64)
OLD_FORM = KeyRef(VAULT, "pgdata.header", 1, {"ciphertext": "vault:v1:old"})
NEW_FORM = KeyRef(VAULT, "pgdata.header", 1, {"ciphertext": "vault:v2:new"})


@dataclass
class Stores:
    """What each store gives for a key, told by its ref and, of a wrapped one, by its form."""

    keys: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def source(self, kind: ProviderKind, spec: object) -> "Stores":
        return self

    def read(self, ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        name = ref.details.get("ciphertext", str(ref))
        self.asked.append(name)
        if name not in self.keys:
            raise KeyDeniedError(f"{name} is gone.", resolution="Look.")
        return SecretBytes(self.keys[name])


def backup_for(*refs: KeyRef) -> Facts:
    with SecretBytes(KEY) as key, SecretBytes.random(sealing.DATA_KEY_BYTES) as data_key:
        recipients = [sealing.for_source(data_key, ref, key, luks_uuid=FACTS.luks_uuid) for ref in refs]
    return replace(FACTS, recipients=tuple(recipients))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Facts]:
    """The backups that are kept, the newest first."""
    found: list[Facts] = []
    monkeypatch.setattr(files, "backups", lambda directory, name: [(Path("/b"), facts) for facts in found])
    return found


def check(stores: Stores, *answering: ProviderKind) -> list[Check]:
    providers: Any = stores
    return list(backup_openers.check(SPEC, providers, answering, deadline_seconds=1.0))


def test_each_key_is_asked_for_once(kept: list[Facts]) -> None:
    kept += [backup_for(REF, OLD_FORM), backup_for(REF)]
    stores = Stores({str(REF): KEY, "vault:v1:old": KEY})
    (one,) = check(stores, CREDENTIAL, VAULT)
    assert (one.what, one.verdict) == ("header backup keys", Verdict.PASSED)
    assert sorted(stores.asked) == [str(REF), "vault:v1:old"]


def test_a_form_that_an_older_backup_needs_is_forbidden(kept: list[Facts]) -> None:
    kept += [backup_for(NEW_FORM), backup_for(OLD_FORM), backup_for(OLD_FORM)]
    (one,) = check(Stores({"vault:v2:new": KEY}), VAULT)
    assert one.verdict is Verdict.WARNING
    assert one.found == "2 not opened by vault:pgdata.header.v1: vault:v1:old is gone"
    assert "volward header backup pgdata" in one.resolution


def test_a_key_that_is_another_one(kept: list[Facts]) -> None:
    kept.append(backup_for(REF))
    (one,) = check(Stores({str(REF): OTHER_KEY}), CREDENTIAL)
    assert one.verdict is Verdict.WARNING
    assert "1 not opened by credential:volward.pgdata.header.v1" in one.found


def test_a_store_that_is_away_is_not_waited_for_twice(kept: list[Facts]) -> None:
    kept.append(backup_for(REF, OLD_FORM))
    stores = Stores({str(REF): KEY})
    (one,) = check(stores, CREDENTIAL)
    assert one.verdict is Verdict.PASSED
    assert stores.asked == [str(REF)]


def test_nothing_to_open_is_nothing_to_say(kept: list[Facts]) -> None:
    assert check(Stores(), CREDENTIAL) == []
    kept.append(backup_for(OLD_FORM))
    assert check(Stores(), CREDENTIAL) == []


@pytest.mark.parametrize("error", [HeaderBackupError("Damaged.", resolution="Look."), PermissionError(13, "denied")])
def test_backups_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def backups(directory: Path, name: str) -> None:
        raise error

    monkeypatch.setattr(files, "backups", backups)
    (one,) = check(Stores(), CREDENTIAL)
    assert one.verdict is Verdict.WARNING
    assert one.resolution
