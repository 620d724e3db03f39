"""`volward vault policy` and `volward open --device`: what they print and which server they go to."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.driver import Cli

from volward.cli.vault_environment import server_from, token_from
from volward.errors import ConfigurationError, KeyDeniedError
from volward.keys.chain import ChainOutcome, Failure
from volward.model import ProviderKind, VaultLogin, VaultLoginMethod, VaultServer

CONFIGURATION = """
[vault]
address = "https://vault.example.com:8200"
[vault.login]
role = "volward"
role_id = "0000"
credential = "volward-vault"
[defaults]
keys = ["vault"]
[volumes.cache]
device = "/dev/disk/by-id/virtio-cache"
store = "redis"
mount_point = "/srv/volward/cache"
[volumes.local]
device = "/dev/disk/by-id/virtio-local"
store = "redis"
mount_point = "/srv/volward/local"
keys = ["credential"]
"""
CONFIGURED = VaultServer("https://configured:8200", VaultLogin(VaultLoginMethod.TOKEN, credential="c"))


def test_policies_are_printed(cli: Cli) -> None:
    cli.configure(CONFIGURATION)
    done = cli("vault", "policy", "--host", "db1")
    assert done.status == 0
    assert "vault policy write volward-db1-unlock" in done.out
    assert "kv/data/volward/db1/cache" in done.out
    assert "local" not in done.out


def test_without_a_volume_in_vault(cli: Cli) -> None:
    cli.configure(CONFIGURATION)
    done = cli("vault", "policy", "--volume", "local")
    assert done.status == 78
    assert "VW0101" in done.err


@pytest.fixture
def opened(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name in ("VAULT_ADDR", "VAULT_TOKEN", "VAULT_SKIP_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    failure = Failure(ProviderKind.TPM2, KeyDeniedError("No.", resolution="Ask."))

    def open_device(device: Path, name: str, **options: Any) -> ChainOutcome:
        seen.update(options, device=device, name=name)
        return ChainOutcome(ProviderKind.VAULT, 0, (failure,))

    cli.replace("volward.cli.open_device.open_device", open_device)
    cli.replace("volward.cli.open_device.demand_device_mapper", lambda load: None)
    return seen


def test_a_device_by_the_configured_server(cli: Cli, opened: dict[str, Any]) -> None:
    cli.configure(CONFIGURATION)
    done = cli("open", "--device", "/dev/vdb", "--read-only", "--timeout", "5", "moved")
    assert (done.status, done.out) == (0, "/dev/vdb: open as /dev/mapper/moved (key: vault)\n")
    assert "degraded: tpm2: No." in done.err
    assert opened["server"].address == "https://vault.example.com:8200"
    assert (opened["device"], opened["name"], opened["read_only"]) == (Path("/dev/vdb"), "moved", True)
    assert (opened["deadline_seconds"], opened["ask_recovery"]) == (5.0, False)


def test_a_device_without_any_configuration(cli: Cli, opened: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    (cli.root / "volward.toml").unlink()
    monkeypatch.setenv("VAULT_ADDR", "https://elsewhere:8200")
    monkeypatch.setenv("VAULT_TOKEN", "t1")
    done = cli("open", "--device", "/dev/vdb", "--recovery", "moved")
    assert done.status == 0
    assert "configuration is not used" in done.err
    assert opened["server"].address == "https://elsewhere:8200"
    assert opened["ask_recovery"]


def test_no_server_at_all(cli: Cli, opened: dict[str, Any]) -> None:
    assert cli("open", "--device", "/dev/vdb", "moved").status == 0
    assert opened["server"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("--device", "/dev/vdb"),
        ("--device", "/dev/vdb", "a", "b"),
        ("--device", "/dev/vdb", "--all", "a"),
        ("--read-only", "cache"),
    ],
)
def test_what_does_not_go_together(cli: Cli, opened: dict[str, Any], arguments: tuple[str, ...]) -> None:
    assert cli("open", *arguments).status == 2
    assert not opened


def test_the_environment_is_a_default() -> None:
    environment = {"VAULT_ADDR": "https://v:8200/", "VAULT_CACERT": "/ca.pem", "VAULT_NAMESPACE": "team/"}
    found = server_from(environment, None)
    assert found is not None
    assert (found.address, found.ca_file, found.namespace) == ("https://v:8200", Path("/ca.pem"), "team")
    assert found.login.file == Path.home() / ".vault-token"
    assert server_from(environment, CONFIGURED) is CONFIGURED
    assert server_from({}, None) is None


@pytest.mark.parametrize("off", ["", "0", "false", "F"])
def test_tls_is_always_verified(off: str) -> None:
    assert server_from({"VAULT_SKIP_VERIFY": off}, CONFIGURED) is CONFIGURED
    with pytest.raises(ConfigurationError, match="always verifies"):
        server_from({"VAULT_SKIP_VERIFY": "1"}, CONFIGURED)


def test_an_address_in_clear_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="VAULT_ADDR"):
        server_from({"VAULT_ADDR": "http://vault:8200"}, None)


def test_the_token_of_a_person() -> None:
    assert token_from({}) is None
    found = token_from({"VAULT_TOKEN": " t1\n"})
    assert found is not None
    with found, found.view() as view:
        assert bytes(view) == b"t1"
