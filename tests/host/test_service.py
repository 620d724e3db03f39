"""The daemon on a real kernel: it boots right, waits right, and recovers by itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.faults.volume import configure
from tests.lab.host import MIB, Host
from tests.vault import lab_login
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.full]

LATE = """
[volumes.data]
device = "{device}"
store = "directory"
mount_point = "/srv/volward/data"
keys = ["vault"]
consumers = ["writer.service"]
"""
MAIN_PROCESS = "systemctl show --property=MainPID --value volward.service"
WRITER = """[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'systemd-notify --ready; while date +%%s >/srv/volward/data/beat; do sleep 1; done; exit 1'
[Install]
WantedBy=multi-user.target
"""


def until(host: Host, script: str, *, seconds: float = 240) -> None:
    """Wait until a script in the host ends with 0."""
    end = time.monotonic() + seconds
    while host.sh(script, ok=None).status:
        assert time.monotonic() < end, f"not within {seconds} s: {script}\n{journal(host)}"
        time.sleep(1)


def journal(host: Host) -> str:
    return host.run("journalctl", "--no-pager", "--unit=volward.service", "--lines=60").stdout


def said(host: Host, text: str, *, seconds: float = 60) -> None:
    """Wait until the daemon, or a worker of it, has written this to the journal in this boot."""
    end = time.monotonic() + seconds
    while text not in (lines := host.run("journalctl", "--no-pager", "--boot", "--unit=volward.service").stdout):
        assert time.monotonic() < end, f"nobody said {text!r}:\n{lines[-4000:]}"
        time.sleep(1)


def status(host: Host) -> str:
    """The line that the daemon tells systemd."""
    return host.run("systemctl", "show", "--property=StatusText", "--value", "volward.service").stdout


def main_process(host: Host) -> int:
    return int(host.sh(MAIN_PROCESS).stdout)


def below(host: Host, mount_points: Sequence[str]) -> str:
    """What lies in these directories of the root file system, below what is mounted there."""
    script = (
        'mkdir -p /run/below; mount --bind / /run/below; for each; do ls -A "/run/below$each"; done; umount /run/below'
    )
    return host.sh(script, *mount_points).stdout


def start(host: Host) -> None:
    host.run("systemctl", "start", "volward.service", timeout=300)


def writer(host: Host) -> None:
    host.put("/etc/systemd/system/writer.service", WRITER)
    host.run("systemctl", "enable", "writer.service")


def test_a_key_that_comes_minutes_after_the_boot_starts_everything(host: Host, tmp_path: Path) -> None:
    with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
        disk = host.disk("LATE", 96 * MIB)
        writer(host)
        role = lab_login.allow(server, "lab")
        vault = lab_login.deliver(host, server, role, wrapped=True, timeout_seconds=30)
        host.put("/etc/volward/volward.toml", vault + LATE.format(device=disk.link))
        host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
        host.sh("sync")

        host.reboot()
        host.wait_until_booted()  # without Vault: the host is up, and the writer's start job has ended
        assert host.run("systemctl", "is-active", "volward.service").stdout == "active\n"
        assert host.run("systemctl", "is-active", "writer.service", ok=(3,)).stdout == "inactive\n"
        until(host, "systemctl show --property=StatusText volward.service | grep -F 'data is tried again'")
        assert below(host, ["/srv/volward/data"]) == "", "something was written below the mount point"

        lab_login.reach(host, server.address)
        until(host, "systemctl is-active writer.service && mountpoint -q /srv/volward/data")
        said(host, "started writer.service, which waited for it")


def test_a_disk_is_pulled_and_put_back(host: Host) -> None:
    disk = host.disk("PULLED", 96 * MIB)
    configure(host, disk.link, more='consumers = ["writer.service"]\ncredential = { seal = "host" }')
    writer(host)
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    start(host)
    host.run("systemctl", "start", "writer.service")
    until(host, "test -s /srv/volward/data/beat && systemctl is-active volward.service")

    disk.unplug()
    until(host, "! mountpoint -q /srv/volward/data && ! test -e /dev/mapper/volward-data")
    host.run("systemctl", "is-active", "writer.service", ok=(3,))
    disk.replug()
    until(host, "systemctl is-active writer.service && mountpoint -q /srv/volward/data")
    said(host, "its device went away while it was open")


def test_stopping_and_killing_it_closes_nothing(host: Host) -> None:
    disk = host.disk("STAYS", 96 * MIB)
    configure(host, disk.link, more='credential = { seal = "host" }')
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    start(host)
    host.sh("echo kept >/srv/volward/data/canary")

    before = main_process(host)
    host.run("systemctl", "kill", "--signal=KILL", "volward.service")
    until(
        host, f"pid=$({MAIN_PROCESS}); [ $pid -ne 0 ] && [ $pid -ne {before} ] && systemctl is-active volward.service"
    )
    host.run("mountpoint", "-q", "/srv/volward/data")
    host.run("systemctl", "restart", "volward.service", timeout=300)
    host.run("systemctl", "stop", "volward.service", timeout=300)
    assert host.get("/srv/volward/data/canary") == b"kept\n"

    start(host)
    host.volward("close", "data")
    time.sleep(10)
    host.run("mountpoint", "-q", "/srv/volward/data", ok=(32,))
    said(host, "somebody closed it")
