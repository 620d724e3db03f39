"""Real databases on encrypted volumes: they come up by themselves after a reboot, never start on an empty
directory, and leave nothing readable on the raw device."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.lab import databases
from tests.lab.databases import ALL, POSTGRES_MOVED, QDRANT, REDIS, Database
from tests.lab.disk import Disk
from tests.lab.host import MIB, Host

UNITS = [one.unit for one in ALL]
NAMES = [one.name for one in ALL]
BOOT_SECONDS = 900  # of a busy machine


def canary(one: Database) -> str:
    return f"volward-canary-of-{one.name}-8e4b1f"


@pytest.mark.lab
def test_databases_on_disks(host: Host) -> None:
    disks = {
        "pg": host.disk("PG-1", 320 * MIB),
        "redis": host.disk("REDIS-1", 352 * MIB),
        "qdrant": host.disk("QDRANT-1", 384 * MIB),
    }
    control = host.disk("CONTROL-1", 640 * MIB)
    links = {name: disk.link for name, disk in disks.items()}

    provision(host, databases.configuration(links, {"redis": 'file_system = "xfs"\n'}))

    modes = host.run("stat", "--format=%U:%G %a %n", *(one.directory for one in ALL)).stdout.splitlines()
    assert modes == [
        "postgres:postgres 700 /srv/volward/pg/17/main",
        "redis:redis 750 /srv/volward/redis/redis",
        "qdrant:qdrant 700 /srv/volward/qdrant/storage",
    ]
    fill(host, *ALL)
    no_database_starts_on_an_empty_directory(host)
    a_database_stops_with_its_mount(host)
    everything_is_there_after_a_reboot(host)

    host.run("systemctl", "stop", *UNITS)
    leave_in_the_clear(host, control)
    host.volward("close", "--all")
    for one in ALL:
        needle = canary(one).encode()
        assert control.contains(needle), f"the search would not find {one.name} in the clear"
        assert not disks[one.name].contains(needle)


@pytest.mark.full
def test_databases_on_files(host: Host) -> None:
    images = {name: f"/var/lib/volward/images/{name}.img" for name in NAMES}
    sizes = {"pg": 320, "redis": 96, "qdrant": 384}
    devices = {name: f"file:{image}" for name, image in images.items()}

    provision(host, databases.configuration(devices, {name: f'size = "{mib} MiB"\n' for name, mib in sizes.items()}))

    assert host.run("stat", "--format=%U %a %s", images["redis"]).stdout.strip() == f"root 600 {96 * MIB}"
    host.run("pg_ctlcluster", "17", "main", "start")  # a cluster that is in use moves in
    fill(host, POSTGRES_MOVED, REDIS, QDRANT)
    everything_is_there_after_a_reboot(host)

    host.run("systemctl", "stop", *UNITS)
    for one in ALL:
        # The same search of the same files, first through the mount, then in the image below it.
        assert files_with(host, canary(one), one.directory)
    host.volward("close", "--all")
    for one in ALL:
        assert not files_with(host, canary(one), images[one.name])


def provision(host: Host, configuration: str) -> None:
    databases.install_qdrant(host)
    host.put("/etc/volward/volward.toml", configuration)
    done = host.volward("apply", "--yes", *NAMES)
    assert done.stdout.count(": provisioned, open and mounted") == len(NAMES)


def fill(host: Host, *stores: Database) -> None:
    for one in stores:
        one.start(host)
        one.write_rows(host, canary(one))
        host.sh(one.settle)
    assert rows(host) == all_rows()


def rows(host: Host) -> Mapping[str, str]:
    return {one.name: one.rows(host) for one in ALL}


def all_rows() -> Mapping[str, str]:
    return {one.name: f"{databases.ROWS} {canary(one)}" for one in ALL}


def no_database_starts_on_an_empty_directory(host: Host) -> None:
    refused = host.volward("close", *NAMES, ok=(75,))
    assert "/usr/lib/postgresql/17/bin/postgres -D /srv/volward/pg/17/main" in refused.stderr
    assert "(redis-server.service, working directory" in refused.stderr
    assert rows(host) == all_rows()

    closed = host.volward("close", "--stop-consumers", *NAMES)
    assert closed.stdout.splitlines() == [f"{name}: closed" for name in NAMES]

    started = host.run("systemctl", "start", *UNITS, ok=(1,), timeout=60)
    assert started.stderr.count("A dependency job for") == len(UNITS)
    for one in ALL:
        for attempt in (f"echo x >{one.mount_point}/x", f"mkdir -p {one.directory}", f"mv /root {one.mount_point}/"):
            assert "Operation not permitted" in host.sh(attempt, ok=None).stderr, attempt
        assert host.run("ls", "-A", one.mount_point).stdout == ""

    host.volward("open", *NAMES)
    host.run("systemctl", "start", *UNITS)
    assert rows(host) == all_rows()


def a_database_stops_with_its_mount(host: Host) -> None:
    host.run("umount", "--lazy", QDRANT.mount_point)
    host.sh('for n in $(seq 100); do systemctl is-active --quiet "$1" || exit 0; sleep 0.2; done; exit 1', QDRANT.unit)
    host.volward("open", QDRANT.name)
    host.run("systemctl", "start", QDRANT.unit)
    assert QDRANT.rows(host) == all_rows()[QDRANT.name]


def everything_is_there_after_a_reboot(host: Host) -> None:
    host.reboot(timeout=BOOT_SECONDS)
    assert host.wait_until_booted() == "running"
    assert host.run("systemctl", "is-active", *UNITS, ok=None).stdout.split() == ["active"] * len(UNITS)
    assert rows(host) == all_rows()


def leave_in_the_clear(host: Host, control: Disk) -> None:
    """Put the same files on an unencrypted disk, so that the search for canaries can fail."""
    host.run("mkfs.ext4", "-q", control.link)
    host.run("mount", control.link, "/mnt")
    host.run("cp", "--archive", "--parents", *(one.directory for one in ALL), "/mnt")
    host.run("umount", "/mnt")


def files_with(host: Host, text: str, where: str) -> list[str]:
    done = host.run("env", "LC_ALL=C", "grep", "-rlaF", text, where, ok=(0, 1))
    return done.stdout.splitlines()
