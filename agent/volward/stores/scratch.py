"""Scratch: temporary files or swap under a random key that is new at each boot. Pure."""

from pathlib import Path

from volward.config.store import ScratchStore
from volward.model import Directory
from volward.stores.profile import FILES, Profile


def profile(store: ScratchStore, mount_point: Path | None) -> Profile:
    """Return what a scratch volume wants; swap (no mount point) wants nothing but its mapping."""
    if mount_point is None:
        return Profile((), (), (), ("The kernel swaps to it; `swapon --show` lists it.",))
    return Profile(
        (Directory(".", store.owner, store.group, store.mode),),
        FILES,
        (),
        (f"Temporary files go to {mount_point}: set TMPDIR={mount_point} for the service.",),
    )
