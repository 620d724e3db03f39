"""What happens to an open volume behind the daemon's back: it says so in a sentence, and destroys nothing."""

from __future__ import annotations

import time

import pytest
from tests.faults.volume import MOUNT_POINT, configure
from tests.host.test_service import said, until
from tests.lab.disk import Disk
from tests.lab.host import MIB, Host

pytestmark = [pytest.mark.lab, pytest.mark.full]

MAPPING = "volward-data"
CANARY = f"{MOUNT_POINT}/canary"
WELL = "1 volume: 1 open."
# Of what happens within a file system the kernel tells nobody; without another event the daemon looks now and then.
LOOK = "mkdir -p /run/anything; mount -t tmpfs none /run/anything; umount /run/anything"
CLOSE = f"umount {MOUNT_POINT}; dmsetup remove {MAPPING}"
WRITE = f"echo more >{MOUNT_POINT}/more && sync --file-system {MOUNT_POINT}/more"


def open_volume(host: Host, serial: str, *, bus: str = "virtio") -> Disk:
    disk = host.disk(serial, 128 * MIB, bus=bus)
    configure(host, disk.link, more='credential = { seal = "host" }')
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    until(host, "systemctl is-active --quiet volward.service")
    host.sh(f"echo kept >{CANARY}; sync")
    tells(host, WELL)
    return disk


def tells(host: Host, sentence: str, *, seconds: float = 120) -> None:
    """Wait until the daemon tells this on its control socket."""
    end = time.monotonic() + seconds
    while sentence not in (told := host.volward("status", "--live").stdout):
        assert time.monotonic() < end, f"nobody said {sentence!r}:\n{told}"
        host.sh(LOOK)
        time.sleep(1)


def opens_again(host: Host) -> None:
    host.volward("open", "data")
    tells(host, WELL)
    assert host.get(CANARY) == b"kept\n"


def is_left_alone(host: Host) -> None:
    """The daemon has looked again and again, and opened and mounted nothing."""
    for _ in range(5):
        host.sh(f"{LOOK}; sleep 2; ! mountpoint -q {MOUNT_POINT}")


def test_of_its_file_system(host: Host) -> None:
    disk = open_volume(host, "HEALTH-1", bus="scsi")

    host.sh(f"mount -o remount,ro {MOUNT_POINT}")
    tells(host, "its file system is read-only")
    said(host, "data: its file system is read-only")
    host.sh(f"mount -o remount,rw {MOUNT_POINT}")
    tells(host, WELL)
    said(host, "data: all is well again")

    host.sh(f"cat /dev/zero >{MOUNT_POINT}/zeros", ok=(1,))
    tells(host, "its file system is full to 100 %")
    host.run("rm", f"{MOUNT_POINT}/zeros")
    tells(host, WELL)

    # The disk refuses every read and write, and is there all the same.
    state = f"/sys/block/{disk.path_in_guest.removeprefix('/dev/')}/device/state"
    host.sh(f"echo offline >{state}")
    host.sh(f"for _ in 1 2 3 4; do ({WRITE}) || sleep 1; done")
    tells(host, "its file system has met errors since it was last checked")
    said(host, "data: its file system has met errors")
    host.sh(f"echo running >{state}")
    host.volward("close", "data")
    host.volward("open", "data")
    host.sh(WRITE)
    assert host.get(CANARY) == b"kept\n"


def test_of_its_device(host: Host) -> None:
    disk = open_volume(host, "HEALTH-4")
    disk.grow(160 * MIB)
    differs = f"its device is not as it was pinned (size_bytes: pinned {128 * MIB}, found {160 * MIB})"
    tells(host, differs)
    said(host, f"data: {differs}")
    assert host.get(CANARY) == b"kept\n"

    host.run("systemctl", "restart", "volward.service")
    tells(host, differs)
    host.volward("repin", "data", "--yes")
    tells(host, WELL)
    said(host, "data: all is well again")


def test_of_its_mount_and_its_mapping(host: Host) -> None:
    disk, other = open_volume(host, "HEALTH-2"), host.disk("HEALTH-3", 96 * MIB)
    header, content = disk.peek(0, MIB), other.sha256()

    host.run("umount", MOUNT_POINT)
    tells(host, "Somebody unmounted it, and it stays so: `volward open data` mounts it.")
    is_left_alone(host)
    opens_again(host)

    host.sh(CLOSE)
    tells(host, "Somebody closed it, and it stays so until `volward open data` or `volward reload`.")
    is_left_alone(host)
    opens_again(host)

    # Another one of its name, on another disk.
    host.sh(f'{CLOSE}; echo "0 $(blockdev --getsz "$1") linear $1 0" | dmsetup create {MAPPING}', other.link)
    tells(host, f"A mapping {MAPPING} exists and is not this volume")
    said(host, f"data: A mapping {MAPPING} exists and is not this volume")
    is_left_alone(host)
    host.run("test", "-b", f"/dev/mapper/{MAPPING}")
    assert host.volward("open", "data", ok=None).status not in (0, 70)
    host.run("dmsetup", "remove", MAPPING)
    opens_again(host)

    # The same volume, while the daemon did not look.
    host.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", "volward.service")
    host.volward("close", "data")
    host.volward("open", "data")
    host.run("systemctl", "kill", "--signal=CONT", "--kill-whom=main", "volward.service")
    host.sh(LOOK)
    said(host, "data: its mapping is another one than before: somebody closed and opened it")
    tells(host, WELL)

    # A mapping that leads nowhere any more, below a file system in use, is no good to anybody.
    host.run("dmsetup", "wipe_table", MAPPING)
    host.sh(LOOK)
    said(host, "data: its device went away while it was open; its mapping is closed")
    tells(host, WELL)
    host.sh(WRITE)

    assert host.get(CANARY) == b"kept\n"
    assert (disk.peek(0, MIB), other.sha256()) == (header, content)
    assert "NRestarts=0" in host.run("systemctl", "show", "--property=NRestarts", "volward.service").stdout
