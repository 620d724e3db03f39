"""Boots and shutdowns: every volume is there after each, its consumers run, and nothing was written below a mount."""

from __future__ import annotations

import os

import pytest
from tests.host.boots import Boots
from tests.host.test_service import below, until, writer
from tests.lab.databases import POSTGRES
from tests.lab.host import MIB, Host

pytestmark = pytest.mark.lab

BOOTS = int(os.environ.get("VOLWARD_BOOTS", "5"))
SEALED = """
[defaults.credential]
seal = "host"
"""
VOLUME = """
[volumes.{name}]
device = "{device}"
store = "directory"
mount_point = "/srv/volward/{name}"
keys = ["credential"]
{more}
"""


def configure(host: Host, *volumes: str) -> None:
    host.put("/etc/volward/volward.toml", SEALED + "".join(volumes))


def logged(host: Host, *match: str) -> str:
    """The journal of the boot before this one."""
    return host.run("journalctl", "--no-pager", "--boot=-1", "--output=short-monotonic", *match).stdout


def test_boot_after_boot_everything_is_there(host: Host) -> None:
    """A disk and a file, with a consumer on the disk; the same number of times in a row without one miss."""
    disk = host.disk("BOOT-1", 96 * MIB)
    configure(
        host,
        VOLUME.format(name="data", device=disk.link, more='consumers = ["writer.service"]'),
        VOLUME.format(name="image", device="file:/var/lib/images/image.img", more='size = "64 MiB"'),
    )
    host.run("mkdir", "/var/lib/images")
    writer(host)
    host.volward("apply", "--yes", "data", "image", "--no-recovery", timeout=600)
    boots = Boots(BOOTS)
    try:
        for number in range(BOOTS):
            host.reboot()
            _expect_all_there(host, f"boot {number + 1} of {BOOTS}")
            boots.well += 1
            if number:
                _expect_an_orderly_shutdown(host)
                boots.shutdowns += 1
    finally:
        boots.write()


def _expect_all_there(host: Host, boot: str) -> None:
    state = host.wait_until_booted()
    failed = host.run("systemctl", "--failed", "--no-legend", "--plain").stdout
    assert (state, failed) == ("running", ""), f"{boot}: {state}\n{failed}"
    for name in ("data", "image"):
        host.run("mountpoint", "-q", f"/srv/volward/{name}")
    until(host, "systemctl is-active --quiet writer.service && test -s /srv/volward/data/beat")
    now = host.journal("--boot=0")
    assert "Dependency failed for" not in now and "which waited for it" not in now, f"{boot}: it was late\n{now}"
    assert below(host, ["/srv/volward/data", "/srv/volward/image"]) == ""


def _expect_an_orderly_shutdown(host: Host) -> None:
    before = logged(host)
    assert "Failed unmounting" not in before, before[-4000:]
    for name in ("data", "image"):
        closing = logged(host, f"--unit=volward-mapping-{name}.service")
        assert f"Stopped volward-mapping-{name}.service" in closing, closing
        assert "Failed with result" not in closing, closing


@pytest.mark.full
def test_a_shutdown_with_an_open_transaction_is_an_orderly_one(host: Host) -> None:
    disk = host.disk("SHUT-1", 512 * MIB)
    configure(host, VOLUME.format(name="pg", device=disk.link, more="").replace('"directory"', '"postgres"'))
    host.volward("apply", "--yes", "pg", "--no-recovery", timeout=600)
    POSTGRES.start(host)
    POSTGRES.write_rows(host, "kept")
    transaction = "BEGIN; UPDATE patients SET name = 'lost'; SELECT pg_sleep(3600);"
    host.run(
        "systemd-run", "--quiet", "--unit=open-transaction", "--uid=postgres", "psql", "--command", transaction
    )  # fmt: skip
    until(host, 'runuser -u postgres -- psql -At -c "SELECT query FROM pg_stat_activity" | grep -q pg_sleep')

    host.run("truncate", "--size=0", "/var/log/postgresql/postgresql-17-main.log")
    host.reboot()
    host.wait_until_booted()

    until(host, "systemctl is-active --quiet postgresql@17-main.service")
    assert POSTGRES.rows(host) == "1000 kept"
    said = host.sh("cat /var/log/postgresql/postgresql-17-main.log").stdout
    assert "database system was shut down at" in said
    assert "not properly shut down" not in said
    lines = logged(host).splitlines()
    order = [
        next(number for number, line in enumerate(lines) if words in line)
        for words in ("Stopped postgresql@17-main", "Unmounted srv-volward-pg.mount", "Stopped volward-mapping-pg")
    ]
    assert order == sorted(order), "the consumers first, then the mount, then the mapping"


@pytest.mark.full
def test_what_does_not_let_go_at_shutdown_is_named(host: Host) -> None:
    disk = host.disk("BUSY-1", 96 * MIB)
    configure(host, VOLUME.format(name="data", device=disk.link, more=""))
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    # Tied to nothing, and deaf to SIGTERM: it holds the mount until the very end.
    holder = "trap '' TERM; exec 3>/srv/volward/data/held; while :; do sleep 1; done"
    properties = [
        "--property=DefaultDependencies=no",
        "--property=SendSIGKILL=no",
        "--property=TimeoutStopSec=infinity",
    ]
    host.run("systemd-run", "--quiet", "--unit=deaf", *properties, "bash", "-c", holder)
    until(host, "test -e /srv/volward/data/held")

    host.reboot(timeout=600)
    host.wait_until_booted()

    host.run("mountpoint", "-q", "/srv/volward/data")
    named = logged(host, "--unit=volward-mapping-data.service")
    assert "data: process" in named and "bash" in named, named + logged(host)[-6000:]
