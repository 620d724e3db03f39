"""From a blank disk to a mounted, encrypted directory, and back after a reboot."""

from __future__ import annotations

import json

import pytest
from tests.lab.host import Host

MIB = 1024 * 1024
CANARY = b"volward-canary-5f1c0e7d"


@pytest.mark.measured
def test_a_blank_disk_becomes_a_mounted_volume_and_is_there_after_a_reboot(host: Host) -> None:
    disk = host.disk("DATA-1", 256 * MIB)
    host.put(
        "/etc/volward/volward.toml",
        f"""
[volumes.data]
device = "{disk.link}"
store = "directory"
mount_point = "/srv/volward/data"
keys = ["credential"]
""",
    )

    done = host.volward("apply", "--yes", "data")

    assert "data: provisioned, open and mounted" in done.stdout
    host.sh('printf "%s" "$1" > /srv/volward/data/canary; sync', CANARY.decode())
    again = host.volward("apply", "data")
    assert "nothing to do, because data is provisioned, open and mounted" in again.stdout
    assert host.volward("plan", "--detailed-exitcode").status == 0

    host.reboot()
    host.run("systemctl", "start", "volward.service")

    assert host.get("/srv/volward/data/canary") == CANARY
    assert not disk.contains(CANARY)
    plans = json.loads(host.volward("plan", "--json").stdout)
    assert plans == [plan for plan in plans if not plan["actions"]]
