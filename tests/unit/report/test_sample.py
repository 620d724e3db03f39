"""What `volward init` writes is accepted by load(), whatever the host looks like."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volward.config import load
from volward.config.volume import Configuration
from volward.host import blank, block
from volward.model import (
    BlankProbe,
    Device,
    DeviceClass,
    Finding,
    Identity,
    Presence,
    ProviderKind,
    StoreKind,
)
from volward.report import sample, survey
from volward.report.survey import Database, Disk, Survey

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12)
DISKS = st.builds(
    Disk,
    node=st.just(Path("/dev/vdb")),
    # udev writes "_" for the blanks of a serial number (util_replace_whitespace), so a link never ends in one.
    link=NAMES.map(lambda name: Path("/dev/disk/by-id") / f"id-{name}".rstrip()),
    description=NAMES,
    why_not=st.one_of(st.just(""), NAMES),
)
DATABASES = st.one_of(
    st.builds(
        Database,
        kind=st.just(StoreKind.POSTGRES),
        version=st.sampled_from(["13", "15", "17"]),
        cluster=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,40}", fullmatch=True),
        data=st.one_of(st.none(), NAMES.map(lambda name: Path("/var/lib/postgresql") / name)),
    ),
    st.builds(Database, kind=st.sampled_from([StoreKind.REDIS, StoreKind.QDRANT])),
)


def written(found: Survey) -> Configuration:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "volward.toml").write_text(sample.write(found), encoding="utf-8")
        return load(Path(directory))


@given(
    disks=st.lists(DISKS, max_size=3, unique_by=lambda disk: disk.link),
    databases=st.lists(DATABASES, max_size=4, unique_by=lambda one: (one.kind, one.version, one.cluster)),
    has_tpm=st.booleans(),
    docker_volumes=st.lists(NAMES, max_size=2),
)
def test_what_is_written_loads(
    disks: list[Disk], databases: list[Database], has_tpm: bool, docker_volumes: list[str]
) -> None:
    found = Survey(tuple(disks), has_tpm, tuple(databases), tuple(docker_volumes))
    volumes = written(found).volumes
    assert len(volumes) == max(1, len(databases))
    blank_links = [disk.link for disk in disks if not disk.why_not]
    used = [volume.device.path for volume in volumes.values() if not volume.device.is_file]
    assert used == blank_links[: len(volumes)]
    for volume in volumes.values():
        assert (ProviderKind.TPM2 in volume.keys) is has_tpm


def test_three_databases_on_three_disks() -> None:
    links = [Path(f"/dev/disk/by-id/virtio-D{number}") for number in range(3)]
    found = Survey(
        disks=tuple(Disk(Path("/dev/vdb"), link, "serial D, 2.0 GiB") for link in links),
        databases=(
            Database(StoreKind.POSTGRES, "17", "main"),
            Database(StoreKind.REDIS, data=Path("/var/lib/redis")),
            Database(StoreKind.QDRANT),
        ),
    )
    volumes = written(found).volumes
    assert {name: volume.device.path for name, volume in volumes.items()} == dict(
        zip(("pgdata", "redis", "qdrant"), links, strict=True)
    )
    assert "/var/lib/redis now" in sample.write(found)


def test_the_survey_looks_at_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (
        "var/lib/postgresql/15/main",
        "usr/lib/postgresql/17/bin",
        "var/lib/redis",
        "dev",
        "var/lib/docker/volumes/shop/_data",
        "var/lib/postgresql/.cache/x",
    ):
        (tmp_path / path).mkdir(parents=True)
    for path in ("usr/lib/postgresql/17/bin/postgres", "dev/tpmrm0"):
        (tmp_path / path).touch()
    identity = Identity(DeviceClass.DISK, 2**31, serial="D1")
    found = {
        Path("/dev/vdb"): BlankProbe(Presence.ABSENT),
        Path("/dev/vdc"): BlankProbe(Presence.PRESENT, (Finding("ext4 file system", 1080),)),
        Path("/dev/vdd"): BlankProbe(Presence.UNKNOWN, (Finding("read error", 0),)),
    }
    devices = [Device(node, "", identity, 512, 512) for node in found]
    devices.append(Device(Path("/dev/vda"), "", identity, 512, 512, mounted_at=(Path("/"),)))
    monkeypatch.setattr(block, "disks", lambda: tuple(devices))
    monkeypatch.setattr(block, "stable_links", lambda node: (Path("/dev/disk/by-id") / node.name,))
    monkeypatch.setattr(blank, "probe", lambda node, size: found[node])

    seen = survey.look(tmp_path)

    assert seen.has_tpm
    assert [(one.kind, one.version, one.cluster) for one in seen.databases] == [
        (StoreKind.POSTGRES, "15", "main"),
        (StoreKind.POSTGRES, "17", "main"),
        (StoreKind.REDIS, "", ""),
    ]
    assert seen.docker_volumes == ("shop",)
    assert [disk.why_not for disk in seen.disks] == [
        "",
        "not blank: ext4 file system",
        "could not be read: read error",
        "mounted at /",
    ]
