"""PostgreSQL: a cluster directory below the mount, as Debian or the official image lays it out. Pure.

initdb takes an empty directory of its own user, mode 0700 (initdb(1)); the root of an ext4 mount is neither,
since it holds lost+found. Debian: pg_createcluster(1). Image: user postgres is 999:999 (70:70 on Alpine);
PGDATA is /var/lib/postgresql/data, from version 18 on /var/lib/postgresql/VERSION/docker.
"""

from pathlib import Path

from volward.config.store import PostgresStore
from volward.model import Directory
from volward.stores.profile import DATA_ONLY, ROOT_OF_MOUNT, Profile, compose

_CONTAINER_USER = "999"
_FIRST_VERSION_WITH_PARENT = 18


def profile(store: PostgresStore, mount_point: Path) -> Profile:
    """Return what a PostgreSQL cluster wants."""
    return _container(store, mount_point) if store.layout == "container" else _debian(store, mount_point)


def _debian(store: PostgresStore, mount_point: Path) -> Profile:
    owner, group = store.owner or "postgres", store.group or "postgres"
    name = f"{store.version} {store.cluster}"
    data = mount_point / store.version / store.cluster
    return Profile(
        (
            ROOT_OF_MOUNT,
            Directory(store.version, owner, group, 0o755),
            Directory(f"{store.version}/{store.cluster}", owner, group, 0o700),
        ),
        DATA_ONLY,
        (f"postgresql@{store.version}-{store.cluster}.service",),
        (
            f"A new cluster: pg_createcluster {name} --datadir {data}",
            f"A cluster that is there already: pg_ctlcluster {name} stop, copy its data directory to {data}",
            f"(cp --archive), and set data_directory = '{data}'",
            f"in /etc/postgresql/{store.version}/{store.cluster}/postgresql.conf.",
        ),
    )


def _container(store: PostgresStore, mount_point: Path) -> Profile:
    owner = store.owner or _CONTAINER_USER
    has_parent = int(store.version.partition(".")[0]) >= _FIRST_VERSION_WITH_PARENT
    target = "/var/lib/postgresql" if has_parent else "/var/lib/postgresql/data"
    return Profile(
        (ROOT_OF_MOUNT, Directory("pgdata", owner, store.group or owner, 0o700)),
        DATA_ONLY,
        (),
        ("In the compose file:", *compose("postgres", mount_point / "pgdata", target)),
    )
