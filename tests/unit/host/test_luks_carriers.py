"""Which block devices carry a LUKS UUID: clones are seen, paths of one device are not taken for clones."""

from pathlib import Path

import pytest
from tests.unit.host import luks_image
from tests.unit.host.fake_host import FakeHost

from volward.host import luks_carriers


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def carriers(host: FakeHost) -> list[str]:
    found = luks_carriers.by_uuid(sysfs=host.sysfs, dev=host.dev)
    return [node.name for node in found.get(luks_image.UUID, ())]


def test_a_clone_is_seen_and_other_devices_are_not(host: FakeHost) -> None:
    for name, number in (("vda", "252:0"), ("vdb", "252:16"), ("vdc", "252:32")):
        host.block(name, number)
    host.partition("vda", "vda1", "252:1")
    luks_image.write(host.dev / "vda1")
    luks_image.write(host.dev / "vdb", primary=b"")
    luks_image.write(host.dev / "vdc", primary=luks_image.header_copy(uuid="other"))
    assert carriers(host) == ["vda1", "vdb"]


def test_the_paths_of_one_device_are_no_clones(host: FakeHost) -> None:
    multipath = host.block("dm-0", "253:0", dm__uuid="mpath-1")
    for name, number in (("sda", "8:0"), ("sdb", "8:16")):
        host.stack(multipath, host.block(name, number))
        luks_image.write(host.dev / name)
    luks_image.write(host.dev / "dm-0")
    assert carriers(host) == ["dm-0"]


def test_two_loop_devices_on_one_file_are_no_clones(host: FakeHost) -> None:
    for name, number in (("loop0", "7:0"), ("loop1", "7:1")):
        host.block(name, number, loop__backing_file="/srv/pg.img")
        luks_image.write(host.dev / name)
    assert carriers(host) == ["loop0"]


def test_a_device_whose_reads_would_hang_is_not_read(host: FakeHost) -> None:
    suspended = host.block("dm-1", "253:1", dm__suspended="1")
    host.stack(host.block("dm-0", "253:0", dm__suspended="0"), suspended)
    luks_image.write(host.dev / "dm-0")
    luks_image.write(host.dev / "dm-1")
    assert carriers(host) == []
