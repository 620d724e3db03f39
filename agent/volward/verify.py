"""verify: compares a fresh observation with what was planned. Pure; "the tool said OK" is not evidence."""

from volward.keys import header_token
from volward.model import (
    Discrepancy,
    Goal,
    Header,
    MappingState,
    MountPointState,
    MountUnitState,
    Observation,
    Rotation,
    StoreKind,
    VolumeSpec,
)


def verify(spec: VolumeSpec, seen: Observation, goal: Goal) -> tuple[Discrepancy, ...]:
    """Return where the host differs from what a plan for ``goal`` promises."""
    found = _mapping(spec, seen)
    if goal is Goal.MAP:
        return tuple(found)
    found += [*_file_system(spec, seen), *_mount(spec, seen)]
    if goal is Goal.PROVISION:
        found += _header(spec, seen) if spec.store is not StoreKind.SCRATCH else []
        found += _store(spec, seen)
    return tuple(found)


def verify_rotation(volume: str, before: Header, after: Header, rotation: Rotation) -> tuple[Discrepancy, ...]:
    """Return where the header is not as a rotation should have left it.

    Every keyslot that stays has the tokens that it had, what had to go is gone with its tokens, and no keyslot is
    without a token that had one, nor the other way round.
    """
    numbers = {keyslot.number for keyslot in after.keyslots}
    gone = set(rotation.revoked) | (set(rotation.old) if rotation.at_once else set())
    found = []
    for keyslot in before.keyslots:
        number = keyslot.number
        told, tells = _names(before, number), _names(after, number)
        if number in gone:
            if number in numbers:
                found.append(Discrepancy(volume, f"keyslot {number}", "removed", "there"))
        elif told and number not in numbers:  # one without a token may be the rotation's own, from before it was cut
            found.append(Discrepancy(volume, f"keyslot {number}", f"there ({', '.join(told)})", "gone"))
        elif told and told != tells:
            found.append(Discrepancy(volume, f"keyslot {number}", ", ".join(told), ", ".join(tells) or "no token"))
    had_none = {keyslot.number for keyslot in before.keyslots if not _names(before, keyslot.number)}
    found += [
        Discrepancy(volume, f"keyslot {number}", "a token that describes it", "none")
        for number in sorted(numbers - had_none)
        if not _names(after, number)
    ]
    found += [
        Discrepancy(volume, f"token {token.number}", "keyslots that are there", "none")
        for token in after.tokens
        if token.type in (header_token.TYPE, header_token.PARKED) and not set(token.keyslots) & numbers
    ]
    return (*found, *_succeeded(volume, after, numbers, rotation))


def _succeeded(volume: str, after: Header, numbers: set[int], rotation: Rotation) -> list[Discrepancy]:
    kind = rotation.provider
    if kind is None:
        return []
    retired = {
        number
        for _, content in header_token.all_of(after)
        if content.retired is not None
        for number in content.keyslots
    }
    left = [] if rotation.at_once else sorted(set(rotation.old) & numbers - retired)
    found = [Discrepancy(volume, f"keyslot {number}", "retired", "current") for number in left]
    present = {slot for token in after.tokens if token.opened_by == kind for slot in token.keyslots} & numbers
    if not present - retired - set(rotation.old):
        found.append(Discrepancy(volume, "keyslot", f"a new one for {kind}", "none"))
    return found


def _names(header: Header, number: int) -> list[str]:
    return sorted(token.opened_by or token.type for token in header.tokens if number in token.keyslots)


def _mapping(spec: VolumeSpec, seen: Observation) -> list[Discrepancy]:
    if seen.mapping.state is not MappingState.ACTIVE:
        detail = f" ({seen.mapping.detail})" if seen.mapping.detail else ""
        return [Discrepancy(spec.name, "mapping", "active", f"{seen.mapping.state}{detail}")]
    return []


def _file_system(spec: VolumeSpec, seen: Observation) -> list[Discrepancy]:
    if seen.mapping.state is MappingState.ACTIVE and seen.mapping_file_system != spec.file_system:
        found = seen.mapping_file_system or "nothing"
        return [Discrepancy(spec.name, "file system", str(spec.file_system), found)]
    return []


def _mount(spec: VolumeSpec, seen: Observation) -> list[Discrepancy]:
    if spec.mount_point is None:
        return [] if seen.swap_active else [Discrepancy(spec.name, "swap", "in use", "not in use")]
    if seen.mount_point is not MountPointState.MOUNTED or seen.mount is None:
        return [Discrepancy(spec.name, "mount", f"at {spec.mount_point}", str(seen.mount_point))]
    if seen.mount.number != seen.mapping.number:
        return [Discrepancy(spec.name, "mount", str(spec.mapping_path), seen.mount.source)]
    if seen.mount.read_only and "ro" not in spec.mount_options:
        return [Discrepancy(spec.name, "mount", "writable", "read-only")]
    return []


def _header(spec: VolumeSpec, seen: Observation) -> list[Discrepancy]:
    header = seen.header
    if header is None:
        return [Discrepancy(spec.name, "header", "a LUKS2 header", seen.header_error or "none")]
    found = []
    if seen.pin is None or seen.pin.luks_uuid != header.uuid:
        pinned = seen.pin.luks_uuid if seen.pin else "nothing"
        found.append(Discrepancy(spec.name, "LUKS UUID", pinned, header.uuid))
    if header.label != spec.name:
        found.append(Discrepancy(spec.name, "header label", spec.name, header.label or "none"))
    enrolled = {token.opened_by for token in header.tokens if token.keyslots}
    missing = [provider for provider in spec.providers if provider not in enrolled]
    found += [Discrepancy(spec.name, "keyslot", f"one for {provider}", "none") for provider in missing]
    return found


def _store(spec: VolumeSpec, seen: Observation) -> list[Discrepancy]:
    found = [Discrepancy(spec.name, "directory", "as the store wants it", text) for text in seen.directories_differ]
    if seen.mount_unit is not MountUnitState.CURRENT:
        found.append(Discrepancy(spec.name, "units", "current", str(seen.mount_unit)))
    if not seen.opens_at_boot:
        found.append(Discrepancy(spec.name, "boot unit", "enabled", "missing or disabled"))
    return found
