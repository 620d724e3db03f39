"""Volumes whose keys a real Vault keeps or wraps: provisioned, rebooted, opened; and while Vault is away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.lab.host import Host
from tests.vault import auth, mounts
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.vault]

MIB = 1024 * 1024
PORT = 8200
CANARY = b"volward-canary-of-vault-1b7e"
POLICY = """
path "kv/*" { capabilities = ["create", "read", "update"] }
path "transit/*" { capabilities = ["read", "update"] }
path "auth/token/*" { capabilities = ["read", "update"] }
"""
CONFIGURATION = """
[vault]
address = "https://127.0.0.1:8200"
ca_file = "/etc/volward/ca.pem"
timeout = 30
[vault.login]
role = "lab"
role_id = "{role_id}"
credential = "volward-vault"
wrapped = true
[volumes.kept]
device = "{kept}"
store = "directory"
mount_point = "/srv/volward/kept"
keys = ["vault", "tpm2"]
[volumes.wrapped]
device = "{wrapped}"
store = "directory"
mount_point = "/srv/volward/wrapped"
keys = ["vault", "tpm2"]
[volumes.wrapped.vault]
keep = "transit"
"""


def test_from_a_blank_disk_across_a_reboot_and_without_vault(host: Host, tmp_path: Path) -> None:
    with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
        assert server.authority is not None
        admin = server.admin
        mounts.kv(admin, "kv")
        mounts.transit(admin, "transit", key="volward", derived=True)
        mounts.policy(admin, "lab", POLICY)
        role = auth.approle(admin, "lab", token_policies=["lab"], token_ttl="10m")
        host.forward(guest_port=PORT, port=server.address.port)
        host.put("/etc/volward/ca.pem", server.authority.ca_file.read_bytes())
        seal = "systemd-creds encrypt --with-key=host --name=volward-vault - /etc/credstore.encrypted/volward-vault"
        host.sh(f"mkdir -p /etc/credstore.encrypted; {seal}", input=role.wrapped_secret_id(ttl="30m"))
        kept, wrapped = host.disk("VAULT-1", 128 * MIB), host.disk("VAULT-2", 128 * MIB)
        host.put(
            "/etc/volward/volward.toml",
            CONFIGURATION.format(role_id=role.role_id, kept=kept.link, wrapped=wrapped.link),
        )

        done = host.volward("apply", "--yes", "kept", "wrapped")

        assert "kept: provisioned, open and mounted" in done.stdout
        assert "wrapped: provisioned, open and mounted" in done.stdout
        for name in ("kept", "wrapped"):
            host.sh('printf "%s" "$1" > "/srv/volward/$2/canary"; sync', CANARY.decode(), name)
        metadata = json.loads(host.run("cryptsetup", "luksDump", "--dump-json-metadata", wrapped.link).stdout)
        tokens = [one["volward"] for one in metadata["tokens"].values() if one["type"] == "volward"]
        (token,) = [one for one in tokens if one["provider"] == "vault"]
        assert token["details"]["ciphertext"].startswith("vault:v1:")

        host.reboot()
        host.forward(guest_port=PORT, port=server.address.port)
        host.volward("close", "--all")
        opened = host.volward("open", "--all")
        for name in ("kept", "wrapped"):
            assert f"{name}: open and mounted (key: vault)" in opened.stdout, opened.stdout
            assert host.get(f"/srv/volward/{name}/canary") == CANARY

        host.volward("close", "--all")
        moved = host.volward("open", "--device", wrapped.link, "--read-only", "moved")
        assert "(key: vault)" in moved.stdout
        host.run("cryptsetup", "close", "moved")

        server.seal()
        degraded = host.volward("open", "--all", "--timeout", "5")
        for name in ("kept", "wrapped"):
            assert f"{name}: open and mounted (key: tpm2)" in degraded.stdout
        assert "Vault is sealed" in degraded.stderr
        state = json.loads(host.volward("status", "--json").stdout)
        assert "Vault is sealed" in json.dumps(state)
    assert not kept.contains(CANARY)
    assert not wrapped.contains(CANARY)
