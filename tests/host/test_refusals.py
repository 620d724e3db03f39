"""What volward refuses to format: one table, each row on a real device that stays bit for bit the same.

The next kind is one more row. A row's script finds the disk as $1, and leaves its content there.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.lab.host import Host

MIB = 1024 * 1024
SIZE = 384 * MIB
MOUNT_POINT = "/srv/volward/data"


@dataclass(frozen=True)
class Refusal:
    """What is on the device, and what volward has to say about it."""

    name: str
    prepare: str
    says: tuple[str, ...]
    status: int = 73
    device: str = ""  # the configured device, when it is not the disk itself
    size_bytes: int = SIZE
    clean_up: str = ""


def _zfs(label_offset: str) -> str:
    """A ZFS label: 128 uberblocks in its second half, of which libblkid wants to see some (magic 0x00bab10c)."""
    return f"""
python3 - "$1" "$(blockdev --getsize64 "$1")" <<'PYTHON'
import struct, sys
size = int(sys.argv[2])
start = {label_offset}
with open(sys.argv[1], "r+b") as disk:
    for number in range(128):
        disk.seek(start + 128 * 1024 + number * 1024)
        disk.write(struct.pack("<QQQQQ", 0x00BAB10C, 5000, number, 0, 0))
PYTHON
"""


FORMAT = "cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /etc/hostname"
OTHER = "printf 'just some bytes' | dd of=$1 conv=notrunc status=none oflag=seek_bytes seek="

REFUSALS = [
    Refusal("ext4", "mkfs.ext4 -q $1", ("ext4",)),
    Refusal("xfs", "mkfs.xfs -q $1", ("xfs",)),
    Refusal("btrfs", "mkfs.btrfs -q $1", ("btrfs",)),
    Refusal("LVM physical volume", "pvcreate -q $1", ("LVM",)),
    Refusal(
        "md member",
        "mdadm --create /dev/md/t --run --level=1 --raid-devices=2 --metadata=1.2 $1 missing; mdadm --stop /dev/md/t",
        ("md",),
    ),
    Refusal(
        "md member, superblock at the end",
        "mdadm --create /dev/md/t --run --level=1 --raid-devices=2 --metadata=1.0 $1 missing; mdadm --stop /dev/md/t",
        ("md",),
    ),
    Refusal("ZFS label, first", _zfs("0"), ("ZFS",)),
    Refusal("ZFS label, last", _zfs("size // 262144 * 262144 - 262144"), ("ZFS",)),
    Refusal("swap", "mkswap -q $1", ("swap",)),
    Refusal("GPT", "printf 'label: gpt\\n' | sfdisk -q $1", ("GPT",)),
    Refusal(
        "GPT, backup only",
        "printf 'label: gpt\\n' | sfdisk -q $1; dd if=/dev/zero of=$1 bs=1M count=1 conv=notrunc status=none",
        ("GPT",),
    ),
    Refusal("MBR", "printf 'label: dos\\n' | sfdisk -q $1", ("MBR",)),
    Refusal("LUKS1", f"{FORMAT} --type luks1 $1", ("LUKS1",)),
    Refusal("LUKS2", f"{FORMAT} --type luks2 $1", ("LUKS2",)),
    Refusal(
        "LUKS2, primary header damaged",
        f"{FORMAT} --type luks2 $1; dd if=/dev/zero of=$1 bs=4096 count=1 conv=notrunc status=none",
        ("LUKS2",),
    ),
    Refusal(
        "LUKS2, secondary header damaged",
        f"{FORMAT} --type luks2 $1; dd if=/dev/zero of=$1 bs=4096 seek=4 count=4 conv=notrunc status=none",
        ("LUKS2",),
    ),
    Refusal("data in the first MiB", f"{OTHER}777777", ("data",)),
    Refusal("data in the last MiB", f"{OTHER}{SIZE - 4444}", ("data",)),
    Refusal(
        "unreadable sector",
        'last=$(($(blockdev --getsz "$1") - 1024)); printf "0 $last linear $1 0\\n$last 8 error\\n'
        '$((last + 8)) 1016 linear $1 $((last + 8))\\n" | dmsetup create faulty',
        ("read error",),
        device="/dev/disk/by-id/dm-name-faulty",
        clean_up="dmsetup remove faulty",
    ),
    Refusal(
        "unreadable where a header would be",
        'rest=$(($(blockdev --getsz "$1") - 64)); '
        'printf "0 64 error\\n64 $rest linear $1 64\\n" | dmsetup create faulty',
        ("cannot be read",),
        device="/dev/disk/by-id/dm-name-faulty",
        clean_up="dmsetup remove faulty",
    ),
    Refusal(
        "mounted",
        "mkfs.ext4 -q $1; mkdir -p /mnt/other; mount -o ro,noload $1 /mnt/other",
        ("mounted at /mnt/other",),
        clean_up="umount /mnt/other",
    ),
    Refusal(
        "holders", "echo 0 100000 linear $1 0 | dmsetup create holder", ("holder",), clean_up="dmsetup remove holder"
    ),
    Refusal(
        "partition in use",
        "printf 'label: gpt\\n,64MiB\\n' | sfdisk -q $1; udevadm settle; mkfs.ext4 -q ${1}1; "
        "mkdir -p /mnt/part; mount -o ro,noload ${1}1 /mnt/part",
        ("/mnt/part",),
        clean_up="umount /mnt/part",
    ),
    Refusal(
        "open under another mapping's name",
        f"{FORMAT} --type luks2 $1; cryptsetup open --key-file /etc/hostname $1 somebody",
        ("somebody",),
        clean_up="cryptsetup close somebody",
    ),
    Refusal("swap in use", "mkswap -q $1; swapon $1", ("swap",), clean_up="swapoff $1"),
    Refusal("too small", "true", ("MiB",), size_bytes=24 * MIB),
]


@pytest.mark.lab
@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.name)
def test_a_device_that_is_not_proven_blank_stays_as_it_is(shared_host: Host, row: Refusal) -> None:
    host = shared_host
    disk = host.disk(f"VICTIM-{REFUSALS.index(row)}", row.size_bytes)
    try:
        host.sh(f"{row.prepare}\nudevadm settle", disk.path_in_guest)
        configure(host, row.device or disk.link)
        before = disk.sha256()

        done = host.volward("apply", "--yes", "data", ok=(row.status,))

        assert disk.sha256() == before, "the device was changed"
        for words in row.says:
            assert words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert (
            host.sh("ls -A /var/lib/volward/pins /etc/credstore.encrypted 2>/dev/null || true").stdout.count("data")
            == 0
        )
    finally:
        host.sh(row.clean_up or "true", disk.path_in_guest)
        disk.remove()


@pytest.mark.lab
def test_a_zombie_mapping_of_the_same_name_is_named_and_left_alone(host: Host) -> None:
    disk = host.disk("VICTIM-1", SIZE)
    other = host.disk("GONE-1", 64 * MIB)
    host.sh(f"{FORMAT} --type luks2 $1; cryptsetup open --key-file /etc/hostname $1 volward-data", other.link)
    other.unplug()
    configure(host, disk.link)
    before = disk.sha256()

    done = host.volward("apply", "--yes", "data", ok=(73, 75))

    assert "volward-data" in done.stderr and "zombie" in done.stderr
    assert disk.sha256() == before
    assert "volward-data" in host.run("dmsetup", "ls").stdout


@pytest.mark.lab
def test_a_link_that_leads_to_another_disk_now_is_noticed(host: Host) -> None:
    """The serial number counts, not the link: the same link over another disk formats nothing."""
    disk = host.disk("RIGHT-1", SIZE)
    host.sh('mkdir -p /dev/disk/by-lab; ln -s "$1" /dev/disk/by-lab/data', disk.path_in_guest)
    configure(host, "/dev/disk/by-lab/data")
    host.volward("apply", "--yes", "data")
    host.volward("close", "data")
    wrong = host.disk("WRONG-1", SIZE)
    host.sh('ln -sfn "$1" /dev/disk/by-lab/data', wrong.path_in_guest)
    before = wrong.sha256()

    done = host.volward("apply", "--yes", "data", ok=(73,))

    assert "RIGHT-1" in done.stderr and "WRONG-1" in done.stderr
    assert wrong.sha256() == before


def configure(host: Host, device: str) -> None:
    host.put(
        "/etc/volward/volward.toml",
        f"""
[volumes.data]
device = "{device}"
store = "directory"
mount_point = "{MOUNT_POINT}"
keys = ["credential"]
""",
    )
