"""The unit files of a volume, word for word."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import FILE_SPEC, MOUNT_POINT, SCRATCH, SPEC, SWAP

from volward.host import volume_units
from volward.host.volume_units import UnitFile
from volward.model import Directory, StoreKind, VolumeSpec


@pytest.mark.parametrize(
    ("path", "escaped"),
    [  # as `systemd-escape --path` prints them
        ("/", "-"),
        ("/srv/volward/pgdata", "srv-volward-pgdata"),
        ("/dev/mapper/volward-pgdata", r"dev-mapper-volward\x2dpgdata"),
        ("/.hidden/.a", r"\x2ehidden-.a"),
        ("/a@b+c_d:e", r"a\x40b\x2bc_d:e"),
        ("/Größe", r"Gr\xc3\xb6\xc3\x9fe"),
    ],
)
def test_paths_are_escaped_as_systemd_does(path: str, escaped: str) -> None:
    assert volume_units.escape_path(Path(path)) == escaped
    assert volume_units.mount_unit_name(Path(path)) == f"{escaped}.mount"


def test_a_mount_is_bound_to_its_mapping_and_to_nothing_else(tmp_path: Path) -> None:
    unit = volume_units.mount_unit(
        "pgdata",
        what=Path("/dev/mapper/volward-pgdata"),
        where=MOUNT_POINT,
        file_system="ext4",
        options=("noatime", "context=100%"),
        directory=tmp_path,
    )

    assert unit.path == tmp_path / "srv-volward-pgdata.mount"
    assert unit.content == (
        "# Written by volward for volume pgdata; `volward apply` writes it anew.\n"
        "[Unit]\n"
        "Description=Encrypted volume pgdata\n"
        "DefaultDependencies=no\n"
        "Conflicts=umount.target\n"
        "Before=umount.target\n"
        "BindsTo=dev-mapper-volward\\x2dpgdata.device\n"
        "After=dev-mapper-volward\\x2dpgdata.device\n"
        "Wants=volward-mapping-pgdata.service\n"
        "After=volward-mapping-pgdata.service\n"
        "\n"
        "[Mount]\n"
        "What=/dev/mapper/volward-pgdata\n"
        "Where=/srv/volward/pgdata\n"
        "Type=ext4\n"
        "Options=noatime,context=100%%\n"
    )


def test_a_mapping_is_closed_by_cryptsetup_after_its_mount(tmp_path: Path) -> None:
    what = Path("/dev/mapper/volward-pgdata")
    unit = volume_units.mapping_unit("pgdata", what=what, directory=tmp_path)

    assert unit.path == tmp_path / "volward-mapping-pgdata.service"
    said = unit.content.splitlines()
    assert "Before=umount.target" in said and "DefaultDependencies=no" in said
    close = f"until test ! -e {what} || cryptsetup close volward-pgdata; do sleep 1; done"
    assert "After=dev-mapper-volward\\x2dpgdata.device systemd-udevd.service systemd-udevd-kernel.socket" in said
    assert "IgnoreOnIsolate=yes" in said
    assert f"ExecStop=timeout --kill-after=5 60 sh -c '{close}'" in said
    assert f"ExecStopPost=-/bin/sh -c 'test ! -e {what} || exec volward holders pgdata'" in said
    assert not any(line.startswith("ExecStart=") for line in said), "it holds the mapping, it does not open it"


def test_a_consumer_is_tied_to_the_real_mount(tmp_path: Path) -> None:
    drop_in = volume_units.consumer_drop_in("pgdata", unit="redis.service", mount_point=MOUNT_POINT, directory=tmp_path)

    assert drop_in.path == tmp_path / "redis.service.d" / "50-volward-pgdata.conf"
    assert drop_in.content.splitlines()[1:] == [
        "[Unit]",
        "RequiresMountsFor=/srv/volward/pgdata",
        "BindsTo=srv-volward-pgdata.mount",
        "After=srv-volward-pgdata.mount",
    ]


def test_a_closed_volume_is_waited_for_after_the_opening_at_boot(tmp_path: Path) -> None:
    drop_in = volume_units.device_drop_in("pgdata", what=Path("/dev/mapper/volward-pgdata"), directory=tmp_path)

    assert drop_in.path == tmp_path / r"dev-mapper-volward\x2dpgdata.device.d" / "50-volward.conf"
    assert drop_in.content.splitlines()[1:] == ["[Unit]", "After=volward.service", "JobRunningTimeoutSec=10"]


def test_a_volume_has_a_mount_a_wait_and_a_drop_in_for_each_consumer_that_is_a_unit() -> None:
    spec = replace(SPEC, consumers=("postgresql@17-main.service", "container:db"), mount_options=())

    units = volume_units.units_of(spec)

    assert [str(unit.path.relative_to(volume_units.UNIT_DIRECTORY)) for unit in units] == [
        "srv-volward-pgdata.mount",
        r"dev-mapper-volward\x2dpgdata.device.d/50-volward.conf",
        "volward-mapping-pgdata.service",
        "postgresql@17-main.service.d/50-volward-pgdata.conf",
    ]
    assert "Options=defaults\n" in units[0].content
    assert [unit.path.parent.name for unit in volume_units.units_of(SWAP)] == ["volward.service.d"]


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        (SPEC, None),
        (FILE_SPEC, ["ReadWritePaths=-/var/lib/volward/images"]),
        (SCRATCH, ["CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER", "SystemCallFilter=@chown"]),
        (SWAP, ["SystemCallFilter=swapon swapoff"]),
    ],
)
def test_the_daemon_is_let_through_to_what_one_volume_needs(spec: VolumeSpec, lines: list[str] | None) -> None:
    drop_in = volume_units.daemon_drop_in(spec)

    assert (drop_in.content.splitlines()[1:] if drop_in else None) == (lines and ["[Service]", *lines])
    if drop_in:
        assert drop_in.path == volume_units.UNIT_DIRECTORY / "volward.service.d" / f"50-volward-{spec.name}.conf"
        assert drop_in in volume_units.units_of(spec)


@pytest.mark.parametrize(("store", "let_in"), [(StoreKind.REDIS, True), (StoreKind.DIRECTORY, False)])
def test_a_consumer_with_a_sandbox_is_let_into_its_directories(store: StoreKind, let_in: bool) -> None:
    directories = (Directory(".", "root", "root", 0o755), Directory("data", "redis", "redis", 0o700))
    spec = replace(SPEC, store=store, directories=directories, consumers=("redis-server.service",))

    content = volume_units.units_of(spec)[-1].content

    assert ("[Service]" in content) is let_in
    assert content.count("ReadWritePaths=") == content.count("ReadWritePaths=/srv/volward/pgdata/data\n") == let_in


def test_the_drop_in_of_a_consumer_that_is_none_any_more_goes(tmp_path: Path) -> None:
    gone = volume_units.consumer_drop_in("pgdata", unit="old.service", mount_point=MOUNT_POINT, directory=tmp_path)
    shared = volume_units.consumer_drop_in("pgdata", unit="other.service", mount_point=MOUNT_POINT, directory=tmp_path)
    for unit in (gone, shared):
        unit.write()
    mine = shared.path.with_name("mine.conf")
    mine.touch()
    wanted = volume_units.units_of(SPEC)[-1].path

    assert volume_units.ties(directory=tmp_path) == {"pgdata": (gone.path, shared.path)}
    assert volume_units.left_behind(SPEC, (gone.path, wanted)) == (gone.path,)

    volume_units.remove_drop_in(gone.path)
    volume_units.remove_drop_in(shared.path)
    assert not gone.path.parent.exists()
    assert mine.exists() and not shared.path.exists()


def test_a_unit_is_current_only_with_exactly_its_content(tmp_path: Path) -> None:
    unit = UnitFile(tmp_path / "redis.service.d" / "50-volward-redis.conf", "[Unit]\n")
    assert not unit.current
    unit.write()
    assert unit.current
    assert unit.path.stat().st_mode & 0o7777 == 0o644
    unit.path.write_bytes(b"\xff")
    assert not unit.current
