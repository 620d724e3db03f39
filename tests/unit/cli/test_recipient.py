"""Who takes new recovery keys: a terminal, a descriptor or Vault; never two of them."""

import builtins
import os
from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.cli.driver import Cli
from tests.unit.keys.vault.scripted import SERVER as SOMEWHERE

from volward.apply import RecoveryDelivery
from volward.cli.delivery import VaultDelivery
from volward.errors import KeyDeniedError, ToolMissingError
from volward.keys.providers import Providers
from volward.model import VaultServer, VolumeSpec
from volward.secret import SecretBytes


class Escrow:
    """Takes a key, or refuses it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.taken: list[str] = []

    def put(self, volume: str, recovery_key: SecretBytes) -> str:
        if self.error:
            raise self.error
        self.taken.append(volume)
        return f"kv/volward-recovery/db1/{volume}/1"


@pytest.fixture
def enrolling(cli: Cli) -> None:
    def enrol(spec: VolumeSpec, delivery: RecoveryDelivery, *, deadline_seconds: float) -> tuple[str, ...]:
        assert isinstance(delivery, VaultDelivery)
        with SecretBytes(b"A1B2C") as key:
            delivery.hand_over(spec.name, key)
        return ()

    cli.replace("volward.operations.enrolment.enrol_recovery_key", enrol)


def use(cli: Cli, escrow: Escrow) -> list[Any]:
    asked: list[Any] = []

    def made(self: Providers, server: VaultServer, specs: Sequence[VolumeSpec], *, deadline_seconds: float) -> Escrow:
        asked.append((server.address, [spec.name for spec in specs], self))
        return escrow

    cli.replace("volward.keys.providers.Providers.escrow", made)
    return asked


@pytest.mark.usefixtures("enrolling")
def test_into_vault(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "t1")
    monkeypatch.setenv("VAULT_ADDR", "https://vault.example.com:8200")
    escrow = Escrow()
    asked = use(cli, escrow)
    done = cli("recovery", "enrol", "cache", "--recovery-vault")
    assert done.status == 0, done.err
    assert "cache: its recovery key is in Vault, at kv/volward-recovery/db1/cache/1" in done.err
    assert escrow.taken == ["cache"]
    ((address, names, _),) = asked
    assert address == "https://vault.example.com:8200"
    assert "cache" in names


@pytest.mark.usefixtures("enrolling")
def test_one_that_vault_refuses(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", "https://vault.example.com:8200")
    use(cli, Escrow(KeyDeniedError("No.", resolution="Allow it.")))
    done = cli("recovery", "enrol", "cache", "--recovery-vault")
    assert done.status == 77
    assert "Allow it." in done.err


def test_without_a_server(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAULT_ADDR", raising=False)
    done = cli("recovery", "enrol", "cache", "--recovery-vault")
    assert done.status == 78
    assert "No Vault server is configured." in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("recovery", "enrol", "cache"),
        ("apply", "cache", "--yes"),
        ("rotate", "cache", "--provider", "recovery"),
    ],
)
def test_two_at_a_time(cli: Cli, words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    try:
        done = cli(*words, "--recovery-fd", str(writer), "--recovery-vault")
    finally:
        os.close(reader)
        os.close(writer)
    assert done.status == 2
    assert "--recovery-fd or --recovery-vault, not both" in done.err


def test_none_and_vault(cli: Cli) -> None:
    done = cli("apply", "cache", "--yes", "--no-recovery", "--recovery-vault")
    assert done.status == 2
    assert "not both" in done.err


def test_without_hvac(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name == "volward.keys.vault.escrow":
            raise ImportError("No module named 'hvac'", name="hvac")
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with Providers() as providers, pytest.raises(ToolMissingError, match="hvac"):
        providers.escrow(SOMEWHERE, (), deadline_seconds=1.0)
