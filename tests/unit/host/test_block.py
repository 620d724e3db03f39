import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import SPEC
from tests.unit.host.fake_host import FakeHost

from volward.errors import DeviceNotFoundError, DeviceUnknownError
from volward.host import block
from volward.model import Device, DeviceClass, Place


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A fake host; its nodes are ordinary files, so their numbers come from sysfs by their names."""
    fake = FakeHost(tmp_path)
    real = block._device_number

    def device_number(link: Path, node: Path, dev: Path) -> str:
        known = {one.resolve().name: one.name for one in (fake.sysfs / "dev/block").iterdir()}
        return known[node.name] if node.name in known and node.exists() else real(link, node, dev)

    monkeypatch.setattr(block, "_device_number", device_number)
    return fake


def resolve(host: FakeHost, link: Path) -> Device:
    return block.resolve(link, sysfs=host.sysfs, dev=host.dev, proc=host.proc)


def test_virtio_disk(host: FakeHost) -> None:
    host.block("vdb", "252:16", serial="PG1")
    found = resolve(host, host.link("virtio-PG1", "vdb"))
    assert (found.node, found.number) == (host.dev / "vdb", "252:16")
    assert found.identity.device_class is DeviceClass.DISK
    assert (found.identity.serial, found.identity.size_bytes) == ("PG1", 2 * 1024**3)
    assert (found.physical_sector_bytes, found.logical_sector_bytes, found.rotational) == (4096, 512, False)
    assert (found.holders, found.mounted_at, found.swap, found.read_only) == ((), (), False, False)


def test_nvme_names_the_name_space_and_not_only_the_controller(host: FakeHost) -> None:
    host.block("nvme0n1", "259:0", device__serial="S4EW   ", wwid="eui.0025385c")
    found = resolve(host, host.dev / "nvme0n1").identity
    assert (found.serial, found.wwn) == ("S4EW", "eui.0025385c")


def test_scsi_serial_is_read_from_its_page(host: FakeHost) -> None:
    directory = host.block("sda", "8:0", device__wwid="naa.5000c500a1b2c3d4")
    (directory / "device/vpd_pg80").write_bytes(b"\x00\x80\x00\x08  WD-1  junk")
    found = resolve(host, host.dev / "sda").identity
    assert (found.serial, found.wwn) == ("WD-1", "naa.5000c500a1b2c3d4")


def test_usb_disk_takes_the_serial_of_its_usb_device(host: FakeHost) -> None:
    host.block("sdc", "8:32")
    (host.sysfs / "devices/pci0/idVendor").write_text("0951\n")
    (host.sysfs / "devices/pci0/serial").write_text("60A44C\n")
    assert resolve(host, host.dev / "sdc").identity.serial == "60A44C"


def test_partition_has_its_disks_serial_and_its_own_place(host: FakeHost) -> None:
    host.block("vdb", "252:16", serial="PG1")
    host.partition("vdb", "vdb1", "252:17")
    found = resolve(host, host.dev / "vdb1")
    assert (found.identity.device_class, found.identity.serial) == (DeviceClass.PARTITION, "PG1")
    assert (found.identity.partition, found.identity.size_bytes) == ("1@2048", 1024 * 1024)
    assert found.physical_sector_bytes == 4096


@pytest.mark.parametrize(("dm_uuid", "expected"), [
    ("LVM-abc", DeviceClass.LOGICAL_VOLUME),
    ("mpath-3600", DeviceClass.MULTIPATH),
    ("CRYPT-PLAIN-x", DeviceClass.MAPPING),
])  # fmt: skip
def test_device_mapper_classes(host: FakeHost, dm_uuid: str, expected: DeviceClass) -> None:
    host.block("dm-0", "253:0", dm__uuid=dm_uuid)
    found = resolve(host, host.dev / "dm-0").identity
    assert (found.device_class, found.dm_uuid) == (expected, dm_uuid)


def test_md_uuid_is_the_same_from_sysfs_and_from_the_link(host: FakeHost) -> None:
    host.block("md0", "9:0", md__uuid="3AAA0122-29827CFA-5331AD66-CA767371")
    host.block("md1", "9:1", md__level="raid1")
    host.link("md-uuid-3aaa0122:29827cfa:5331ad66:ca767371", "md1")
    first, second = resolve(host, host.dev / "md0").identity, resolve(host, host.dev / "md1").identity
    assert first.device_class is second.device_class is DeviceClass.MD
    assert first.md_uuid == second.md_uuid == "3aaa012229827cfa5331ad66ca767371"


def test_usage_of_partitions_counts_for_the_disk(host: FakeHost) -> None:
    disk = host.block("vdb", "252:16")
    part = host.partition("vdb", "vdb1", "252:17")
    host.stack(host.block("dm-0", "253:0", dm__uuid="LVM-x"), part)
    host.mountinfo(r"40 25 252:17 / /srv/a\040b rw - xfs /dev/vdb1 rw", f"41 25 0:50 / /b rw - btrfs {host.dev}/vdb rw")
    (host.proc / "swaps").write_text(f"Filename Type Size Used Priority\n{host.dev}/vdb1 partition 1 0 -2\n")
    found = resolve(host, host.dev / "vdb")
    assert found.holders == ("dm-0", "vdb1")
    assert (found.partitions, found.used_by) == (("vdb1",), ("dm-0",))
    assert set(found.mounted_at) == {Path("/srv/a b"), Path("/b")}
    assert found.swap and disk.name == "vdb"


def test_missing_link_names_its_neighbours(host: FakeHost) -> None:
    host.block("vdb", "252:16")
    host.link("virtio-PGDATA1", "vdb")
    with pytest.raises(DeviceNotFoundError, match="virtio-PGDATA1"):
        resolve(host, host.dev / "disk/by-id/virtio-PGDATA2")


def test_dangling_link_says_where_it_leads(host: FakeHost) -> None:
    link = host.link("virtio-GONE", "vdq")
    with pytest.raises(DeviceNotFoundError, match=r"leads to .*vdq, which does not exist"):
        resolve(host, link)


def test_not_a_block_device(host: FakeHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeviceNotFoundError, match="not a block device"):
        resolve(host, tmp_path / "file")


@pytest.mark.parametrize("break_it", [
    lambda directory: (directory / "size").unlink(),
    lambda directory: (directory / "size").write_text("\n"),
    lambda directory: (directory / "size").write_text("0\n"),
])  # fmt: skip
def test_device_that_is_not_ready_is_unknown(host: FakeHost, break_it: object) -> None:
    assert callable(break_it)
    break_it(host.block("vdb", "252:16"))
    with pytest.raises(DeviceUnknownError):
        resolve(host, host.dev / "vdb")


def test_the_place_of_a_volume_is_where_its_link_leads_now(
    host: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block, "DEV", host.dev)
    host.block("vdb", "252:16", serial="PG1")
    on_disk = replace(SPEC, device=host.link("virtio-PG1", "vdb"))
    assert block.place_of_volume(on_disk) == Place(host.dev / "vdb", "252:16")
    with pytest.raises(DeviceNotFoundError, match="does not exist"):
        block.place_of_volume(replace(on_disk, device=host.dev / "vdz"))
    (tmp_path / "link").symlink_to(tmp_path / "pg.img")
    assert block.place_of_volume(replace(on_disk, device=tmp_path / "link", is_file=True)) == Place(
        tmp_path / "pg.img", ""
    )


def test_file_with_its_loop_devices(host: FakeHost, tmp_path: Path) -> None:
    file = tmp_path / "pg.img"
    file.write_bytes(bytes(8192))
    loop = host.block("loop3", "7:3", loop__backing_file=str(file))
    host.block("loop4", "7:4")
    host.stack(host.block("dm-1", "253:1", dm__uuid="CRYPT-LUKS2-x"), loop)
    status = file.stat()
    below = host.block("sda", f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}")
    (below / "queue/physical_block_size").write_text("512\n")
    link = tmp_path / "link"
    link.symlink_to(file)
    found = block.resolve_file(link, sysfs=host.sysfs, dev=host.dev, proc=host.proc)
    assert (found.node, found.number, found.holders) == (file, "7:3", ("loop3", "dm-1"))
    assert (found.identity.path, found.identity.size_bytes) == (str(file), 8192)
    assert found.physical_sector_bytes == 512


def test_file_that_is_none(host: FakeHost, tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none", "does not exist"), (tmp_path, "not a regular file")):
        with pytest.raises(DeviceNotFoundError, match=message):
            block.resolve_file(path, sysfs=host.sysfs, dev=host.dev, proc=host.proc)


def test_disks_offers_only_what_could_carry_a_volume(host: FakeHost) -> None:
    host.block("vda", "252:0")
    host.block("sr0", "11:0")
    host.block("loop0", "7:0", loop__backing_file="/x")
    host.block("zram0", "254:0")
    host.block("sdz", "8:99", sectors=0)
    host.block("nvme0c0n1", "259:9", hidden="1")
    host.block("dm-0", "253:0", dm__uuid="CRYPT-LUKS2-x")
    host.block("dm-1", "253:1", dm__uuid="LVM-x")
    found = block.disks(sysfs=host.sysfs, dev=host.dev, proc=host.proc)
    assert [one.node.name for one in found] == ["dm-1", "vda"]


def test_stable_links_prefer_what_the_hardware_says(host: FakeHost) -> None:
    host.block("sda", "8:0")
    for name in ("lvm-pv-uuid-x", "wwn-0x5000", "scsi-SQEMU_1", "ata-QEMU_1"):
        host.link(name, "sda")
    names = [link.name for link in block.stable_links(host.dev / "sda", dev=host.dev)]
    assert names == ["wwn-0x5000", "scsi-SQEMU_1", "ata-QEMU_1", "lvm-pv-uuid-x"]
