"""A look at a host that has no configuration yet: disks, TPM, databases, Docker volumes.

Read-only. Without root, disks cannot be read, so none is called blank. Host commands: blkid, by way of
host/blank.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from volward.errors import VolwardError
from volward.host import blank, block
from volward.model import MIB, Device, Presence, StoreKind

_SMALLEST_BYTES = 64 * MIB
_VERSION = re.compile(r"[1-9][0-9]")
_CLUSTER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", re.ASCII)


@dataclass(frozen=True)
class Disk:
    """A disk of the host; ``why_not`` is empty for one that looks blank and has a stable link."""

    node: Path
    link: Path | None
    description: str  # "QEMU1234, 2.0 GiB"
    why_not: str = ""


@dataclass(frozen=True)
class Database:
    """A database that is installed or has data here; ``data`` is where the data is now, if there is any."""

    kind: StoreKind
    version: str = ""
    cluster: str = ""
    data: Path | None = None


@dataclass(frozen=True)
class Survey:
    """What `volward init` goes by."""

    disks: tuple[Disk, ...] = ()
    has_tpm: bool = False
    databases: tuple[Database, ...] = ()
    docker_volumes: tuple[str, ...] = ()


def look(root: Path = Path("/")) -> Survey:
    """Look at the host; what cannot be read is left out. ``root`` is another root directory for tests."""
    return Survey(
        disks=tuple(_disk(device) for device in block.disks()),
        has_tpm=(root / "dev/tpmrm0").exists(),
        databases=tuple(_databases(root)),
        docker_volumes=tuple(
            path.name for path in _directories(root / "var/lib/docker/volumes") if (path / "_data").is_dir()
        ),
    )


def _disk(device: Device) -> Disk:
    link = next(iter(block.stable_links(device.node)), None)
    size = f"{device.identity.size_bytes / 1024**3:.1f} GiB"
    serial = f"serial {device.identity.serial}" if device.identity.serial else "no serial number"
    return Disk(device.node, link, f"{serial}, {size}", _why_not(device, link))


def _why_not(device: Device, link: Path | None) -> str:
    """Say why a disk is not proposed; the proof that counts is made again right before a format."""
    if device.mounted_at:
        return f"mounted at {device.mounted_at[0]}"
    if device.swap:
        return "used as swap"
    if device.holders:
        return f"used by {', '.join(device.holders)}"
    if device.read_only:
        return "read-only"
    if device.identity.size_bytes < _SMALLEST_BYTES:
        return "too small"
    try:
        probe = blank.probe(device.node, device.identity.size_bytes)
    except VolwardError as error:
        return f"not examined: {error.what}"
    found = probe.findings[0].what if probe.findings else "content"
    if probe.content is not Presence.ABSENT:
        return f"not blank: {found}" if probe.content is Presence.PRESENT else f"could not be read: {found}"
    return "" if link else "blank, but without a link in /dev/disk/by-id (no serial number)"


def _databases(root: Path) -> Iterator[Database]:
    yield from _postgres(root)
    for kind, binary in ((StoreKind.REDIS, "redis-server"), (StoreKind.QDRANT, "qdrant")):
        data = root / "var/lib" / kind.value
        if data.is_dir():
            yield Database(kind, data=data)
        elif (root / "usr/bin" / binary).exists():
            yield Database(kind)


def _postgres(root: Path) -> Iterator[Database]:
    """Yield the clusters by version; an installed version without one gets Debian's first name, main."""
    with_cluster = set()
    for version in _directories(root / "var/lib/postgresql"):
        for cluster in _directories(version):
            if _VERSION.fullmatch(version.name) and _CLUSTER.fullmatch(cluster.name):
                with_cluster.add(version.name)
                yield Database(StoreKind.POSTGRES, version.name, cluster.name, cluster)
    for version in _directories(root / "usr/lib/postgresql"):
        installed = _VERSION.fullmatch(version.name) and (version / "bin/postgres").exists()
        if installed and version.name not in with_cluster:
            yield Database(StoreKind.POSTGRES, version.name, "main")


def _directories(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except OSError:
        return []
