"""Redis: one directory for RDB snapshots and append-only files. Pure.

Debian's redis-server runs as redis:redis in a sandbox that lets it write below /var/lib/redis alone; the
consumer's drop-in lets it write to the volume too (host/systemd.py). The official image runs as redis, 999:999
(999:1000 on Alpine), in /data.
"""

from pathlib import Path

from volward.config.store import RedisStore
from volward.model import Directory
from volward.stores.profile import DATA_ONLY, ROOT_OF_MOUNT, Profile, compose


def profile(store: RedisStore, mount_point: Path) -> Profile:
    """Return what a Redis server wants."""
    data = mount_point / "redis"
    container = store.layout == "container"
    owner = store.owner or ("999" if container else "redis")
    group = store.group or owner
    return Profile(
        (ROOT_OF_MOUNT, Directory("redis", owner, group, 0o750)),
        DATA_ONLY,
        () if container else ("redis-server.service",),
        ("In the compose file:", *compose("redis", data, "/data"))
        if container
        else (
            f"In /etc/redis/redis.conf: dir {data}",
            "(append-only files then live there too, in appenddirname).",
            "volward's drop-in for redis-server.service lets the unit write there.",
        ),
    )
