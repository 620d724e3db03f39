"""A file system that does not mount: its mapping is opened alone, it is mended, and the data are there."""

from __future__ import annotations

import pytest
from tests.faults.volume import configure
from tests.lab.host import MIB, Host

MAPPING = "/dev/mapper/volward-data"


@pytest.mark.lab
def test_one_that_is_damaged_is_mended_on_the_mapping_alone(host: Host) -> None:
    """As docs/how-to/troubleshooting.md has it."""
    disk = host.disk("BROKEN", 96 * MIB)
    configure(host, disk.link, more='credential = { seal = "host" }')
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    host.sh("echo kept >/srv/volward/data/canary")
    host.volward("close", "data")

    assert host.volward("open", "--no-mount", "data").stdout == f"data: open as {MAPPING} (key: credential)\n"
    assert "nothing to do" in host.volward("open", "--no-mount", "data").stdout
    host.run("findmnt", MAPPING, ok=(1,))
    # The superblock, by which blkid knows it, stays; the group descriptors after it go, and the kernel refuses it.
    host.sh('dd if=/dev/zero of="$1" bs=2048 seek=1 count=3 conv=notrunc,fsync status=none', MAPPING)
    host.volward("close", "data")

    refused = host.volward("open", "data", ok=range(1, 256))
    assert "systemd could not start" in refused.stderr
    host.volward("close", "data")
    host.volward("open", "--no-mount", "data")
    host.run("fsck.ext4", "-n", MAPPING, ok=(4, 12))
    host.run("fsck.ext4", "-y", MAPPING, ok=(1, 2))
    host.volward("open", "data")
    assert host.get("/srv/volward/data/canary") == b"kept\n"
