"""PostgreSQL at a boot without the key: it never starts on an empty directory, and by itself once the key is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.host.test_service import below, said, until
from tests.lab.databases import POSTGRES
from tests.lab.host import MIB, Host
from tests.vault import lab_login
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.full, pytest.mark.vault]

VOLUMES = f"""
[volumes.pg]
device = "{{pg}}"
store = "postgres"
mount_point = "{POSTGRES.mount_point}"
keys = ["vault"]
[volumes.jobs]
device = "{{work}}"
store = "directory"
mount_point = "/srv/volward/jobs"
keys = ["vault"]
consumers = ["worker.service"]
"""
# A program of somebody's own, which makes its directory when it is not there.
WORKER = """[Service]
ExecStart=/bin/sh -c 'mkdir -p /srv/volward/jobs/spool && while date >/srv/volward/jobs/spool/beat; do sleep 1; done'
[Install]
WantedBy=multi-user.target
"""
UNITS = (POSTGRES.unit, "worker.service")
MOUNT_POINTS = (POSTGRES.mount_point, "/srv/volward/jobs")
TRIES = (
    "pg_ctlcluster --skip-systemctl-redirect 17 main start",
    f"runuser --user postgres -- /usr/lib/postgresql/17/bin/initdb --pgdata {POSTGRES.directory}",
    f"/usr/lib/postgresql/17/bin/initdb --pgdata {POSTGRES.directory}",
    f"mkdir -p {POSTGRES.directory}",
    "sh -c 'mkdir -p /srv/volward/jobs/spool; date >/srv/volward/jobs/spool/beat'",
)


def test_it_starts_when_the_key_arrives_and_not_before(host: Host, tmp_path: Path) -> None:
    with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
        pg, work = host.disk("BOOT-PG", 320 * MIB), host.disk("BOOT-WORK", 96 * MIB)
        host.put("/etc/systemd/system/worker.service", WORKER)
        role = lab_login.allow(server, "lab")
        vault = lab_login.deliver(host, server, role, wrapped=True, timeout_seconds=30)
        host.put("/etc/volward/volward.toml", vault + VOLUMES.format(pg=pg.link, work=work.link))
        host.volward("apply", "--yes", "pg", "jobs", "--no-recovery", timeout=600)
        POSTGRES.start(host)
        POSTGRES.write_rows(host, "kept")
        host.run("systemctl", "enable", "--now", "worker.service")
        # No wait of systemd's own ends a start job that waits for a device: what does is volward's.
        host.put("/etc/systemd/system.conf.d/wait.conf", "[Manager]\nDefaultDeviceTimeoutSec=infinity\n")
        host.sh("sync")

        host.reboot()
        host.wait_until_booted()
        assert host.run("systemctl", "list-jobs", "--no-legend").stdout == "", "no start job goes on waiting"
        assert host.run("systemctl", "is-active", "volward.service").stdout == "active\n"
        for unit in UNITS:
            assert host.run("systemctl", "is-active", unit, ok=(3,)).stdout == "inactive\n"
            started = host.run("journalctl", "--no-pager", "--boot", f"--unit={unit}").stdout
            assert f"Dependency failed for {unit}" in started, started
        assert host.run("pgrep", "--list-full", "--exact", "postgres", ok=(1,)).stdout == ""

        # Neither does somebody who wants to help, also as root, get anything below a mount point.
        assert "A dependency job for" in host.run("systemctl", "start", *UNITS, ok=(1,)).stderr
        for each in TRIES:
            assert host.sh(each, ok=None).status != 0, each
        assert below(host, MOUNT_POINTS) == "", "something was written below a mount point"

        lab_login.reach(host, server.address)
        started = " && ".join(f"systemctl is-active --quiet {unit}" for unit in UNITS)
        until(host, started, seconds=600)
        for unit in UNITS:
            said(host, f"started {unit}, which waited for it")
        until(host, "runuser -u postgres -- psql -c 'SELECT 1'")
        assert POSTGRES.rows(host) == "1000 kept"
        until(host, "find /srv/volward/jobs/spool/beat -newermt '-5 seconds' | grep -q beat")
        assert below(host, MOUNT_POINTS) == ""
