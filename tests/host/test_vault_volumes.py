"""Volumes whose keys a real Vault keeps or wraps: provisioned, rebooted, opened; and while Vault is away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.host.meeting import Meeting
from tests.lab.host import Host
from tests.lab.image import Image
from tests.lab.machine import Snapshot
from tests.vault import lab_login
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.vault]

MIB = 1024 * 1024
CANARY = b"volward-canary-of-vault-1b7e"
VOLUMES = """
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


TWICE = """
[volumes.twice]
device = "{device}"
store = "directory"
mount_point = "/srv/volward/twice"
keys = ["vault"]
[volumes.twice.vault]
path = "shared/twice"
"""


def test_from_a_blank_disk_across_a_reboot_and_without_vault(host: Host, tmp_path: Path) -> None:
    with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
        kept, wrapped = host.disk("VAULT-1", 128 * MIB), host.disk("VAULT-2", 128 * MIB)
        role = lab_login.allow(server, "lab")
        vault = lab_login.deliver(host, server, role, wrapped=True, timeout_seconds=30)
        host.put("/etc/volward/volward.toml", vault + VOLUMES.format(kept=kept.link, wrapped=wrapped.link))

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
        host.wait_until_booted()  # without Vault: the TPM opens both
        lab_login.reach(host, server.address)
        host.volward("close", "--all")
        server.audit()
        opened = host.volward("open", "--all")
        asked = [entry["request"]["path"] for entry in server.audited if entry["type"] == "request"]
        assert asked.count("auth/approle/login") == 1, asked
        for name in ("kept", "wrapped"):
            assert f"{name}: open and mounted (key: vault)" in opened.stdout, opened.stdout
            assert host.get(f"/srv/volward/{name}/canary") == CANARY

        host.volward("close", "--all")
        moved = host.volward("open", "--device", wrapped.link, "--read-only", "moved")
        assert "(key: vault)" in moved.stdout
        host.run("cryptsetup", "close", "moved")

        server.seal()
        degraded = host.volward("open", "--all", "--timeout", "20")
        for name in ("kept", "wrapped"):
            assert f"{name}: open and mounted (key: tpm2)" in degraded.stdout
        assert "Vault is sealed" in degraded.stderr
        state = json.loads(host.volward("status", "--json").stdout)
        assert "Vault is sealed" in json.dumps(state)
    assert not kept.contains(CANARY)
    assert not wrapped.contains(CANARY)


@pytest.mark.full
def test_two_hosts_rotate_the_same_path_at_once(
    host: Host, lab_snapshot: tuple[Image, Snapshot], tmp_path: Path
) -> None:
    """A machine and its clone, each with a disk of its own, and one path of keys for both."""
    clone = Host(*lab_snapshot)
    try:
        with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
            first, second = host.disk("TWICE", 96 * MIB), clone.disk("TWICE", 96 * MIB)
            role = lab_login.allow(server, "lab")
            for one in (host, clone):
                vault = lab_login.deliver(one, server, role, wrapped=True, timeout_seconds=30)
                one.put("/etc/volward/volward.toml", vault + TWICE.format(device=first.link))
            host.volward("apply", "--yes", "--no-recovery", "twice")
            host.volward("close", "twice")
            second.unplug()
            shutil.copyfile(first.image, second.image)
            second.plug()
            state = host.run("tar", "--create", "--directory=/var/lib", "volward").stdout_bytes
            clone.run("tar", "--extract", "--directory=/var/lib", input=state)
            assert "open and mounted (key: vault)" in host.volward("open", "twice").stdout
            assert "open and mounted" in clone.volward("apply", "twice").stdout, "it has no units of it yet"

            both = Meeting("twice", host, clone).go_on()

            said = "".join(done.stdout + done.stderr for done in both)
            assert sorted(done.status for done in both) == [0, 73], said
            assert "Somebody else has just created vault:" in said
            kv = server.admin.secrets.kv.v2
            versions = kv.read_secret_metadata(path="shared/twice", mount_point="kv")["data"]["versions"]
            assert sorted(versions) == ["1", "2"]
            (loser,) = [one for one, done in zip((host, clone), both, strict=True) if done.status]
            loser.volward("rotate", "twice")
            versions = kv.read_secret_metadata(path="shared/twice", mount_point="kv")["data"]["versions"]
            assert sorted(versions) == ["1", "2", "3"]
            assert not any(one["destroyed"] or one["deletion_time"] for one in versions.values())
            newest = set()
            for one, disk in ((host, first), (clone, second)):
                metadata = json.loads(one.run("cryptsetup", "luksDump", "--dump-json-metadata", disk.link).stdout)
                assert sorted(metadata["keyslots"]) == ["0", "1"]
                newest.add(max(token["volward"]["key_version"] for token in metadata["tokens"].values()))
                one.volward("close", "twice")
                assert "open and mounted (key: vault)" in one.volward("open", "twice").stdout
            assert newest == {2, 3}
    finally:
        clone.close()
