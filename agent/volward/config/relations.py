"""What must hold between volumes: no two on one device or mount point, none inside another.

Follows links to see where devices really are; changes nothing. Linear in the number of volumes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from volward.config.values import BackingDevice


@dataclass(frozen=True)
class Claim:
    """What one volume takes for itself; None where its setting is wrong or missing."""

    volume: str
    device: BackingDevice | None
    mount_point: Path | None
    key_path: str | None = None  # in Vault, with its mount


Conflict = tuple[str, str, str, str]  # the volume and setting to report at, what is wrong, what to do


def conflicts(claims: Sequence[Claim]) -> Iterator[Conflict]:
    """Yield each claim that another volume makes impossible, reported at the later one of the two."""
    yield from _devices(claims)
    yield from _key_paths(claims)
    owners: dict[Path, str] = {}
    for claim in claims:
        if claim.mount_point is None:
            continue
        owner = owners.setdefault(claim.mount_point, claim.volume)
        if owner != claim.volume:
            what = f"is {claim.mount_point}, which volume {owner} has already."
            yield claim.volume, "mount_point", what, "Give each volume a mount point of its own."
    for claim in claims:
        yield from _inside(claim, owners)


def _key_paths(claims: Sequence[Claim]) -> Iterator[Conflict]:
    by_path: dict[str, str] = {}
    for claim in claims:
        if claim.key_path is None:
            continue
        owner = by_path.setdefault(claim.key_path, claim.volume)
        if owner != claim.volume:
            what = f"leads to {claim.key_path} in Vault, which is where volume {owner} keeps its key."
            yield claim.volume, "vault.path", what, "Give each volume a path of its own, or leave it out."


def _devices(claims: Sequence[Claim]) -> Iterator[Conflict]:
    by_path: dict[Path, str] = {}
    by_real_path: dict[Path, str] = {}
    advice = "Give each volume a device of its own."
    for claim in claims:
        if claim.device is None:
            continue
        owner = by_path.setdefault(claim.device.path, claim.volume)
        if owner != claim.volume:
            yield claim.volume, "device", f"is {claim.device}, which volume {owner} has already.", advice
            continue
        real = _real(claim.device.path)
        owner = by_real_path.setdefault(real, claim.volume) if real else claim.volume
        if owner != claim.volume:
            what = f"is {claim.device}. It leads to {real}, and so does the device of volume {owner} now."
            yield claim.volume, "device", what, advice


def _real(path: Path) -> Path | None:
    """Follow a link to what is there now; None when nothing is."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None


def _inside(claim: Claim, owners: dict[Path, str]) -> Iterator[Conflict]:
    """Refuse what would be hidden, or not there, while the volume around it is closed."""
    if claim.mount_point is not None:
        outer = next((parent for parent in claim.mount_point.parents if parent in owners), None)
        if outer is not None:
            what = (
                f"is {claim.mount_point}, inside the mount point of volume {owners[outer]}. "
                f"It could not be mounted while {owners[outer]} is closed."
            )
            advice = f'Put it beside the other, for example "{outer.parent / claim.volume}".'
            yield claim.volume, "mount_point", what, advice
    if claim.device is not None and claim.device.is_file:
        outer = next((parent for parent in claim.device.path.parents if parent in owners), None)
        if outer is not None:
            where = "its own mount point" if owners[outer] == claim.volume else f"volume {owners[outer]}"
            what = f"is a file on {where}, so it is not there while that is closed."
            yield claim.volume, "device", what, f'For example "file:/var/lib/volward/images/{claim.volume}.img".'
