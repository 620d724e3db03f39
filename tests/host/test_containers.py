"""Containers whose data are on a volume: none starts on an empty directory, and none waits for another one's volume."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.host.test_service import below, said, until
from tests.lab.host import MIB, Host
from tests.vault import lab_login
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.full]

VOLUMES = """
[volumes.data]
device = "{device}"
store = {{ kind = "directory", path = "app", owner = "root", group = "root" }}
mount_point = "/srv/volward/data"
keys = ["vault"]
consumers = ["container:app"]
"""
IMAGE = """
systemctl start docker.service
mkdir -p /run/image/bin && cp "$(command -v busybox)" /run/image/bin/busybox
ln -s busybox /run/image/bin/sh
tar --create --directory=/run/image . | docker import - lab:1
"""
BEAT = "while :; do /bin/busybox date >/data/beat; /bin/busybox sleep 1; done"


def create(host: Host, name: str, directory: str) -> None:
    words = ["--restart", "unless-stopped", "--network", "none", "--volume", f"{directory}:/data"]
    host.run("docker", "run", "--detach", "--name", name, *words, "lab:1", "/bin/sh", "-c", BEAT)


def runs(name: str) -> str:
    return f"test \"$(docker container inspect --format '{{{{.State.Running}}}}' {name})\" = true"


def test_a_container_waits_for_its_volume_and_no_other_one_does(host: Host, tmp_path: Path) -> None:
    with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
        disk = host.disk("CONT-1", 96 * MIB)
        role = lab_login.allow(server, "lab")
        vault = lab_login.deliver(host, server, role, wrapped=True, timeout_seconds=30)
        host.put("/etc/volward/volward.toml", vault + VOLUMES.format(device=disk.link))
        host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
        host.sh(IMAGE, timeout=600)
        host.run("systemctl", "enable", "docker.service")
        create(host, "app", "/srv/volward/data/app")
        create(host, "other", "/var/lib/other")
        until(host, "test -s /srv/volward/data/app/beat")

        host.reboot()  # without Vault
        host.wait_until_booted()
        until(host, "systemctl is-active --quiet docker.service && " + runs("other"))
        assert host.sh(runs("app"), ok=(1,)).status == 1
        assert below(host, ["/srv/volward/data"]) == "", "something was written below the mount point"

        lab_login.reach(host, server.address)
        until(host, runs("app"))
        said(host, "container app is started: its start failed while its volume was away")
        until(host, "find /srv/volward/data/app/beat -newermt '-5 seconds' | grep -q beat")

        disk.unplug()
        until(host, "! test -e /dev/mapper/volward-data && " + runs("other"))
        assert host.sh(runs("app"), ok=(1,)).status == 1
        disk.replug()
        until(host, runs("app"))
        said(host, "container app is started: it was stopped because its volume vanished")
        assert below(host, ["/srv/volward/data"]) == ""

        host.run("docker", "container", "stop", "app")
        host.volward("close", "data")
        host.volward("open", "data")
        host.sh("sleep 40")  # the daemon has seen it, and looked who waited
        assert host.sh(runs("app"), ok=(1,)).status == 1, "what somebody stopped stays stopped"

        host.run("docker", "container", "start", "app")  # its shell does not heed SIGTERM: Docker waits ten seconds
        until(host, runs("app"))
        host.reboot()
        before = host.journal("--boot=-1")
        closing = host.journal("--boot=-1", "--unit=volward-mapping-data.service")
        assert "Stopped volward-mapping-data.service" in closing, closing
        assert "Failed with result" not in closing and "Failed unmounting" not in before, before[-4000:]
