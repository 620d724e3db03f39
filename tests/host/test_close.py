"""close: never by force; what holds a volume is named with its command line, in whatever namespace it is."""

from __future__ import annotations

import pytest
from tests.lab.host import MIB, Host

MOUNT = "/srv/volward/pg"
DATA = f"{MOUNT}/pgdata"


@pytest.fixture
def volume(host: Host) -> Host:
    """A host with one volume, laid out for the PostgreSQL image: its user is 999, and no such user is on the host."""
    disk = host.disk("PG-1", 128 * MIB)
    host.put(
        "/etc/volward/volward.toml",
        f"""
[volumes.pg]
device = "{disk.link}"
store = {{ kind = "postgres", version = "17", layout = "container" }}
mount_point = "{MOUNT}"
consumers = ["container:db", "app.service"]
""",
    )
    host.put("/etc/systemd/system/app.service", "[Service]\nExecStart=sleep 1005\n")
    host.volward("apply", "--yes", "pg")
    return host


@pytest.mark.measured
def test_what_holds_a_volume_is_named(volume: Host) -> None:
    host = volume
    assert host.run("stat", "--format=%u:%g %a", DATA).stdout == "999:999 700\n"
    hold(host, "by-directory", f"cd {DATA}; exec sleep 1001")
    hold(host, "by-file", f"exec 3>{DATA}/open-file; exec sleep 1002")
    hold(host, "by-namespace", "exec unshare --mount sleep 1003")
    container = start_container(host)

    refused = host.volward("close", "pg", ok=(75,)).stderr

    lines = [line.strip() for line in refused.splitlines() if line.strip().startswith("process")]
    assert [line.partition(" (")[2] for line in sorted(lines, key=lambda line: line[-4:])] == [
        "by-directory.service, working directory): sleep 1001",
        f"by-file.service, file {DATA}/open-file): sleep 1002",
        "by-namespace.service, mount namespace (1 process)): sleep 1003",
        f"container db {container[:12]}, mount namespace (1 process)): sleep 1004",
    ]
    assert host.run("findmnt", "--noheadings", "--output=TARGET", MOUNT).stdout == f"{MOUNT}\n"

    host.run("systemctl", "stop", "by-directory", "by-file", "by-namespace")
    assert "container db" in host.volward("close", "pg", ok=(75,)).stderr
    host.run("docker", "stop", "--time", "0", "db")
    # It has no file open just now, and closing would stop it with its mount.
    host.run("systemctl", "start", "app")
    assert "  consumer app.service (running)\n" in host.volward("close", "pg", ok=(75,)).stderr
    host.run("systemctl", "stop", "app")
    host.run("mount", "/dev/mapper/volward-pg", "/mnt")
    assert "  mount at /mnt\n" in host.volward("close", "pg", ok=(75,)).stderr
    assert host.get(f"{DATA}/written-by-the-container") == b"999\n"
    host.run("umount", "/mnt")

    assert host.volward("close", "pg").stdout == "pg: closed\n"
    assert host.volward("close", "pg").stdout == "pg: nothing to do, because it is closed\n"
    assert host.run("test", "-e", "/dev/mapper/volward-pg", ok=None).status == 1

    # While the volume is away its container does not start, and finds its files when it is back.
    assert host.run("docker", "start", "db", ok=None).status != 0
    host.volward("open", "pg")
    host.run("docker", "start", "db")
    assert host.get(f"{DATA}/written-by-the-container") == b"999\n"


def hold(host: Host, name: str, script: str) -> None:
    host.run("systemd-run", "--quiet", f"--unit={name}", "bash", "-c", script)
    host.sh('until pgrep --full "^sleep" -a | grep -q "$1"; do sleep 0.1; done', script[-4:], timeout=60)


def start_container(host: Host) -> str:
    """A container of the image's user, with its data on the volume; returns its ID."""
    host.run("systemctl", "start", "docker")
    host.run("docker", "import", "/opt/lab/busybox.tar", "db-image")
    script = "[ -s /data/written-by-the-container ] || id -u >/data/written-by-the-container; exec sleep 1004"
    return host.run(
        *("docker", "run", "--detach", "--name", "db", "--user", "999:999", "--network", "none"),
        *("--volume", f"{DATA}:/data", "db-image", "/bin/sh", "-c", script),
    ).stdout.strip()
