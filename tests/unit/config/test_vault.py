"""[vault] and where keys are kept: what is taken, what is refused and where the problem is reported."""

import dataclasses
import socket
from pathlib import Path

import pytest

from volward import compiled, stores
from volward.config import examine, load
from volward.model import ProviderKind, VaultKeep, VaultLogin, VaultLoginMethod, VaultPlace, VaultServer

SERVER = """
[vault]
address = "https://vault.example.com:8200"
ca_file = "/etc/volward/ca.pem"
namespace = "ns/"
[vault.login]
role = "volward"
role_id = "0000"
credential = "volward-vault"
"""
VOLUME = """
[volumes.{name}]
device = "file:/var/lib/volward/images/{name}.img"
size = "1 GiB"
store = "directory"
mount_point = "/srv/volward/{name}"
keys = ["vault", "tpm2"]
"""
DATA = VOLUME.format(name="data")


def written(directory: Path, text: str) -> Path:
    (directory / "volward.toml").write_text(text)
    return directory


def problems(directory: Path, text: str) -> list[tuple[str, str]]:
    examination = examine(written(directory, text))
    return [(one.path, f"{one.what} {one.suggestion}") for one in examination.problems]


def test_from_the_files_to_the_volume(tmp_path: Path) -> None:
    root = written(
        tmp_path, SERVER + '[defaults.vault]\nmount = "secret"\n' + DATA + '[volumes.data.vault]\npath = "db/data"\n'
    )
    spec = stores.specs(load(root))["data"]
    login = VaultLogin(VaultLoginMethod.APPROLE, role="volward", role_id="0000", credential="volward-vault")
    server = VaultServer(
        "https://vault.example.com:8200", login, namespace="ns", ca_file=Path("/etc/volward/ca.pem"), timeout_seconds=10
    )
    assert spec.providers == (ProviderKind.VAULT, ProviderKind.TPM2)
    assert spec.vault == VaultPlace(server, VaultKeep.KV, mount="secret", path="db/data")
    assert spec.vault.path_of("data", "host") == "db/data"
    assert (spec.vault.engine, login.path) == ("secret", "approle")
    assert dataclasses.replace(spec.vault, path="").path_of("data", "host") == "volward/host/data"
    kept = tmp_path / "compiled.json"
    compiled.write(compiled.digest(root), {"data": spec}, file=kept)
    assert compiled.read(root, file=kept) == {"data": spec}


def test_a_volume_without_vault_has_no_place_in_it(tmp_path: Path) -> None:
    root = written(tmp_path, SERVER + DATA.replace('["vault", "tpm2"]', '["credential"]'))
    assert stores.specs(load(root))["data"].vault is None


def test_scratch_is_left_alone_by_defaults(tmp_path: Path) -> None:
    text = (
        SERVER
        + '[defaults]\nkeys = ["vault"]\n[defaults.vault]\nkeep = "transit"\n'
        + DATA.replace('"directory"', '"scratch"').replace('keys = ["vault", "tpm2"]\n', "")
    )
    assert stores.specs(load(written(tmp_path, text)))["data"].vault is None


@pytest.mark.parametrize(
    ("old", "new", "path", "says"),
    [
        ('address = "https://vault.example.com:8200"', "", "vault.address", "is missing"),
        ("https://vault.example.com:8200", "http://vault.example.com:8200", "vault.address", "clear text"),
        ("https://vault.example.com:8200", "vault.example.com", "vault.address", "not the address"),
        ("https://vault.example.com:8200", "https://[::1", "vault.address", "not the address"),
        ("https://vault.example.com:8200", "https://vault/v1", "vault.address", '"https://vault:8200"'),
        ("https://vault.example.com:8200", "https://u:p@vault", "vault.address", '"https://vault:8200"'),
        ("/etc/volward/ca.pem", "ca.pem", "vault.ca_file", "absolute"),
        ('"ns/"', '"a b"', "vault.namespace", "letters"),
        ('"ns/"', '"a/../b"', "vault.namespace", "letters"),
        ("namespace", "namespaec", "vault.namespaec", "`namespace`"),
        ('role_id = "0000"', "", "vault.login.role_id", "needs it"),
        ('credential = "volward-vault"', 'credential = "../x"', "vault.login.credential", "not the name"),
        ('role = "volward"', "wrapped = true", "vault.login.role", "this very role"),
        ('role = "volward"', 'method = "aprole"', "vault.login.method", '"approle"'),
        ('role = "volward"', 'file = "/x"', "vault.login.file", "no meaning"),
        ('role = "volward"', "namespace = 'x'", "vault.login.namespace", "[vault]"),
        ('role = "volward"', 'method = "token"', "vault.login.role_id", "no meaning"),
        ("[vault.login]", "[vault.logn]", "vault.login", "policy"),
    ],
)  # fmt: skip
def test_what_is_refused_in_the_server(tmp_path: Path, old: str, new: str, path: str, says: str) -> None:
    assert old in SERVER
    found = problems(tmp_path, SERVER.replace(old, new) + DATA)
    assert [text for where, text in found if where == path and says in text], found


@pytest.mark.parametrize("address", ["http://127.0.0.1:8200", "http://localhost:8200", "http://[::1]:8200"])
def test_loopback_needs_no_tls(tmp_path: Path, address: str) -> None:
    assert not problems(tmp_path, SERVER.replace("https://vault.example.com:8200", address) + DATA)


@pytest.mark.parametrize(
    "login",
    [
        'method = "cert"\ncertificate = "/etc/volward/a.pem"\nprivate_key = "/etc/volward/a.key"',
        'method = "jwt"\nrole = "volward"\nfile = "/run/jwt"\nmount = "jwt-k8s"',
        'method = "token"\ncredential = "vault-token"',
        'method = "token-file"\nfile = "/run/vault/token"',
        'role = "volward"\nrole_id = "1"\ncredential = "c"\nwrapped = true',
    ],
)
def test_ways_to_log_in(tmp_path: Path, login: str) -> None:
    head = SERVER.partition("role =")[0]
    assert not problems(tmp_path, head + login + "\n" + DATA)


def test_a_client_certificate_takes_tls(tmp_path: Path) -> None:
    text = (
        '[vault]\naddress = "http://127.0.0.1:8200"\n[vault.login]\nmethod = "cert"\n'
        'certificate = "/etc/volward/a.pem"\nprivate_key = "/etc/volward/a.key"\n'
    )
    assert problems(tmp_path, text + DATA)[0][0] == "vault.login.method"


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        (DATA, "volumes.data.keys", "which server"),
        (SERVER + DATA.replace('"vault", "tpm2"', '"credential"') + '[volumes.data.vault]\npath = "x"\n',
         "volumes.data.vault", "keeps no key in Vault"),
        (SERVER + DATA + '[volumes.data.vault]\nkeep = "transit"\npath = "x"\n', "volumes.data.vault.path", "header"),
        (SERVER + DATA + '[volumes.data.vault]\nkeep = "kw"\n', "volumes.data.vault.keep", "kv and transit"),
        (SERVER + DATA.replace('"directory"', '"scratch"').replace('keys = ["vault", "tpm2"]\n', "")
         + '[volumes.data.vault]\npath = "x"\n', "volumes.data.vault", "scratch"),
    ],
)  # fmt: skip
def test_what_is_refused_in_a_volume(tmp_path: Path, text: str, path: str, says: str) -> None:
    found = problems(tmp_path, text)
    assert [words for where, words in found if where == path and says in words], found


def test_two_volumes_never_share_a_path(tmp_path: Path) -> None:
    taken = f'[volumes.other.vault]\npath = "volward/{socket.gethostname()}/data"\n'
    found = problems(tmp_path, SERVER + DATA + VOLUME.format(name="other") + taken)
    assert [path for path, _ in found] == ["volumes.other.vault.path"]
    assert "where volume data keeps its key" in found[0][1]
    elsewhere = taken + 'mount = "other"\n'
    assert not problems(tmp_path, SERVER + DATA + VOLUME.format(name="other") + elsewhere)


def test_the_server_is_defined_once(tmp_path: Path) -> None:
    (tmp_path / "volward.d").mkdir()
    (tmp_path / "volward.d/a.toml").write_text('[vault]\naddress = "https://other:8200"\n')
    assert problems(tmp_path, SERVER + DATA)[0][0] == "vault.address"
