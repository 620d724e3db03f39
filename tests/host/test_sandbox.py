"""Each operation of volward's services inside its final sandbox: open, mount, rotate, enrol, back up, prove, check."""

from __future__ import annotations

import json

import pytest
from tests.faults.volume import MOUNT_POINT, configure
from tests.host.test_service import said, until
from tests.lab.host import MIB, Host

pytestmark = pytest.mark.lab


def keyslots(host: Host, device: str) -> set[str]:
    return set(json.loads(host.run("cryptsetup", "luksDump", "--dump-json-metadata", device).stdout)["keyslots"])


def does(host: Host, service: str) -> None:
    done = host.run("systemctl", "start", service, ok=None, timeout=600)
    assert done.status == 0, host.run("journalctl", "--no-pager", f"--unit={service}", "--lines=40").stdout


def test_every_service_does_its_work_in_its_sandbox(host: Host) -> None:
    disk = host.disk("SANDBOX-1", 96 * MIB)
    host.tpm.extend(7)
    configure(host, disk.link, keys='["tpm2", "credential"]', more='rotation = { max_age = "1 day" }')
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    until(host, "systemctl is-active --quiet volward.service")

    host.volward("close", "data")
    host.run("volward", "reload")
    until(host, f"mountpoint -q {MOUNT_POINT}")
    said(host, "data: open and in use (key: tpm2)")

    before = keyslots(host, disk.link)
    host.sh("systemctl stop 'volward-*.timer'; date --set='+2 days'")  # or they would all elapse now
    does(host, "volward-rotate.service")
    assert keyslots(host, disk.link) > before, "the old keyslots stay for the grace period"

    host.sh("rm --force /var/lib/volward/header-backups/data.*")
    does(host, "volward-header-backup.service")
    assert host.sh("ls /var/lib/volward/header-backups").stdout.count(".header") == 1
    does(host, "volward-preflight.service")


@pytest.mark.full
def test_a_file_and_scratch_space_are_opened_from_within_it(host: Host) -> None:
    tmp, swap = host.disk("SANDBOX-2", 96 * MIB), host.disk("SANDBOX-3", 96 * MIB)
    host.put(
        "/etc/volward/volward.toml",
        f"""
[defaults.credential]
seal = "host"
[volumes.image]
device = "file:/var/lib/images/image.img"
size = "64 MiB"
store = "directory"
mount_point = "/srv/volward/image"
[volumes.tmp]
device = "{tmp.link}"
store = "scratch"
mount_point = "/srv/volward/tmp"
[volumes.swap]
device = "{swap.link}"
store = "scratch"
file_system = "swap"
""",
    )
    host.run("mkdir", "/var/lib/images")
    host.volward("apply", "--yes", "image", "tmp", "swap", "--no-recovery", timeout=600)
    until(host, "systemctl is-active --quiet volward.service")
    mode = host.run("stat", "--format=%a %U", "/srv/volward/tmp").stdout.strip()

    host.volward("close", "--all", timeout=600)
    host.run("volward", "reload")
    until(
        host, "mountpoint -q /srv/volward/image && mountpoint -q /srv/volward/tmp && swapon --noheadings | grep -q dm-"
    )
    until(host, f"test \"$(stat --format='%a %U' /srv/volward/tmp)\" = '{mode}'")
    host.sh("echo written >/srv/volward/image/canary")

    # What it opened from within its own mount namespace is the same volume to everybody else, also after a restart.
    assert "image" in host.volward("status", "--check", "image").stdout
    host.run("systemctl", "restart", "volward.service", timeout=300)
    host.volward("close", "image")
    host.volward("open", "image")
    assert host.get("/srv/volward/image/canary") == b"written\n"
