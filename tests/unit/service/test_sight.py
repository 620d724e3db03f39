"""What the daemon sees, on a sysfs and a /proc below a temporary directory."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.builders import IDENTITY
from tests.unit.host.fake_host import FakeHost

from volward import pins
from volward.model import Pin
from volward.service.board import Sight
from volward.service.sight import Moment, look
from volward.service.task import Watched

UUID = "12345678-1234-1234-1234-123456789abc"
DM_UUID = f"CRYPT-LUKS2-{UUID.replace('-', '')}-volward-data"
MOUNTED = "90 25 253:0 / /srv/data {} shared:1 - ext4 /dev/mapper/volward-data {}"


class World(FakeHost):
    """A host with one volume, whose device node is a regular file (number 0:0)."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.pins = root / "pins"
        self.node = self.dev / "vdb"
        self.node.touch()
        self.disk = self.block("vdb", "0:0", serial=IDENTITY.serial, wwid=IDENTITY.wwn)
        pins.write("data", Pin(IDENTITY, UUID), directory=self.pins)
        (self.proc / "swaps").write_text("Filename Type Size Used Priority\n")
        self.volume = Watched(
            "data", str(self.node), "volward-data", "/srv/data", consumers=("db.service", "x.service")
        )

    def mapped(self, dm_uuid: str = DM_UUID) -> Path:
        upper = self.block("dm-0", "253:0", dm__name="volward-data", dm__uuid=dm_uuid, dm__suspended="0", diskseq="7")
        self.stack(upper, self.disk)
        return upper

    def sight(self, volume: Watched | None = None) -> Sight | None:
        moment = Moment(sysfs=self.sysfs, proc=self.proc, dev=self.dev, pins=self.pins)
        return moment.sight(volume or self.volume)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_closed_and_away(world: World) -> None:
    assert world.sight() == Sight(device=True, mapping=False, mounted=False)
    world.node.unlink()
    assert world.sight() == Sight(device=False, mapping=False, mounted=False)


def test_open_and_mounted(world: World) -> None:
    world.mapped()
    assert world.sight() == Sight(device=True, mapping=True, mounted=False, sequence="7")
    world.mountinfo(MOUNTED.format("rw", "rw"))
    assert world.sight() == Sight(device=True, mapping=True, mounted=True, sequence="7")


def test_a_file_system_that_went_read_only(world: World) -> None:
    world.mapped()
    world.mountinfo(MOUNTED.format("rw", "ro"))
    assert world.sight() == Sight(device=True, mapping=True, mounted=True, sequence="7", read_only=True)


def test_a_device_that_is_not_as_it_was_pinned(world: World) -> None:
    (world.disk / "size").write_text("204800\n")
    (world.disk / "serial").write_text("another\n")
    seen = world.sight()
    assert seen is not None
    assert seen.changed == (
        f"serial: pinned {IDENTITY.serial}, found another",
        f"size_bytes: pinned {IDENTITY.size_bytes}, found {204800 * 512}",
    )
    assert seen.reasons[0].startswith(f"its device is not as it was pinned (serial: pinned {IDENTITY.serial}, found")


@pytest.mark.parametrize(("counted", "errors"), [("0\n", False), ("3\n", True), ("", False)])
def test_a_file_system_that_met_errors(world: World, counted: str, errors: bool) -> None:
    world.mapped()
    world.mountinfo(MOUNTED.format("rw", "rw"))
    counter = world.sysfs / "fs/ext4/dm-0/errors_count"
    counter.parent.mkdir(parents=True)
    counter.write_text(counted)
    assert world.sight() == Sight(device=True, mapping=True, mounted=True, sequence="7", errors=errors)


def test_a_disk_that_was_pulled(world: World) -> None:
    world.mapped()
    world.mountinfo(MOUNTED.format("rw", "rw"))
    (world.disk / "holders/dm-0").unlink()
    world.node.unlink()
    seen = world.sight()
    assert seen == Sight(False, True, True, sequence="7", zombie=True)


def test_what_is_not_the_volumes_is_told_of(world: World) -> None:
    world.mapped("CRYPT-LUKS2-0000-other")
    seen = world.sight()
    assert seen is not None and (seen.device, seen.mounted) == (True, False)
    assert "A mapping volward-data exists and is not this volume" in seen.other


def test_what_cannot_be_judged_is_not_told_of(world: World) -> None:
    upper = world.mapped()
    (upper / "dm/suspended").write_text("1\n")
    assert world.sight() is None
    (world.pins / "data.json").write_text("nonsense")
    assert world.sight() is None


def test_an_open_mapping_without_a_pin_is_not_the_volumes(world: World) -> None:
    pins.remove("data", directory=world.pins)
    assert world.sight() == Sight(device=True, mapping=False, mounted=False)
    world.mapped()
    seen = world.sight()
    assert seen is not None and "though the volume has no LUKS header" in seen.other


def test_a_volume_in_a_file(world: World) -> None:
    upper = world.block("dm-0", "253:0", dm__name="volward-data", dm__uuid=DM_UUID, dm__suspended="0")
    world.stack(upper, world.block("loop0", "7:0", loop__backing_file=str(world.node)))
    assert world.sight(replace(world.volume, is_file=True)) == Sight(device=True, mapping=True, mounted=False)


def test_swap_of_scratch(world: World) -> None:
    world.mapped("CRYPT-PLAIN-volward-data")
    swap = replace(world.volume, scratch=True, mount_point="")
    assert world.sight(swap) == Sight(device=True, mapping=True, mounted=False, sequence="7")
    (world.dev / "dm-0").touch()
    (world.proc / "swaps").write_text(f"Filename Type Size Used Priority\n{world.dev}/dm-0 partition 1 0 -2\n")
    assert world.sight(swap) is not None


def test_this_very_host_can_be_looked_at(world: World) -> None:
    nowhere = replace(world.volume, name="no-such-volume", device="/dev/disk/by-id/none", mapping="volward-none")
    assert look([nowhere]) == {"no-such-volume": Sight(device=False, mapping=False, mounted=False)}


def test_the_space_of_a_file_system(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.mapped()
    where = tmp_path / "mounted"
    where.mkdir()
    volume = replace(world.volume, mount_point=str(where))
    world.mountinfo(f"90 25 253:0 / {where} rw shared:1 - ext4 /dev/mapper/volward-data rw")
    space = SimpleNamespace(f_blocks=100, f_bfree=15, f_bavail=5)
    monkeypatch.setattr("os.statvfs", lambda path: space)
    seen = world.sight(volume)
    assert seen is not None and seen.used_percent == 94
    space.f_blocks = space.f_bfree = space.f_bavail = 0
    seen = world.sight(volume)
    assert seen is not None and seen.used_percent == 0
