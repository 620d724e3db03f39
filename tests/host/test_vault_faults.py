"""What goes wrong with a real Vault, met by whole commands on a host: the exit status, and nothing is changed.

One volume whose only provider is Vault, closed. For each fault it is opened and rotated; header, versions in Vault and
journal are what they were, and when the fault is over the volume opens.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import hvac
import pytest
from tests.lab.disk import Disk
from tests.lab.host import MIB, Host
from tests.vault import auth, lab_login, mounts
from tests.vault.certificates import Authority
from tests.vault.fault import Cut, Fault, Forward, Refuse, Silent
from tests.vault.proxy import Proxy
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.vault, pytest.mark.full]

LATER, NO = 69, 77  # try again, and do not (sysexits(3): EX_UNAVAILABLE, EX_NOPERM)
VOLUME = """
[volumes.data]
device = "{device}"
store = "directory"
mount_point = "/srv/volward/data"
keys = ["vault"]
"""
PATH = "volward/{host}/data"
NOTHING = 'path "nothing/*" { capabilities = ["read"] }'


@dataclass
class Scene:
    host: Host
    server: Server
    proxy: Proxy
    disk: Disk
    authority: Authority
    role: auth.AppRole
    path: str

    @property
    def kv(self) -> hvac.api.secrets_engines.KvV2:
        return self.server.admin.secrets.kv.v2

    def seal_secret_id(self, secret_id: str) -> None:
        """Deliver a secret id to the host, in the clear and not wrapped."""
        lab_login.seal(self.host, secret_id)

    def traces(self) -> tuple[str, str, str]:
        """What must not change: the header, the versions in Vault, unfinished operations."""
        header = self.host.sh('head -c 16M "$1" | sha256sum', self.disk.link).stdout
        versions = self.kv.read_secret_metadata(path=self.path, mount_point="kv")["data"]["versions"]
        return header, json.dumps(versions, sort_keys=True), self.host.volward("journal", "--json").stdout


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong: how, how it is mended, and what the commands say of it."""

    begin: Callable[[Scene], object]
    end: Callable[[Scene], object]
    status: int
    told: str


def on_the_way(fault: Fault, status: int, told: str) -> Trouble:
    return Trouble(lambda scene: scene.proxy.become(fault), lambda scene: scene.proxy.become(Forward()), status, told)


def _other_ca(scene: Scene) -> None:
    another = Authority(scene.host.directory / "another-ca", "another")
    scene.host.put("/etc/volward/ca.pem", another.ca_file.read_bytes())


def _expired(scene: Scene) -> None:
    """The name in the address leads to a listener whose certificate is over."""
    scene.host.sh("date --set='+20 years'")


def _allow(scene: Scene, text: str) -> None:
    mounts.policy(scene.server.admin, "lab", text)


def _spend(scene: Scene) -> None:
    """A secret id that can be used once, and was."""
    scene.seal_secret_id(spent := scene.role.secret_id(num_uses=1))
    scene.server.client().auth.approle.login(role_id=scene.role.role_id, secret_id=spent)


def _delete(scene: Scene) -> None:
    scene.kv.delete_secret_versions(path=scene.path, versions=[1], mount_point="kv")


def _undelete(scene: Scene) -> None:
    scene.kv.undelete_secret_versions(path=scene.path, versions=[1], mount_point="kv")


TROUBLES = {
    "refused": on_the_way(Refuse(), LATER, "did not answer"),  # the end of the tunnel in the host still accepts
    "silent": on_the_way(Silent(), LATER, "did not answer"),
    "cut": on_the_way(Cut(after_bytes=2000), LATER, "did not answer"),
    "sealed": Trouble(lambda scene: scene.server.seal(), lambda scene: scene.server.unseal(), LATER, "is sealed"),
    "another CA": Trouble(
        _other_ca,
        lambda scene: scene.host.put("/etc/volward/ca.pem", scene.authority.ca_file.read_bytes()),
        NO,
        "certificate",
    ),
    "expired certificate": Trouble(_expired, lambda scene: scene.host.sh("date --set='-20 years'"), NO, "certificate"),
    "no policy": Trouble(
        lambda scene: _allow(scene, NOTHING), lambda scene: _allow(scene, lab_login.POLICY), NO, "policy"
    ),
    "used-up secret id": Trouble(_spend, lambda scene: scene.seal_secret_id(scene.role.secret_id()), NO, "secret id"),
    "deleted version": Trouble(_delete, _undelete, NO, "undelete"),
}


def test_each_fault_has_its_status_and_changes_nothing(host: Host, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    with Server(tmp_path / "vault", authority=authority) as server, Proxy(server.address) as proxy:
        disk = host.disk("FAULTS-1", 96 * MIB)
        role = lab_login.allow(server, "lab")
        path = PATH.format(host=host.run("hostname").stdout.strip())
        scene = Scene(host, server, proxy, disk, authority, role, path)
        vault = lab_login.deliver(host, server, role, address=proxy.address, timeout_seconds=5)
        host.put("/etc/volward/volward.toml", vault + VOLUME.format(device=disk.link))
        host.volward("apply", "--yes", "--no-recovery", "data")
        key = scene.kv.read_secret_version(path=path, mount_point="kv", raise_on_deleted_version=True)
        host.secrets.append(key["data"]["data"]["key"].encode())
        host.volward("close", "data")

        for name, trouble in TROUBLES.items():
            before = scene.traces()
            trouble.begin(scene)
            opened = host.volward("open", "--timeout", "6", "data", ok=None)
            rotated = host.volward("rotate", "data", ok=None)
            trouble.end(scene)
            for done in (opened, rotated):
                assert done.status == trouble.status, f"{name}: {done.status}\n{done.stderr}"
                assert trouble.told in done.stderr, f"{name}: {done.stderr}"
                assert "Traceback" not in done.stderr
            assert host.run("dmsetup", "ls").stdout.count("volward-data") == 0
            assert scene.traces() == before, name
            alerts = host.journal("SYSLOG_IDENTIFIER=volward", "VOLWARD_OUTCOME=alert")
            assert ("volward" in alerts) or trouble.status == LATER, f"{name}: a denial raises an alert"
            assert "open and mounted (key: vault)" in host.volward("open", "data").stdout, name
            host.volward("close", "data")
