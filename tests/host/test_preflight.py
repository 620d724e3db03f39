"""`volward preflight` on a host with keys in a real Vault: what it says of the next boot, and that it only looks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.lab.disk import Disk
from tests.lab.host import MIB, Host
from tests.lab.ssh import Result
from tests.vault import lab_login
from tests.vault.auth import AppRole
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.vault]

PASSED, NEEDS_A_PERSON = 0, 76  # sysexits(3): EX_PROTOCOL
VAULT = f"vault {lab_login.ADDRESS}"
LOOK_UP = 'path "auth/approle/role/lab/secret-id/lookup" { capabilities = ["update"] }'
VOLUMES = """
[defaults.recovery]
memory = "64 MiB"
[volumes.alone]
device = "{alone}"
store = "directory"
mount_point = "/srv/volward/alone"
keys = ["vault"]
[volumes.both]
device = "{both}"
store = "directory"
mount_point = "/srv/volward/both"
keys = ["vault", "tpm2"]
"""
OF_EACH = ("device", "boot", "header", "header backup", "recovery key", "key of vault", "header backup keys")
HEADERS = 'for device; do head -c 16M "$device" | sha256sum; done'
# What volward keeps on a host, but for how long logins last: that is looked up, and remembered for `status`.
FILES = """
find /etc/volward /etc/credstore.encrypted /etc/systemd/system /var/lib/volward -path /var/lib/volward/logins -prune \
    -o -type f -exec sha256sum {} + | sort -k 2
"""


@dataclass
class Scene:
    """Two provisioned volumes: Vault alone opens one, the TPM opens the other as well."""

    host: Host
    server: Server
    role: AppRole
    disks: tuple[Disk, Disk]

    def preflight(self, *words: str, status: int) -> Result:
        told = self.host.volward("preflight", "--wait", "5", *words, ok=None)
        assert told.status == status, told.stdout + told.stderr
        return told

    def checks(self, *words: str, status: int) -> dict[tuple[str | None, str], dict[str, Any]]:
        """Return what it found, by volume and check. JSON, table and exit status agree, and nothing is changed."""
        before = self.traces()
        found = json.loads(self.preflight("--json", *words, status=status).stdout)
        lines = self.preflight(*words, status=status).stdout.splitlines()
        assert self.traces() == before
        assert found["schema_version"] == 1
        failed = [one for one in found["checks"] if one["result"] == "failed"]
        assert found["passed"] is not bool(failed)
        headings, *rows = [re.split(" {2,}", line) for line in lines[: lines.index("")]]
        assert headings == ["VOLUME", "CHECK", "RESULT", "FOUND"]
        columns = ("volume", "check", "result", "found")
        assert rows == [[one[column] or "(host)" for column in columns] for one in found["checks"]]
        for one in found["checks"]:
            assert (one["resolution"] is None) is (one["result"] == "passed")
            assert one["resolution"] is None or f"  {one['resolution']}" in lines
        return {(one["volume"], one["check"]): one for one in found["checks"]}

    def traces(self) -> tuple[object, ...]:
        """What must not change: both headers, all versions in Vault, the journal, and volward's files on the host."""
        headers = self.host.sh(HEADERS, *(disk.link for disk in self.disks)).stdout
        sealed = self.server.admin.sys.read_seal_status()["sealed"]
        journal = self.host.volward("journal", "--all", "--json").stdout
        return headers, None if sealed else self._versions(), journal, self.host.sh(FILES).stdout

    def _versions(self) -> dict[str, object]:
        kv = self.server.admin.secrets.kv.v2
        folder = f"volward/{self.host.run('hostname').stdout.strip()}"
        names = kv.list_secrets(path=folder, mount_point="kv")["data"]["keys"]
        read = kv.read_secret_metadata
        return {name: read(path=f"{folder}/{name}", mount_point="kv")["data"]["versions"] for name in names}


@contextmanager
def provisioned(host: Host, directory: Path) -> Iterator[Scene]:
    """All is well with it: keys, backups, recovery keys, units."""
    with Server(directory / "vault", authority=Authority(directory / "ca")) as server:
        role = lab_login.allow(server, "lab", policy=lab_login.POLICY + LOOK_UP)
        disks = host.disk("PREFLIGHT-1", 96 * MIB), host.disk("PREFLIGHT-2", 96 * MIB)
        vault = lab_login.deliver(host, server, role, timeout_seconds=5)
        volumes = VOLUMES.format(alone=disks[0].link, both=disks[1].link)
        host.put("/etc/volward/volward.toml", vault + volumes)
        host.sh("volward apply --yes alone both --recovery-fd 3 3>/run/recovery")
        host.secrets += [line.split()[1] for line in host.get("/run/recovery").splitlines()]
        host.run("rm", "/run/recovery")
        yield Scene(host, server, role, disks)


def test_all_is_well_until_the_boot_unit_is_disabled_or_vault_sealed(host: Host, tmp_path: Path) -> None:
    with provisioned(host, tmp_path) as scene:
        calm = scene.checks("--strict", status=PASSED)
        assert {one["result"] for one in calm.values()} == {"passed"}
        of_volumes = {(name, what) for name in ("alone", "both") for what in OF_EACH} | {("both", "key of tpm2")}
        assert set(calm) == of_volumes | {(None, VAULT), (None, "vault on this host")}
        assert calm[None, VAULT]["found"] == "the login works, without an end"

        host.run("systemctl", "disable", "volward.service")
        found = scene.checks(status=NEEDS_A_PERSON)
        for name in ("alone", "both"):
            assert found[name, "boot"]["result"] == "failed"
            assert found[name, "boot"]["resolution"] == f"`volward apply {name}` mends it."
        host.volward("apply", "alone")
        scene.preflight("--strict", status=PASSED)

        scene.server.seal()
        sealed = scene.checks(status=NEEDS_A_PERSON)
        results = {about: one["result"] for about, one in sealed.items() if one["result"] != "passed"}
        assert results == {
            (None, VAULT): "failed",
            ("alone", "key of vault"): "failed",
            ("alone", "keys"): "failed",
            ("both", "key of vault"): "warning",
        }
        assert "Vault is sealed" in sealed["alone", "key of vault"]["found"]
        assert "The next boot needs a person: (host), alone." in scene.preflight(status=NEEDS_A_PERSON).stdout
        scene.preflight("both", status=PASSED)
        scene.preflight("both", "--strict", status=NEEDS_A_PERSON)
        scene.server.unseal()
        told = scene.preflight("--strict", status=PASSED)
        assert "The next boot opens 2 volumes without a person." in told.stdout


def _used_up(scene: Scene) -> str:
    secret_id = scene.role.secret_id(num_uses=1)
    scene.server.client().auth.approle.login(role_id=scene.role.role_id, secret_id=secret_id)
    return secret_id


@pytest.mark.full
def test_a_secret_id_that_is_over_and_one_that_ends_soon(host: Host, tmp_path: Path) -> None:
    with provisioned(host, tmp_path) as scene:
        for secret_id in (scene.role.expired_secret_id(), _used_up(scene)):
            lab_login.seal(host, secret_id)
            found = scene.checks(status=NEEDS_A_PERSON)
            assert found[None, VAULT]["result"] == "failed"
            assert "Vault refuses the login" in found[None, VAULT]["found"]
            assert "deliver a new secret id" in found[None, VAULT]["resolution"]
            assert found["alone", "keys"]["result"] == "failed"
            assert found["both", "key of vault"]["result"] == "warning"
            assert found["both", "key of tpm2"]["result"] == "passed"

        lab_login.seal(host, scene.role.secret_id(ttl="120h"))
        soon = scene.checks(status=PASSED)
        assert soon[None, VAULT]["result"] == "warning"
        assert soon[None, VAULT]["found"] == "the login works; its secret id expires in 4 days"
        scene.preflight("--strict", status=NEEDS_A_PERSON)
        assert "The login to Vault at https://127.0.0.1:8200 ends in" in host.volward("status", "alone").stdout

        lab_login.seal(host, scene.role.secret_id())
        scene.preflight("--strict", status=PASSED)
