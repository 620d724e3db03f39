"""Disks that change places or were wiped by half, and mount points that must not be written to."""

from __future__ import annotations

import pytest
from tests.faults.volume import MOUNT_POINT, configure
from tests.lab.host import MIB, Host

WIPEFS = "wipefs --all --quiet $1"
ZEROS = "dd if=/dev/zero of=$1 bs=4096 count=4 conv=notrunc status=none"
FORMAT = "cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /run/key $1"
LINKS = 'mkdir -p /dev/disk/by-lab; ln -sfn "$1" /dev/disk/by-lab/1; ln -sfn "$2" /dev/disk/by-lab/2'


@pytest.mark.lab
def test_two_disks_that_changed_places_are_neither_opened_nor_formatted(host: Host) -> None:
    """FAULTS 2 and 3: links by number, as /dev/nvme0n1, lead to the other disk after a reboot."""
    one, two = host.disk("ONE", 96 * MIB), host.disk("TWO", 96 * MIB)
    host.sh(LINKS, one.path_in_guest, two.path_in_guest)
    configure(host, "/dev/disk/by-lab/1", name="first")
    configure(host, "/dev/disk/by-lab/2", name="second")
    host.volward("apply", "--yes", "first", "second")
    host.volward("close", "first")
    host.volward("close", "second")
    host.sh(LINKS, two.path_in_guest, one.path_in_guest)
    before = one.sha256(), two.sha256()

    opened = host.volward("open", "first", "second", ok=None)
    applied = host.volward("apply", "--yes", "first", "second", ok=None)

    assert opened.status == 73 and applied.status == 73
    for done in (opened, applied):
        assert "pinned" in done.stderr and "Traceback" not in done.stderr
    assert (one.sha256(), two.sha256()) == before
    assert "volward" not in host.run("dmsetup", "ls").stdout
    host.sh(LINKS, one.path_in_guest, two.path_in_guest)
    host.volward("open", "first", "second")


@pytest.mark.lab
def test_a_volume_that_is_away_cannot_be_written_to(host: Host) -> None:
    """FAULTS 5: not even root fills the directory below the mount."""
    disk = host.disk("ONE", 96 * MIB)
    configure(host, disk.link)
    host.volward("apply", "--yes", "data")
    host.volward("close", "data")

    for words in (("touch", f"{MOUNT_POINT}/x"), ("mkdir", f"{MOUNT_POINT}/x"), ("chmod", "755", MOUNT_POINT)):
        assert host.run(*words, ok=(1,)).status == 1
    assert host.run("ls", "-A", MOUNT_POINT).stdout == ""

    host.volward("open", "data")
    host.run("touch", f"{MOUNT_POINT}/x")


@pytest.mark.lab
def test_files_that_the_mount_would_hide_are_found_first(host: Host) -> None:
    """FAULTS 5: a database that wrote to the root disk before the volume was made."""
    disk = host.disk("ONE", 96 * MIB)
    configure(host, disk.link)
    host.put(f"{MOUNT_POINT}/PG_VERSION", "17\n")
    before = disk.sha256()

    done = host.volward("apply", "--yes", "data", ok=(73,))

    assert "holds files" in done.stderr
    assert disk.sha256() == before


@pytest.mark.lab
@pytest.mark.parametrize(
    "wipe",
    [
        pytest.param("wipefs --all --quiet $1", id="wipefs"),
        pytest.param("dd if=/dev/zero of=$1 bs=4096 count=1 conv=notrunc status=none", id="dd", marks=pytest.mark.full),
    ],
)
def test_a_header_that_was_wiped_by_half_is_seen_through_its_second_copy(host: Host, wipe: str) -> None:
    """FAULTS 20, and a probe never writes."""
    disk = host.disk("ONE", 96 * MIB)
    host.put("/run/key", "a key", mode=0o600)
    host.sh(f"{FORMAT}; {wipe}", disk.link)
    configure(host, disk.link)
    before = disk.sha256()

    done = host.volward("apply", "--yes", "data", ok=(73,))

    assert "is not blank" in done.stderr
    host.volward("plan", "data", ok=(73,))
    assert disk.sha256() == before


@pytest.mark.lab
def test_a_disk_that_is_gone_is_not_a_blank_disk(host: Host) -> None:
    """FAULTS 1: absent, and back as another one."""
    disk = host.disk("ONE", 96 * MIB)
    configure(host, disk.link)
    host.volward("apply", "--yes", "data")
    host.volward("close", "data")
    disk.unplug()

    assert "Traceback" not in host.volward("apply", "--yes", "data", ok=(66,)).stderr

    disk.replug()
    host.volward("open", "data")


@pytest.mark.lab
def test_close_names_a_holder_in_another_mount_namespace(host: Host) -> None:
    """FAULTS 18: the host's own mount is gone, and a container-like process still writes."""
    disk = host.disk("ONE", 96 * MIB)
    configure(host, disk.link)
    host.volward("apply", "--yes", "data")
    host.sh(
        f"unshare --mount --propagation private sh -c 'cd {MOUNT_POINT}; exec sleep 600' >/dev/null 2>&1 & "
        "sleep 2; pidof sleep >/run/holder; disown -a"
    )
    holder = host.get("/run/holder").decode().split()[0]

    done = host.volward("close", "data", ok=(75,))

    assert holder in done.stderr and "sleep" in done.stderr
    assert "volward-data" in host.run("dmsetup", "ls").stdout
    host.run("kill", holder)
    host.sh('while [ -e "/proc/$1" ]; do sleep 0.1; done', holder)
    host.volward("close", "data")
    assert "volward-data" not in host.run("dmsetup", "ls").stdout


@pytest.mark.lab
def test_a_store_gets_a_directory_of_its_own_beside_lost_and_found(host: Host) -> None:
    """FAULTS 28: initdb wants an empty directory that belongs to its user."""
    disk = host.disk("ONE", 96 * MIB)
    host.put("/etc/volward/volward.toml", "")
    host.put(
        "/etc/volward/volward.d/pg.toml",
        f"""
[volumes.pg]
device = "{disk.link}"
store = "postgres"
mount_point = "/srv/volward/pg"
keys = ["credential"]
consumers = []
""",
    )

    host.volward("apply", "--yes", "pg")

    found = host.run("find", "/srv/volward/pg", "-mindepth", "1", "-type", "d", "-printf", "%u %m %P\\n").stdout
    owned = [line.split() for line in found.splitlines() if line.startswith("postgres ")]
    assert owned and "lost+found" in host.run("ls", "/srv/volward/pg").stdout
    data = owned[-1]
    assert data[1] == "700", found
    host.run("runuser", "-u", "postgres", "--", "/usr/lib/postgresql/17/bin/initdb", "-D", f"/srv/volward/pg/{data[2]}")
