"""What goes wrong with a real Vault, met by whole commands on a host: the exit status, and nothing is changed.

One volume whose only provider is Vault, closed. For each fault it is opened and rotated; header, versions in Vault and
journal stay as they were when the fault began, and when it is over the volume opens.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hvac
import pytest
from tests.host.vault_volumes import DATA, NOTHING
from tests.lab.disk import Disk
from tests.lab.host import MIB, Host
from tests.vault import auth, lab_login, mounts
from tests.vault.certificates import Authority
from tests.vault.fault import Cut, Fault, Forward, Refuse, Silent, Slow
from tests.vault.process import PATIENCE_SECONDS
from tests.vault.proxy import Proxy
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.vault, pytest.mark.full]

LATER, NO = 69, 77  # try again, and do not (sysexits(3): EX_UNAVAILABLE, EX_NOPERM)
PATH = "volward/{host}/data"


@dataclass
class Scene:
    host: Host
    server: Server
    proxy: Proxy
    disk: Disk
    role: auth.AppRole
    path: str
    secret: dict[str, Any] = field(default_factory=dict)  # what Vault keeps as the volume's key

    @property
    def kv(self) -> hvac.api.secrets_engines.KvV2:
        return self.server.admin.secrets.kv.v2

    def traces(self) -> tuple[str, str, str]:
        """What must not change: the header, the versions in Vault, unfinished operations."""
        header = self.host.sh('head -c 16M "$1" | sha256sum', self.disk.link).stdout
        return header, self._versions(), self.host.volward("journal", "--json").stdout

    def _versions(self) -> str:
        try:
            metadata = self.kv.read_secret_metadata(path=self.path, mount_point="kv")
        except (hvac.exceptions.InvalidPath, hvac.exceptions.VaultDown) as none:
            return type(none).__name__
        return json.dumps(metadata["data"]["versions"], sort_keys=True)

    def keep(self, secret: dict[str, Any]) -> None:
        """Have this as the one version of the volume's key, as after somebody wrote it from nothing."""
        self.take_away()
        self.kv.create_or_update_secret(self.path, secret=secret, cas=0, mount_point="kv")

    def take_away(self) -> None:
        self.kv.delete_metadata_and_all_versions(self.path, mount_point="kv")

    def give_back(self) -> None:
        """Have the key there as it was made, as from a snapshot of Vault."""
        self.keep(self.secret)

    def move(self, old: str, new: str) -> None:
        """Move an engine with all that is in it, and wait until it has arrived."""
        admin = self.server.admin
        moving = admin.sys.move_backend(old, new)["data"]["migration_id"]
        limit = time.monotonic() + PATIENCE_SECONDS
        while admin.read(f"sys/remount/status/{moving}")["data"]["migration_info"]["status"] != "success":
            assert time.monotonic() < limit, f"{old} is still not at {new}"
            time.sleep(0.1)


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong: how, how it is mended, and what the commands say of it."""

    begin: Callable[[Scene], object]
    end: Callable[[Scene], object]
    status: int
    told: str
    told_by_rotation: str = ""  # where it meets the fault at another question


def on_the_way(fault: Fault, status: int, told: str) -> Trouble:
    return Trouble(lambda scene: scene.proxy.become(fault), lambda scene: scene.proxy.become(Forward()), status, told)


def _other_ca(scene: Scene) -> None:
    another = Authority(scene.host.directory / "another-ca", "another")
    scene.host.put(lab_login.CA_FILE, another.ca_file.read_bytes())


def _years(scene: Scene, how_many: str) -> None:
    """Set the host's clock: the server's certificate is over then."""
    scene.host.sh('date --set="$1 years"', how_many)


def _allow(scene: Scene, text: str) -> None:
    mounts.policy(scene.server.admin, "lab", text)


def _spend(scene: Scene) -> None:
    """A secret id that can be used once, and was."""
    lab_login.seal(scene.host, spent := scene.role.secret_id(num_uses=1))
    scene.server.client().auth.approle.login(role_id=scene.role.role_id, secret_id=spent)


def _expire(scene: Scene) -> None:
    lab_login.seal(scene.host, scene.role.expired_secret_id())


def _new_secret_id(scene: Scene) -> None:
    lab_login.seal(scene.host, scene.role.secret_id())


def _delete(scene: Scene) -> None:
    scene.kv.delete_secret_versions(path=scene.path, versions=[1], mount_point="kv")


def _undelete(scene: Scene) -> None:
    scene.kv.undelete_secret_versions(path=scene.path, versions=[1], mount_point="kv")


def _destroy(scene: Scene) -> None:
    scene.kv.destroy_secret_versions(path=scene.path, versions=[1], mount_point="kv")


def _key_of_another_volume(scene: Scene) -> None:
    another = base64.b64encode(os.urandom(64)).decode()
    scene.keep({**scene.secret, "volume": "other", "key": another})


TROUBLES = {
    "refused": on_the_way(Refuse(), LATER, "did not answer"),  # the end of the tunnel in the host still accepts
    "silent": on_the_way(Silent(), LATER, "did not answer"),
    "slow": on_the_way(Slow(bytes_per_second=10), LATER, "did not answer"),
    "cut": on_the_way(Cut(after_bytes=2000), LATER, "did not answer"),
    "sealed": Trouble(lambda scene: scene.server.seal(), lambda scene: scene.server.unseal(), LATER, "is sealed"),
    "another CA": Trouble(_other_ca, lambda scene: lab_login.trust(scene.host, scene.server), NO, "certificate"),
    "expired certificate": Trouble(
        lambda scene: _years(scene, "+20"), lambda scene: _years(scene, "-20"), NO, "certificate"
    ),
    "no policy": Trouble(
        lambda scene: _allow(scene, NOTHING), lambda scene: _allow(scene, lab_login.POLICY), NO, "policy"
    ),
    "used-up secret id": Trouble(_spend, _new_secret_id, NO, "secret id"),
    "expired secret id": Trouble(_expire, _new_secret_id, NO, "secret id"),
    "no such mount": Trouble(
        lambda scene: scene.move("kv", "away"), lambda scene: scene.move("away", "kv"), NO, "mount"
    ),
    "no such path": Trouble(Scene.take_away, Scene.give_back, NO, "no version 1", "lost versions"),
    "deleted version": Trouble(_delete, _undelete, NO, "undelete"),
    "destroyed version": Trouble(_destroy, Scene.give_back, NO, "destroyed"),
    "malformed content": Trouble(
        lambda scene: scene.keep({**scene.secret, "key": "####"}), Scene.give_back, NO, "does not hold a key"
    ),
    "key of another volume": Trouble(_key_of_another_volume, Scene.give_back, NO, "keyslot"),
}


def test_each_fault_has_its_status_and_changes_nothing(host: Host, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    with Server(tmp_path / "vault", authority=authority) as server, Proxy(server.address) as proxy:
        disk = host.disk("FAULTS-1", 96 * MIB)
        role = lab_login.allow(server, "lab")
        path = PATH.format(host=host.run("hostname").stdout.strip())
        scene = Scene(host, server, proxy, disk, role, path)
        vault = lab_login.deliver(host, server, role, address=proxy.address, timeout_seconds=5)
        host.put("/etc/volward/volward.toml", vault + DATA.format(device=disk.link))
        host.volward("apply", "--yes", "--no-recovery", "data")
        found = scene.kv.read_secret_version(path=path, mount_point="kv", raise_on_deleted_version=True)
        scene.secret = found["data"]["data"]
        host.secrets.append(base64.b64decode(scene.secret["key"]))
        host.volward("close", "data")

        for name, trouble in TROUBLES.items():
            trouble.begin(scene)
            before = scene.traces()
            alerts = _alerts(host)
            opened = host.volward("open", "--timeout", "6", "data", ok=None)
            rotated = host.volward("rotate", "data", ok=None)
            assert scene.traces() == before, name
            for done, told in ((opened, trouble.told), (rotated, trouble.told_by_rotation or trouble.told)):
                assert done.status == trouble.status, f"{name}: {done.status}\n{done.stderr}"
                assert told in done.stderr, f"{name}: {done.stderr}"
                assert "Traceback" not in done.stderr
            assert host.run("dmsetup", "ls").stdout.count("volward-data") == 0
            assert (_alerts(host) > alerts) is (trouble.status == NO), f"{name}: denials raise an alert, and only they"
            trouble.end(scene)
            assert "open and mounted (key: vault)" in host.volward("open", "data").stdout, name
            host.volward("close", "data")


def _alerts(host: Host) -> int:
    return host.journal("SYSLOG_IDENTIFIER=volward", "VOLWARD_OUTCOME=alert").count("volward")
