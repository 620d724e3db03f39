from pathlib import Path

import pytest
from tests.unit.host.fake_host import FakeHost

from volward.host import mapping, reencryption_lock
from volward.model import Mapping, MappingState

UUID = "5f407946-de57-47b8-91fb-eb547538bf0a"
DM_UUID = "CRYPT-LUKS2-5f407946de5747b891fbeb547538bf0a-volward-pg"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def mapped(host: FakeHost, *, dm_uuid: str = DM_UUID, suspended: str = "0", sectors: int = 2048) -> Path:
    return host.block(
        "dm-3", "253:3", sectors=sectors, dm__name="volward-pg", dm__uuid=dm_uuid, dm__suspended=suspended
    )


def look(host: FakeHost, luks_uuid: str | None = UUID, backing: str | None = "252:16") -> Mapping:
    return mapping.look("volward-pg", luks_uuid=luks_uuid, backing_number=backing, sysfs=host.sysfs)


def test_active_on_its_own_device(host: FakeHost) -> None:
    host.stack(mapped(host), host.block("vdb", "252:16"))
    found = look(host)
    assert found == Mapping(
        "volward-pg", MappingState.ACTIVE, Path("/dev/dm-3"), "253:3", DM_UUID, "252:16", 2048 * 512, ""
    )


def test_absent(host: FakeHost) -> None:
    assert look(host).state is MappingState.ABSENT


def test_unreadable_sysfs_is_unknown_and_not_absent(tmp_path: Path) -> None:
    (tmp_path / "block").write_text("not a directory")
    found = mapping.look("volward-pg", luks_uuid=UUID, backing_number="252:16", sysfs=tmp_path)
    assert found.state is MappingState.UNKNOWN and found.detail


def test_zombie_without_a_backing_device(host: FakeHost) -> None:
    mapped(host)
    assert look(host).state is MappingState.ZOMBIE


@pytest.mark.parametrize("dm_uuid", ["", "LVM-x"])
def test_foreign_with_a_table_that_needs_no_device(host: FakeHost, dm_uuid: str) -> None:
    mapped(host, dm_uuid=dm_uuid)
    found = look(host)
    assert found.state is MappingState.FOREIGN and "no device" in found.detail


def test_zombie_without_a_table(host: FakeHost) -> None:
    mapped(host, sectors=0, suspended="1")
    assert look(host).state is MappingState.ZOMBIE


def test_zombie_when_the_disk_was_pulled(host: FakeHost) -> None:
    disk = host.block("vdb", "252:16")
    host.stack(mapped(host), disk)
    (disk / "size").unlink()
    found = look(host, backing=None)
    assert found.state is MappingState.ZOMBIE and "vdb" in found.detail


def test_zombie_when_another_disk_took_the_place_of_the_pulled_one(host: FakeHost) -> None:
    disk = host.block("vdb", "252:16")
    host.stack(mapped(host), disk)
    (disk / "holders/dm-3").unlink()  # the new disk of the same name and number has no holder
    assert look(host).state is MappingState.ZOMBIE


@pytest.mark.parametrize("dm_uuid", ["", "LVM-x", "CRYPT-PLAIN-volward-pg", DM_UUID.replace("5f40", "0000")])
def test_foreign_by_its_uuid(host: FakeHost, dm_uuid: str) -> None:
    host.stack(mapped(host, dm_uuid=dm_uuid), host.block("vdb", "252:16"))
    found = look(host)
    assert found.state is MappingState.FOREIGN and "volward-pg" in found.detail


def test_foreign_when_it_stands_on_another_device(host: FakeHost) -> None:
    host.stack(mapped(host), host.block("vdc", "252:32"))
    found = look(host)
    assert found.state is MappingState.FOREIGN and "vdc" in found.detail


def test_foreign_while_the_volume_has_no_header(host: FakeHost) -> None:
    host.stack(mapped(host), host.block("vdb", "252:16"))
    assert look(host, luks_uuid=None).state is MappingState.FOREIGN


def test_right_uuid_but_nothing_to_compare_with_is_unknown(host: FakeHost) -> None:
    host.stack(mapped(host), host.block("vdb", "252:16"))
    assert look(host, backing=None).state is MappingState.UNKNOWN


def test_suspended_warns_of_resume(host: FakeHost) -> None:
    host.stack(mapped(host, suspended="1"), host.block("vdb", "252:16"))
    found = look(host)
    assert found.state is MappingState.SUSPENDED and "never run `dmsetup resume`" in found.detail


def test_file_volume_stands_on_the_files_loop_device(host: FakeHost) -> None:
    host.stack(mapped(host), host.block("loop0", "7:0", loop__backing_file="/srv/pg.img"))
    for file, state in (("/srv/pg.img", MappingState.ACTIVE), ("/srv/other.img", MappingState.FOREIGN)):
        found = mapping.look(
            "volward-pg", luks_uuid=UUID, backing_number=None, backing_file=Path(file), sysfs=host.sysfs
        )
        assert found.state is state


def test_plain_mapping_of_a_scratch_volume(host: FakeHost) -> None:
    host.stack(mapped(host, dm_uuid="CRYPT-PLAIN-volward-pg"), host.block("vdb", "252:16"))
    found = mapping.look("volward-pg", luks_uuid=None, backing_number="252:16", plain=True, sysfs=host.sysfs)
    assert found.state is MappingState.ACTIVE


def layered(host: FakeHost, *, suspended: str = "0") -> None:
    """Put the layers of an online re-encryption between mapping and disk; its hot zone may be suspended."""
    top, disk = mapped(host), host.block("vdb", "252:16")
    for number, layer, is_suspended in ((4, "hotzone-forward", suspended), (5, "overlay", "0")):
        middle = host.block(
            f"dm-{number}",
            f"253:{number}",
            dm__name=f"volward-pg-{layer}",
            dm__uuid="CRYPT-SUBDEV",
            dm__suspended=is_suspended,
        )
        host.stack(top, middle)
        host.stack(middle, disk)


def test_layers_of_an_online_reencryption_are_seen_through(host: FakeHost) -> None:
    layered(host)
    found = look(host)
    assert (found.state, found.backing_number) == (MappingState.ACTIVE, "252:16")


@pytest.mark.parametrize(("works", "state"), [(True, MappingState.ACTIVE), (False, MappingState.SUSPENDED)])
def test_a_hot_zone_is_suspended_for_good_when_nobody_works_on_it(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, works: bool, state: MappingState
) -> None:
    monkeypatch.setattr(reencryption_lock, "held", lambda uuid: uuid == UUID and works)
    layered(host, suspended="1")
    found = look(host)
    assert found.state is state
    assert works or "volward-pg-hotzone-forward is suspended" in found.detail


def test_logical_volume_below_is_not_seen_through(host: FakeHost) -> None:
    volume = host.block("dm-0", "253:0", dm__name="vg-pg", dm__uuid="LVM-x")
    host.stack(volume, host.block("sda", "8:0"))
    host.stack(mapped(host), volume)
    assert look(host, backing="253:0").state is MappingState.ACTIVE
    assert look(host, backing="8:0").state is MappingState.FOREIGN


def test_udevs_link_is_believed_only_if_sysfs_says_the_same(host: FakeHost) -> None:
    host.stack(mapped(host), host.block("vdb", "252:16"))
    (host.dev / "mapper").mkdir()
    link = host.dev / "mapper/volward-pg"

    def node() -> Path | None:
        return mapping.look("volward-pg", luks_uuid=UUID, backing_number="252:16", sysfs=host.sysfs, dev=host.dev).node

    assert node() == Path("/dev/dm-3"), "without a link"
    link.symlink_to("../dm-3")
    assert node() == Path("/dev/dm-3")
    link.unlink()
    link.symlink_to("../dm-7")
    assert node() == Path("/dev/dm-3"), "the link is of a mapping that is gone"
