"""Three real databases in a virtual host, as shell commands that a person could type: set up, write, read.

The tests and the demo use the same commands. PostgreSQL and Redis are Debian's; Qdrant is its storage engine
behind a server of the lab's own (guest/qdrant_server.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.lab.host import Host
from tests.lab.recipe import LAB

ROWS = 1000


@dataclass(frozen=True)
class Database:
    """`{text}` in `write` is what is written; `read` prints the number of rows and the text of one."""

    name: str  # of the volume, too
    store: str
    unit: str
    data: str  # below the mount point
    setup: tuple[str, ...]
    write: str
    read: str
    settle: str  # have everything written to the file system

    @property
    def mount_point(self) -> str:
        return f"/srv/volward/{self.name}"

    @property
    def directory(self) -> str:
        return f"{self.mount_point}/{self.data}"

    def write_rows(self, host: Host, text: str) -> None:
        host.sh(self.write.format(text=text))

    def rows(self, host: Host) -> str:
        return host.sh(self.read).stdout.strip()

    def start(self, host: Host) -> None:
        for command in self.setup:
            host.sh(command, timeout=600)


POSTGRES = Database(
    name="pg",
    store="postgres",
    unit="postgresql@17-main.service",
    data="17/main",
    setup=(
        "pg_dropcluster 17 main",
        "pg_createcluster 17 main --datadir /srv/volward/pg/17/main",
        "systemctl enable --quiet --now postgresql",
    ),
    write="runuser -u postgres -- psql -q -c \"CREATE TABLE patients AS SELECT n AS id, '{text}' AS name "
    f'FROM generate_series(1, {ROWS}) AS n"',
    read="runuser -u postgres -- psql -At -F ' ' -c 'SELECT count(*), min(name) FROM patients'",
    settle="runuser -u postgres -- psql -q -c CHECKPOINT",
)

POSTGRES_MOVED = replace(
    POSTGRES,
    setup=(
        "pg_ctlcluster 17 main stop",
        "cp --archive /var/lib/postgresql/17/main/. /srv/volward/pg/17/main",
        "pg_conftool 17 main set data_directory /srv/volward/pg/17/main",
        "systemctl enable --quiet --now postgresql",
    ),
)

REDIS = Database(
    name="redis",
    store="redis",
    unit="redis-server.service",
    data="redis",
    setup=(
        "sed -i 's|^dir .*|dir /srv/volward/redis/redis|; s|^appendonly .*|appendonly yes|' /etc/redis/redis.conf",
        "systemctl enable --quiet --now redis-server",
    ),
    write=f"seq {ROWS} | sed 's/.*/SET session:& \"{{text}}\"/' | redis-cli --pipe",
    read="echo $(redis-cli DBSIZE) $(redis-cli GET session:1)",
    settle="redis-cli SAVE",
)

QDRANT = Database(
    name="qdrant",
    store="qdrant",
    unit="qdrant.service",
    data="storage",
    setup=("systemctl enable --quiet --now qdrant",),
    write=f'qdrant-client write "{{text}}" {ROWS}',
    read="qdrant-client read",
    settle="sync",
)

ALL: Sequence[Database] = (POSTGRES, REDIS, QDRANT)

_SERVER = "/opt/lab/qdrant_server.py"
_PYTHON = "/opt/qdrant-engine/bin/python"
_UNIT = f"""\
[Unit]
Description=Qdrant's storage engine behind a socket

[Service]
Type=notify
User=qdrant
RuntimeDirectory=qdrant
ExecStart={_PYTHON} {_SERVER} serve /srv/volward/qdrant/storage

[Install]
WantedBy=multi-user.target
"""


def install_qdrant(host: Host) -> None:
    """Give the host what Debian has no package for: Qdrant's user, unit and client."""
    host.put(_SERVER, (LAB / "guest" / "qdrant_server.py").read_text())
    host.put("/etc/systemd/system/qdrant.service", _UNIT)
    host.put("/usr/local/bin/qdrant-client", f'#!/bin/sh\nexec {_PYTHON} {_SERVER} "$@"\n', mode=0o755)
    host.sh("useradd --system --no-create-home qdrant")


def configuration(devices: Mapping[str, str], settings: Mapping[str, str] | None = None) -> str:
    """volward.toml for these databases: the device by volume name, and more settings where there are any."""
    more = settings or {}
    return "\n".join(
        f'[volumes.{one.name}]\ndevice = "{devices[one.name]}"\nstore = "{one.store}"\n'
        f'mount_point = "{one.mount_point}"\n{more.get(one.name, "")}'
        for one in ALL
        if one.name in devices
    )
