"""Qdrant: one directory for the collections, one for snapshots. Pure.

Qdrant's package brings neither a user nor a unit, so the names are the usual ones. The official image runs as
root in /qdrant (its -unprivileged variant as 1000); storage_path and snapshots_path are in config.yaml.
"""

from pathlib import Path

from volward.config.store import QdrantStore
from volward.model import Directory
from volward.stores.profile import DATA_ONLY, ROOT_OF_MOUNT, Profile, compose


def profile(store: QdrantStore, mount_point: Path) -> Profile:
    """Return what a Qdrant server wants."""
    container = store.layout == "container"
    owner = store.owner or ("0" if container else "qdrant")
    group = store.group or owner
    storage, snapshots = mount_point / "storage", mount_point / "snapshots"
    return Profile(
        (
            ROOT_OF_MOUNT,
            Directory("storage", owner, group, 0o700),
            Directory("snapshots", owner, group, 0o750),
        ),
        DATA_ONLY,
        () if container else ("qdrant.service",),
        (
            "In the compose file:",
            *compose("qdrant", storage, "/qdrant/storage"),
            *compose("qdrant", snapshots, "/qdrant/snapshots")[3:],
        )
        if container
        else (
            "In Qdrant's config.yaml:",
            "storage:",
            f"  storage_path: {storage}",
            f"  snapshots_path: {snapshots}",
        ),
    )
