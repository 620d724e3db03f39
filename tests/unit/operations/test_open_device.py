"""open --device: by what the header says, without a volume in the configuration."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.unit.builders import HEADER
from tests.unit.keys.vault.scripted import SERVER

from volward import audit
from volward.errors import DamagedHeaderError, DeviceNotFoundError, KeyDeniedError, KeyRejectedError, NoOpenerError
from volward.host import cryptsetup
from volward.keys.credential import CredentialSource
from volward.keys.providers import Providers
from volward.keys.recovery import RecoverySource
from volward.keys.source import KeyRef
from volward.keys.tpm2 import Tpm2Opener
from volward.model import Header, ProviderKind, Token, VaultPlace, VaultServer
from volward.operations import open_device as operation
from volward.secret import SecretBytes

KEY = bytes(range(64))


def token(number: int, provider: str, **details: str) -> Token:
    body = {
        "version": 1, "volume": "pgdata", "provider": provider,
        "key_ref": "volward/db1/pgdata.v3", "key_name": "volward/db1/pgdata", "key_version": 3, "details": details,
    }  # fmt: skip
    return Token(number, "volward", (number,), MappingProxyType({"volward": body}))


IN_VAULT = token(0, "vault", keep="kv", mount="kv")
BY_TPM = Token(1, "systemd-tpm2", (1,))


class Source:
    provider = ProviderKind.VAULT
    interactive = False

    def __init__(self) -> None:
        self.read_refs: list[KeyRef] = []
        self.error: Exception | None = None

    def refs(self, volume: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        return ()

    def read(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> SecretBytes:
        self.read_refs.append(ref)
        if self.error:
            raise self.error
        return SecretBytes(KEY)


class Host:
    def __init__(self, device: Path) -> None:
        self.device = device
        self.header = replace(HEADER, tokens=(IN_VAULT,))
        self.source = Source()
        self.places: list[VaultPlace | None] = []
        self.opened: list[tuple[str, int | None, bool]] = []
        self.audited: list[str] = []

    def open(
        self, node: Path, name: str, *, key: SecretBytes, keyslot: int | None, discard: bool, read_only: bool
    ) -> None:
        with key.view() as view:
            if bytes(view) != KEY:
                raise KeyRejectedError("Wrong.", resolution="Try another.")
        self.opened.append((name, keyslot, read_only))

    def by_token(self, node: Path, name: str, found: Token, *, discard: bool, read_only: bool) -> None:
        self.opened.append((name, None, read_only))

    def note(self, event: str, outcome: object) -> None:
        self.audited.append(f"{event} {outcome}")

    def vault(self, place: VaultPlace | None, purpose: object) -> Source:
        self.places.append(place)
        return self.source


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    (tmp_path / "disk").touch()
    one = Host(tmp_path / "disk")
    monkeypatch.setattr(operation, "read_header", lambda node: one.header)
    monkeypatch.setattr(cryptsetup, "open", one.open)
    monkeypatch.setattr(Tpm2Opener, "open", lambda _, *words, **options: one.by_token(*words, **options))
    monkeypatch.setattr(Providers, "vault", lambda _, place, purpose: one.vault(place, purpose))
    monkeypatch.setattr(
        audit, "record", lambda event, volume, outcome, *more, **fields: one.audited.append(f"{event} {outcome}")
    )
    return one


def run(host: Host, server: VaultServer | None = SERVER, **options: Any) -> Any:
    with Providers() as providers:
        return operation.open_device(
            host.device, "moved", server=server, providers=providers, deadline_seconds=0.0, **options
        )


def test_by_the_ref_in_the_header(host: Host) -> None:
    outcome = run(host, read_only=True)
    assert (outcome.opened_by, outcome.keyslot) == (ProviderKind.VAULT, 0)
    assert host.opened == [("moved", 0, True)]
    (ref,) = host.source.read_refs
    assert (ref.name, ref.version, dict(ref.details)) == ("volward/db1/pgdata", 3, {"keep": "kv", "mount": "kv"})
    assert host.places == [VaultPlace(SERVER)]
    assert host.audited == ["open-device done"]


def test_the_tpm_when_vault_denies(host: Host) -> None:
    host.header = replace(host.header, tokens=(IN_VAULT, BY_TPM))
    host.source.error = KeyDeniedError("No.", resolution="Ask.")
    outcome = run(host)
    assert outcome.opened_by is ProviderKind.TPM2
    assert outcome.degraded
    assert host.audited == ["key-denied alert", "open-device done"]


def test_nobody(host: Host) -> None:
    host.source.error = KeyDeniedError("No.", resolution="Ask.")
    with pytest.raises((KeyDeniedError, NoOpenerError)):
        run(host, server=None)
    assert host.places == [None]
    assert host.audited == ["key-denied alert", "open-device failed"]


def test_nobody_is_asked_unless_it_is_wished(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.header = replace(host.header, tokens=(token(0, "recovery"),))
    with pytest.raises(KeyDeniedError, match="recovery"):
        run(host)
    monkeypatch.setattr(RecoverySource, "read", lambda _, ref, **options: SecretBytes(KEY))
    assert run(host, ask_recovery=True).opened_by is ProviderKind.RECOVERY
    host.header = replace(host.header, tokens=())
    with pytest.raises(KeyDeniedError, match="nothing"):
        run(host)


def test_a_credential_of_this_host(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.header = replace(host.header, tokens=(token(0, "credential"),))
    monkeypatch.setattr(CredentialSource, "read", lambda _, ref, **options: SecretBytes(KEY))
    assert run(host).opened_by is ProviderKind.CREDENTIAL


def test_a_device_that_is_not_there_or_half_re_encrypted(host: Host) -> None:
    header: Header = replace(HEADER, requirements=("online-reencrypt-v2",))
    host.header = header
    with pytest.raises(DamagedHeaderError, match="re-encryption"):
        run(host)
    host.device = Path("/dev/none-such")
    with pytest.raises(DeviceNotFoundError):
        run(host)
