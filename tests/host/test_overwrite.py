"""`apply --overwrite`: only with the device's identity typed out; then nothing of the old content is found again."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from tests.host.terminal import talk
from tests.host.test_refusals import SIZE, _zfs, configure
from tests.lab.host import Host


@dataclass(frozen=True)
class Content:
    """What is on the disk ($1) before; a second signature lies in wait behind the first."""

    name: str
    prepare: str


CONTENTS = [
    Content(
        "ext4 with backups below a GPT",
        "mkfs.ext4 -q -F $1; printf 'label: gpt\\n,64MiB\\n' | sfdisk -q --wipe never $1; udevadm settle; "
        "mkfs.ext4 -q ${1}1",
    ),
    Content(
        "md member with its superblock at the end",
        "mdadm --create /dev/md/t --run --level=1 --raid-devices=2 --metadata=1.0 $1 missing; "
        "mkfs.ext4 -q /dev/md/t; mdadm --stop /dev/md/t",
    ),
    Content("ZFS labels", _zfs("size // 262144 * 262144 - 262144") + _zfs("0")),
    Content("xfs with its copies", "mkfs.xfs -q $1"),
    Content(
        "LUKS2 of somebody else",
        "cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /etc/hostname $1",
    ),
]


def test_nothing_is_overwritten_but_with_the_identity_typed_out(host: Host) -> None:
    disk = host.disk("OVER-1", SIZE)
    host.sh(CONTENTS[0].prepare, disk.path_in_guest)
    host.run("udevadm", "settle")
    configure(host, disk.link)
    before = disk.sha256()

    assert "not blank" in host.volward("apply", "--yes", "data", ok=(73,)).stderr
    wrong = host.volward("apply", "--yes", "--overwrite", "data=OVER-2", "data", ok=(73,))
    assert "That is not the identity" in wrong.stderr
    unsaid = host.volward("apply", "--yes", "--overwrite", "data", "data", ok=(77,))
    assert "has to be confirmed with the device's identity" in unsaid.stderr
    typed = talk(host, ["volward", "apply", "--no-recovery", "--overwrite", "data"], ("serial number: ", "OVER-2\n"))
    assert typed.status == 73, typed.output
    assert "! wipe " in typed.output
    assert disk.sha256() == before


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(content, id=content.name, marks=() if content is CONTENTS[0] else pytest.mark.full)
        for content in CONTENTS
    ],
)
def test_only_luks_is_left_of_an_overwritten_disk(host: Host, content: Content) -> None:
    disk = host.disk("OVER-1", SIZE)
    host.sh(content.prepare, disk.path_in_guest)
    host.run("udevadm", "settle")
    configure(host, disk.link)

    done = host.volward("apply", "--yes", "--overwrite", "data=OVER-1", "data")

    assert "data: provisioned, open and mounted" in done.stdout
    found = json.loads(host.run("wipefs", "--no-act", "--json", disk.link).stdout)["signatures"]
    assert {one["type"] for one in found} == {"crypto_LUKS"}
    below = host.run("lsblk", "--noheadings", "--list", "--output", "TYPE", disk.link)
    assert sorted(below.stdout.split()) == ["crypt", "disk"]
    again = host.volward("apply", "--yes", "--overwrite", "data=OVER-1", "data")
    assert "nothing to do, because" in again.stdout
    assert "--overwrite means nothing here" in again.stdout


def test_a_disk_that_is_in_use_is_not_overwritten(host: Host) -> None:
    disk = host.disk("OVER-1", SIZE)
    host.sh(
        "mkfs.ext4 -q $1; mkdir -p /mnt/other; mount $1 /mnt/other; echo kept >/mnt/other/kept; sync",
        disk.path_in_guest,
    )
    configure(host, disk.link)

    refused = host.volward("apply", "--yes", "--overwrite", "data=OVER-1", "data", ok=(73,))

    assert "mounted at /mnt/other" in refused.stderr
    assert host.get("/mnt/other/kept") == b"kept\n"


# volward, ended in the middle of the wipe: libblkid's signatures and the beginning are gone, the end is not.
CUT_WIPE = """
import os, signal, sys
from volward.host import wipe
from volward.cli.main import main

zero = wipe._zero

def cut(descriptor, offset, length):
    zero(descriptor, offset, length)
    os.fsync(descriptor)
    os.kill(os.getpid(), signal.SIGKILL)

wipe._zero = cut
sys.argv = ["volward", "apply", "--yes", "--overwrite", "data=OVER-1", "data"]
main()
"""


@pytest.mark.full
def test_a_wipe_that_was_cut_needs_the_typed_identity_again(host: Host) -> None:
    disk = host.disk("OVER-1", SIZE)
    host.sh(CONTENTS[2].prepare, disk.path_in_guest)
    configure(host, disk.link)

    host.sh('/opt/volward/bin/python -c "$1" || exit $?', CUT_WIPE, ok=(137,))

    assert "cut in this step" in host.volward("journal").stdout
    assert "not blank" in host.volward("apply", "--yes", "data", ok=(73,)).stderr
    done = host.volward("apply", "--yes", "--overwrite", "data=OVER-1", "data")
    assert "data: provisioned, open and mounted" in done.stdout
    found = json.loads(host.run("wipefs", "--no-act", "--json", disk.link).stdout)["signatures"]
    assert {one["type"] for one in found} == {"crypto_LUKS"}
