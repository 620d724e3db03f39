"""A root disk that is full or read-only, and two volwards at once: an error that says so, and nothing half-done."""

from __future__ import annotations

import pytest
from tests.faults.volume import CREDENTIAL, configure
from tests.lab.host import MIB, Host


@pytest.mark.lab
def test_a_full_root_disk_stops_apply_before_anything_is_half_done(host: Host) -> None:
    disk = host.disk("FULL-1", 96 * MIB)
    configure(host, disk.link)
    host.sh(
        "mount -t tmpfs -o size=8m,mode=0700 tmpfs /var/lib/volward 2>/dev/null || { mkdir -p /var/lib/volward; "
        "mount -t tmpfs -o size=8m,mode=0700 tmpfs /var/lib/volward; }; dd if=/dev/zero of=/var/lib/volward/filler "
        "bs=4k status=none || true"
    )
    before = disk.sha256()

    done = host.volward("apply", "--yes", "data", ok=(71,))

    assert "full" in done.stderr and "Traceback" not in done.stderr
    assert disk.sha256() == before
    assert host.run("ls", "-A", "/var/lib/volward/journal", ok=None).stdout == ""
    host.run("test", "!", "-e", CREDENTIAL)
    host.run("rm", "/var/lib/volward/filler")
    assert "provisioned, open and mounted" in host.volward("apply", "--yes", "data").stdout


@pytest.mark.full
def test_a_disk_that_fills_up_where_keys_are_stored_leaves_no_part_of_a_key(host: Host) -> None:
    disk = host.disk("FULL-1", 96 * MIB)
    configure(host, disk.link)
    store = "/etc/credstore.encrypted"
    host.sh(
        f"mkdir -p {store}; mount -t tmpfs -o size=64k tmpfs {store}; "
        f"dd if=/dev/zero of={store}/filler bs=4k status=none || true"
    )
    before = disk.sha256()

    done = host.volward("apply", "--yes", "data", ok=(71,))

    assert "full" in done.stderr and "Traceback" not in done.stderr
    assert disk.sha256() == before
    assert host.run("ls", "-A", store).stdout == "filler\n"
    host.run("rm", f"{store}/filler")
    assert "provisioned, open and mounted" in host.volward("apply", "--yes", "data").stdout


@pytest.mark.full
def test_a_file_volume_that_does_not_fit_leaves_no_part_of_its_file(host: Host) -> None:
    configure(host, "file:/srv/files/data.img", more='size = "64 GiB"')

    done = host.volward("apply", "--yes", "data", ok=(71,))

    assert "full" in done.stderr or "No space" in done.stderr
    assert host.run("ls", "-A", "/srv/files").stdout == ""
    configure(host, "file:/srv/files/data.img", more='size = "64 MiB"')
    host.sh("volward abort $(volward journal | awk 'NR == 2 {print $1}')")
    assert "provisioned, open and mounted" in host.volward("apply", "--yes", "data").stdout


@pytest.mark.full
def test_a_read_only_etc_is_said_and_the_next_run_goes_on(host: Host) -> None:
    disk = host.disk("RO-1", 96 * MIB)
    configure(host, disk.link)
    host.sh("mkdir -p /etc/credstore.encrypted; mount --bind /etc /etc; mount -o remount,bind,ro /etc")

    done = host.volward("apply", "--yes", "data", ok=None)

    assert done.status in (69, 71), done
    assert "Read-only file system" in done.stderr and "Traceback" not in done.stderr
    host.run("umount", "/etc")
    assert "provisioned, open and mounted" in host.volward("apply", "--yes", "data").stdout


@pytest.mark.lab
def test_the_second_of_two_volwards_says_who_holds_the_volume(host: Host) -> None:
    configure(host, "file:/srv/files/data.img", more='size = "64 MiB"')
    # The first one is stopped while it holds the lock: as if it were slow.
    first = (
        "import os, sys; from volward import lock\n"
        "with lock.held('data'):\n"
        "    print(os.getpid(), flush=True); sys.stdin.read()\n"
    )
    script = 'mkfifo /run/hold; /opt/volward/bin/python -c "$1" </run/hold >/run/holder & exec 9>/run/hold; '
    script += 'until [ -s /run/holder ]; do sleep 0.1; done; volward apply --yes data 9>&- ; echo "status $?"; '
    script += "cat /run/holder; exec 9>&-; wait; volward apply --yes data"

    done = host.run("bash", "-c", script, "lab", first)

    holder = host.get("/run/holder").decode().strip()
    assert "status 75" in done.stdout
    assert f"process {holder}" in done.stderr
    assert "provisioned, open and mounted" in done.stdout
