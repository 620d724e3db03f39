"""The Vault server inside a virtual host: on a disk of its own, because its 90 MB take too long over ssh."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.lab.process import run
from tests.lab.vault import binary

if TYPE_CHECKING:
    from tests.lab.disk import Disk
    from tests.lab.host import Host

SERIAL = "lab-vault"
MOUNT_POINT = "/opt/vault"
PATH = f"{MOUNT_POINT}/vault"
MIB = 1024 * 1024
# The file system's own tables, and room to spare.
OVERHEAD_BYTES = 24 * MIB


def install_in(host: Host) -> str:
    """Plug in a disk with the server, mount it read-only, and return the path of the binary in the guest.

    The disk stays plugged through cuts and boots; its mount does not: call `mount_in` then.
    """
    found = binary.find()
    tree = host.directory / "vault-tree"
    tree.mkdir()
    shutil.copyfile(found.path, tree / "vault")
    (tree / "vault").chmod(0o755)
    size = -(-found.path.stat().st_size // MIB) * MIB + OVERHEAD_BYTES
    disk: Disk = host.disk(SERIAL, size)
    # Filled while it is out: the guest has looked at the blank disk, and would remember some of it.
    disk.unplug()
    run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", tree, disk.image])
    shutil.rmtree(tree)
    disk.plug()
    return mount_in(host)


def mount_in(host: Host) -> str:
    """Mount the server's disk, after a boot or a restore of a host that has it; return the binary's path."""
    script = 'mkdir -p "$2"; mount -o ro "$1" "$2"'
    host.sh(script, f"/dev/disk/by-id/virtio-{SERIAL}", MOUNT_POINT)
    return PATH
