"""What rotation of keys in a real Vault leaves behind: no header that an old key opens, no surprise at a boot."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults.volume import opens
from tests.host.test_header_backup import backups, wreck
from tests.host.test_rotation import age
from tests.host.vault_volumes import DATA
from tests.lab.disk import Disk
from tests.lab.host import MIB, Host
from tests.vault import lab_login
from tests.vault.auth import AppRole
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.vault]

LOOK_UP = 'path "auth/approle/role/lab/secret-id/lookup" { capabilities = ["update"] }'


@dataclass
class Scene:
    host: Host
    server: Server
    role: AppRole
    disk: Disk

    def key(self, version: int) -> str:
        """Return a file in the host with that version of the key."""
        path = f"volward/{self.host.run('hostname').stdout.strip()}/data"
        read = self.server.admin.secrets.kv.v2.read_secret_version
        found = read(path=path, version=version, mount_point="kv", raise_on_deleted_version=True)
        key = base64.b64decode(found["data"]["data"]["key"])
        self.host.secrets.append(key)
        self.host.put(f"/run/key.{version}", key, mode=0o600)
        return f"/run/key.{version}"


@contextmanager
def provisioned(host: Host, directory: Path) -> Iterator[Scene]:
    with Server(directory / "vault", authority=Authority(directory / "ca")) as server:
        disk = host.disk("VAULT-ROTATE", 96 * MIB)
        role = lab_login.allow(server, "lab", policy=lab_login.POLICY + LOOK_UP)
        vault = lab_login.deliver(host, server, role)
        host.put("/etc/volward/volward.toml", vault + DATA.format(device=disk.link))
        host.volward("apply", "--yes", "--no-recovery", "data")
        yield Scene(host, server, role, disk)


@pytest.mark.full
@pytest.mark.parametrize("way", ["at once", "when its grace is over"])
def test_no_header_backup_is_opened_by_a_key_that_is_revoked(host: Host, tmp_path: Path, way: str) -> None:
    """FAULTS 17: an old header and an old key open the data, whatever was rotated since."""
    with provisioned(host, tmp_path) as scene:
        device, old = scene.disk.link, scene.key(1)
        before = {one["file"] for one in backups(host)}
        assert before
        assert opens(host, device, old)
        if way == "at once":
            host.volward("rotate", "data", "--now", "--yes")
        else:
            host.volward("rotate", "data")
            assert before <= {one["file"] for one in backups(host)}, "until then the old key is one of the volume's"
            assert opens(host, device, old)
            age(host, device, "retired", 30, provider="vault")
            assert "keyslot 0 is removed" in host.volward("rotate", "--due").stdout

        new = scene.key(2)
        assert (opens(host, device, old), opens(host, device, new)) == (False, True)
        left = backups(host)
        assert before.isdisjoint(one["file"] for one in left)
        assert not any(one["expired"] for one in left)
        for name in before:
            assert host.run("find", "/", "-xdev", "-name", f"*{Path(name).name}*").stdout == "", "a copy is left"
        # Whoever restores what is left gets no header that the old key opens.
        host.volward("close", "data")
        for one in left:
            wreck(host, scene.disk)
            host.volward("header", "restore", "data", "--from", one["file"], "--confirm", "VAULT-ROTATE")
            assert (opens(host, device, old), opens(host, device, new)) == (False, True)
        host.volward("open", "data")


@pytest.mark.full
def test_the_daily_rotation_tells_of_a_login_that_ends_or_has_ended(host: Host, tmp_path: Path) -> None:
    """FAULTS 15: it is noticed when no key is due and nothing needs the login, and not at the reboot."""
    with provisioned(host, tmp_path) as scene:

        def daily() -> str:
            host.run("systemctl", "start", "volward-rotate.service")
            return host.journal("--unit=volward-rotate.service", "--since=@" + since)

        def problems() -> str:
            (volume,) = json.loads(host.volward("status", "--json", "data").stdout)["volumes"]
            return " ".join(problem["what"] for problem in volume["problems"])

        since = host.run("date", "+%s").stdout.strip()
        calm = daily()
        assert "nothing to do" in calm
        assert "warning" not in calm
        assert "login to Vault" not in problems()

        lab_login.seal(host, scene.role.secret_id(ttl="120h"))
        ends = f"The login to Vault at {lab_login.ADDRESS} ends in 4 days."
        assert ends in daily()
        assert ends in problems()

        lab_login.seal(host, scene.role.expired_secret_id())
        assert "deliver a new secret id" in daily()
        assert f"The login to Vault at {lab_login.ADDRESS} has ended." in problems()
        alerts = host.journal("SYSLOG_IDENTIFIER=volward", "VOLWARD_EVENT=login-denied", "VOLWARD_OUTCOME=alert")
        assert "deliver a new secret id" in alerts

        lab_login.seal(host, scene.role.secret_id())
        daily()
        assert "login to Vault" not in problems()
