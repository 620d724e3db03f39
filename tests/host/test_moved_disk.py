"""A disk that was moved to another host, which knows nothing of its volume but where Vault is."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
from tests.host.vault_volumes import KEPT_AND_WRAPPED, NOTHING
from tests.lab.host import MIB, Host
from tests.lab.image import Image
from tests.lab.machine import Snapshot
from tests.vault import auth, lab_login, mounts
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.vault, pytest.mark.full]

CANARY = "volward-canary-of-a-moved-disk-90c3"
NAMES = ("kept", "wrapped")
READ = """
mkdir -p /run/moved
mount -o ro,noload "/dev/mapper/$1" /run/moved
cat /run/moved/canary
umount /run/moved
cryptsetup close "$1"
"""
BY_ENVIRONMENT = """
read -r VAULT_TOKEN
export VAULT_TOKEN VAULT_ADDR="$1" VAULT_CACERT="$2"
volward open --device "$3" --read-only "$4"
"""


def test_it_opens_by_what_its_header_says(host: Host, lab_snapshot: tuple[Image, Snapshot], tmp_path: Path) -> None:
    other = Host(*lab_snapshot)
    try:
        with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
            here = {name: host.disk(f"HERE-{name}", 96 * MIB) for name in NAMES}
            vault = lab_login.deliver(host, server, lab_login.allow(server, "first"))
            links = {name: disk.link for name, disk in here.items()}
            host.put("/etc/volward/volward.toml", vault + KEPT_AND_WRAPPED.format(**links))
            host.volward("apply", "--yes", "--no-recovery", *NAMES)
            for name in NAMES:
                host.sh('printf "%s" "$1" >"/srv/volward/$2/canary"; sync', CANARY, name)
            host.volward("close", "--all")
            there = {name: other.disk(f"THERE-{name}", 96 * MIB) for name in NAMES}
            for name in NAMES:
                here[name].unplug()
                there[name].unplug()
                shutil.copyfile(here[name].image, there[name].image)
                there[name].plug()
            before = {name: disk.sha256() for name, disk in there.items()}

            other.run("hostname", "db2")
            role = auth.approle(server.admin, "second", token_policies=["second"])
            mounts.policy(server.admin, "second", NOTHING)
            other.put("/etc/volward/volward.toml", lab_login.deliver(other, server, role))
            assert json.loads(other.volward("status", "--json").stdout)["volumes"] == []
            path = f"volward/{host.run('hostname').stdout.strip()}/kept"
            needed = {
                "kept": f'path "kv/data/{path}" {{ capabilities = ["read"] }}',
                "wrapped": 'path "transit/decrypt/volward" { capabilities = ["update"] }',
            }
            for name, disk in there.items():
                denied = other.volward("open", "--device", disk.link, "--read-only", "moved", ok=(77,))
                assert needed[name] in denied.stderr
            mounts.policy(server.admin, "second", "\n".join(needed.values()))
            for disk in there.values():
                opened = other.volward("open", "--device", disk.link, "--read-only", "moved")
                assert opened.stdout == f"{disk.link}: open as /dev/mapper/moved (key: vault)\n"
                assert other.sh(READ, "moved").stdout == CANARY

            # The configuration is lost as well: a person's token does.
            other.run("rm", "/etc/volward/volward.toml")
            token = server.admin.auth.token.create(policies=["second"])["auth"]["client_token"]
            for name, disk in there.items():
                words = (lab_login.ADDRESS, lab_login.CA_FILE, disk.link, name)
                opened = other.sh(BY_ENVIRONMENT, *words, input=f"{token}\n")
                assert opened.stdout == f"{disk.link}: open as /dev/mapper/{name} (key: vault)\n"
                assert other.sh(READ, name).stdout == CANARY
            assert {name: disk.sha256() for name, disk in there.items()} == before, "nothing was written"
            kv = server.admin.secrets.kv.v2
            kept = kv.read_secret_version(path=path, mount_point="kv", raise_on_deleted_version=True)
            assert list(kv.read_secret_metadata(path=path, mount_point="kv")["data"]["versions"]) == ["1"]
            assert not other.secrets_scan([base64.b64decode(kept["data"]["data"]["key"])])
    finally:
        other.close()
