"""What each store asks of its volume."""

from pathlib import Path

import pytest

from volward import stores
from volward.config import VolumeConfig
from volward.model import Directory, FileSystem, ProviderKind, StoreKind
from volward.stores.profile import combine

ROOT = Directory(".", "root", "root", 0o755)


def volume(store: object, **settings: object) -> VolumeConfig:
    table = {"device": "/dev/disk/by-id/virtio-1", "store": store, "mount_point": "/srv/v", **settings}
    return VolumeConfig.model_validate({key: value for key, value in table.items() if value is not None})


DIRECTORIES = [
    ("postgres", [Directory("17", "postgres", "postgres", 0o755), Directory("17/main", "postgres", "postgres", 0o700)]),
    (
        {"kind": "postgres", "version": "15", "cluster": "shop", "owner": "pg", "group": "dba"},
        [Directory("15", "pg", "dba", 0o755), Directory("15/shop", "pg", "dba", 0o700)],
    ),
    ({"kind": "postgres", "layout": "container"}, [Directory("pgdata", "999", "999", 0o700)]),
    ({"kind": "postgres", "layout": "container", "owner": 70}, [Directory("pgdata", "70", "70", 0o700)]),
    ("redis", [Directory("redis", "redis", "redis", 0o750)]),
    ({"kind": "redis", "layout": "container", "group": "1000"}, [Directory("redis", "999", "1000", 0o750)]),
    (
        "qdrant",
        [Directory("storage", "qdrant", "qdrant", 0o700), Directory("snapshots", "qdrant", "qdrant", 0o750)],
    ),
    (
        {"kind": "directory", "path": "a/b", "owner": "app", "mode": "0770"},
        [Directory("a", "root", "root", 0o755), Directory("a/b", "app", "root", 0o770)],
    ),
]


@pytest.mark.parametrize(("store", "expected"), DIRECTORIES)
def test_directories_lie_below_a_mount_that_belongs_to_root(store: object, expected: list[Directory]) -> None:
    """A database never gets the root of the mount: lost+found is there, and initdb would refuse it."""
    assert list(stores.spec("v", volume(store)).directories) == [ROOT, *expected]


def test_a_plain_directory_may_be_the_mount_itself() -> None:
    spec = stores.spec("v", volume({"kind": "directory", "owner": "app", "group": "app"}))
    assert spec.directories == (Directory(".", "app", "app", 0o750),)
    assert "noexec" not in spec.mount_options


@pytest.mark.parametrize(
    ("store", "consumers"),
    [
        ("postgres", ("postgresql@17-main.service",)),
        ({"kind": "postgres", "layout": "container"}, ()),
        ("redis", ("redis-server.service",)),
        ("qdrant", ("qdrant.service",)),
        ("directory", ()),
    ],
)
def test_consumers(store: object, consumers: tuple[str, ...]) -> None:
    assert stores.spec("v", volume(store)).consumers == consumers
    assert stores.spec("v", volume(store, consumers=[])).consumers == ()
    assert stores.spec("v", volume(store, consumers=["a.service"])).consumers == ("a.service",)


def test_mount_options_are_added_and_opposites_replace() -> None:
    assert combine(("noatime", "nodev", "noexec"), ()) == ("noatime", "nodev", "noexec")
    assert combine(("noatime", "nodev", "noexec"), ("exec", "sync")) == ("noatime", "nodev", "exec", "sync")
    assert combine(("noatime", "nodev"), ("noatime", "relatime")) == ("nodev", "noatime", "relatime")


def test_scratch_has_no_keys_and_swap_no_mount() -> None:
    files = stores.spec("v", volume("scratch"))
    assert files.providers == ()
    assert files.directories == (Directory(".", "root", "root", 0o1777),)
    swap = stores.spec("v", volume("scratch", file_system="swap", mount_point=None))
    assert (swap.mount_point, swap.mount_options, swap.directories) == (None, (), ())
    assert swap.file_system is FileSystem.SWAP
    assert swap.store is StoreKind.SCRATCH


def test_a_spec_carries_every_setting() -> None:
    spec = stores.spec(
        "v",
        volume(
            "redis",
            device="file:/var/lib/x.img",
            size="1 GiB",
            file_system="xfs",
            keys=["tpm2", "credential"],
            discard=True,
            on_denied="stop",
            open_at_boot=False,
            cipher={"key_bits": 256, "sector_size": 512},
            recovery={"memory": "64 MiB", "iterations": 6, "lanes": 1},
            tpm2={"pcrs": [7, 14]},
            credential={"seal": "host+tpm2"},
        ),
    )
    assert (spec.device, spec.is_file, spec.file_size_bytes) == (Path("/var/lib/x.img"), True, 2**30)
    assert spec.providers == (ProviderKind.TPM2, ProviderKind.CREDENTIAL)
    assert (spec.discard, spec.on_denied_stop, spec.open_at_boot) == (True, True, False)
    assert (spec.cipher.key_bits, spec.cipher.sector_size_bytes) == (256, 512)
    assert (spec.recovery.memory_kib, spec.recovery.iterations, spec.recovery.lanes) == (65536, 6, 1)
    assert (spec.tpm2_pcrs, spec.credential_seal) == ((7, 14), "host+tpm2")


@pytest.mark.parametrize(
    ("store", "line"),
    [
        ("postgres", "A new cluster: pg_createcluster 17 main --datadir /srv/v/17/main"),
        ({"kind": "postgres", "layout": "container"}, "        target: /var/lib/postgresql/data"),
        ({"kind": "postgres", "layout": "container", "version": "18"}, "        target: /var/lib/postgresql"),
        ("redis", "In /etc/redis/redis.conf: dir /srv/v/redis"),
        ({"kind": "redis", "layout": "container"}, "        source: /srv/v/redis"),
        ("qdrant", "  storage_path: /srv/v/storage"),
        ({"kind": "qdrant", "layout": "container"}, "        target: /qdrant/snapshots"),
        ("directory", "The directory is /srv/v."),
        ("scratch", "Temporary files go to /srv/v: set TMPDIR=/srv/v for the service."),
    ],
)
def test_hints_say_how_to_point_the_service_there(store: object, line: str) -> None:
    assert line in stores.hints(volume(store))
