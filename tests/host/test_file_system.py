"""A file system that does not mount: its mapping is opened alone, it is mended, and the data are there."""

from __future__ import annotations

import pytest
from tests.faults.volume import configure
from tests.lab.host import MIB, Host

MAPPING = "/dev/mapper/volward-data"
# The superblock, by which blkid knows the file system, stays; the checksum of the first group descriptor, in the block
# after it, goes, and the kernel refuses to mount.
DAMAGE = """
block=$(dumpe2fs -h "$1" 2>/dev/null | sed -n 's/^Block size: *//p')
[ "$block" -gt 1024 ] || block=2048
printf '\\377\\377' | dd of="$1" bs=1 seek=$((block + 30)) conv=notrunc,fsync status=none
"""


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
    host.sh(DAMAGE, MAPPING)
    host.volward("close", "data")

    refused = host.volward("open", "data", ok=range(1, 256))
    assert "systemd could not start" in refused.stderr
    host.volward("close", "data")
    host.volward("open", "--no-mount", "data")
    assert "checksums are invalid" in host.run("fsck.ext4", "-n", MAPPING, ok=(0, 4)).stdout
    host.run("fsck.ext4", "-y", MAPPING, ok=(0, 1))
    host.volward("open", "data")
    assert host.get("/srv/volward/data/canary") == b"kept\n"
