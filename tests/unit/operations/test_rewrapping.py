"""The key of header backups, wrapped anew at the end of a rotation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import pytest
from tests.unit.builders import SPEC

from volward.errors import KeyDeniedError, VolwardError
from volward.keys.source import KeyRef
from volward.model import (
    ProviderKind,
    VaultKeep,
    VaultLogin,
    VaultLoginMethod,
    VaultPlace,
    VaultServer,
    VolumeSpec,
)
from volward.operations import rewrapping

VAULT = ProviderKind.VAULT
SERVER = VaultServer("https://vault.example.com:8200", VaultLogin(VaultLoginMethod.APPROLE))
PLACE = VaultPlace(SERVER, VaultKeep.TRANSIT)
WRAPPED = replace(SPEC, vault=PLACE)


@dataclass
class Store:
    """A store that wraps keys; ``error`` is what it answers instead."""

    error: VolwardError | None = None
    wrapped: list[str] = field(default_factory=list)

    def refs(self, volume: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        details: Mapping[str, str] = MappingProxyType({"ciphertext": "vault:v1:old"})
        return (KeyRef(VAULT, volume, 1, details),)

    def rewrap(self, ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        if self.error:
            raise self.error
        self.wrapped.append(str(ref))
        return ref


def of_backups(spec: VolumeSpec, kind: ProviderKind | None, store: object) -> tuple[str, ...]:
    class Providers:
        def source(self, kind: ProviderKind, spec: VolumeSpec) -> object:
            return store

    providers: Any = Providers()
    return rewrapping.of_backups(spec, kind, providers, deadline_seconds=1.0)


def test_it_is_wrapped_by_the_newest_version() -> None:
    store = Store()
    assert of_backups(WRAPPED, VAULT, store) == ()
    assert store.wrapped == ["vault:pgdata.header.v1"]


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (WRAPPED, ProviderKind.TPM2),
        (WRAPPED, None),
        (SPEC, VAULT),
        (replace(SPEC, vault=replace(PLACE, keep=VaultKeep.KV)), VAULT),
    ],
)
def test_what_is_not_wrapped_is_left_alone(spec: VolumeSpec, kind: ProviderKind | None) -> None:
    store = Store()
    assert of_backups(spec, kind, store) == ()
    assert store.wrapped == []


def test_a_vault_that_cannot_be_used_has_said_so() -> None:
    assert of_backups(WRAPPED, VAULT, object()) == ()


def test_what_fails_is_told_and_stops_nothing() -> None:
    (said,) = of_backups(WRAPPED, VAULT, Store(KeyDeniedError("No.", resolution="Print the policy.")))
    assert said == "The key of pgdata's header backups stays wrapped as it was: No. Print the policy."
