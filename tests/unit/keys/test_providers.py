"""The providers of one pass: one session a server, closed at its end; what cannot be used says so when it is asked."""

import builtins
import dataclasses
from importlib import metadata
from typing import Any

import pytest
from tests.unit.builders import SPEC
from tests.unit.keys.vault.scripted import SERVER

from volward.errors import KeyDeniedError, ToolMissingError, UntrustedServerError, VolwardError
from volward.keys.providers import Providers
from volward.keys.source import KeyRef, KeySource
from volward.keys.vault import opened
from volward.model import ProviderKind, VaultPlace, VaultServer

PLACED = dataclasses.replace(
    SPEC, providers=(ProviderKind.VAULT, ProviderKind.TPM2, ProviderKind.CREDENTIAL), vault=VaultPlace(SERVER)
)


class Session:
    """Remembers that it was closed."""

    def __init__(self, server: VaultServer) -> None:
        self.server = server
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    made: list[Session] = []

    def session(server: VaultServer, **options: object) -> Session:
        made.append(Session(server))
        return made[-1]

    monkeypatch.setattr(opened, "session", session)
    return made


def test_one_session_a_server_for_the_whole_pass(sessions: list[Session]) -> None:
    other = dataclasses.replace(PLACED, vault=VaultPlace(dataclasses.replace(SERVER, address="https://other:8200")))
    with Providers() as providers:
        for spec in (PLACED, PLACED, other):
            assert [one.provider for one in providers.chain_of(spec)] == list(spec.providers)
        assert [one.server.address for one in sessions] == [SERVER.address, "https://other:8200"]
        assert [one.closed for one in sessions] == [0, 0]
    assert [one.closed for one in sessions] == [1, 1]


@pytest.mark.parametrize("kind", [ProviderKind.CREDENTIAL, ProviderKind.PROMPT, ProviderKind.RECOVERY])
def test_the_others(kind: ProviderKind) -> None:
    source = Providers().source(kind, SPEC)
    assert source.provider is kind
    ref = source.first_ref("pgdata")
    assert source.next_ref(ref, deadline_seconds=1.0).version == (2 if kind is ProviderKind.CREDENTIAL else 1)


def test_the_tpm_yields_no_bytes() -> None:
    with pytest.raises(ValueError, match="no bytes"):
        Providers().source(ProviderKind.TPM2, SPEC)


def refuses(source: KeySource, kind: type[VolwardError]) -> None:
    ref = KeyRef(ProviderKind.VAULT, "a", 1)
    calls: list[Any] = [
        lambda: source.first_ref("a"),
        lambda: source.next_ref(ref, deadline_seconds=1.0),
        lambda: source.refs("a", deadline_seconds=1.0),
        lambda: source.present(ref, deadline_seconds=1.0),
        lambda: source.create(ref, adopt=True, deadline_seconds=1.0),
        lambda: source.read(ref, deadline_seconds=1.0),
    ]
    assert not source.interactive
    for call in calls:
        with pytest.raises(kind):
            call()


def test_without_a_server() -> None:
    refuses(Providers().source(ProviderKind.VAULT, SPEC), KeyDeniedError)


def test_without_hvac_the_chain_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "volward.keys.vault.source":
            raise ImportError("No module named 'hvac'", name="hvac")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    refuses(Providers().source(ProviderKind.VAULT, PLACED), ToolMissingError)


def test_with_a_ca_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def session(server: VaultServer, **options: object) -> Session:
        raise UntrustedServerError("No CA.", resolution="Put it there.")

    monkeypatch.setattr(opened, "session", session)
    refuses(Providers().source(ProviderKind.VAULT, PLACED), UntrustedServerError)


def test_an_hvac_that_is_too_old_is_said_and_the_chain_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "0.11.2")
    with Providers() as providers, pytest.raises(ToolMissingError, match=r"hvac is 0\.11\.2 here, .* needs 2\.3"):
        providers.source(ProviderKind.VAULT, PLACED).read(KeyRef(ProviderKind.VAULT, "a", 1), deadline_seconds=1.0)
