"""verify: compares a fresh observation with what was planned. Pure; "the tool said OK" is not evidence."""

from volward.model import (
    Discrepancy,
    MappingState,
    MountPointState,
    MountUnitState,
    Observation,
    StoreKind,
    VolumeSpec,
)


def verify(spec: VolumeSpec, seen: Observation, *, provisioned: bool) -> tuple[Discrepancy, ...]:
    """Return where the host differs from an open, mounted volume.

    With ``provisioned`` everything that the configuration asks for is compared; without it only what
    `volward open` promises: mapping and mount.
    """
    found = [*_mapping(spec, seen), *_mount(spec, seen)]
    if provisioned and spec.store is not StoreKind.SCRATCH:
        found += _header(spec, seen)
    if provisioned:
        found += _store(spec, seen)
    return tuple(found)


def _mapping(spec: VolumeSpec, seen: Observation) -> list[Discrepancy]:
    if seen.mapping.state is not MappingState.ACTIVE:
        detail = f" ({seen.mapping.detail})" if seen.mapping.detail else ""
        return [Discrepancy(spec.name, "mapping", "active", f"{seen.mapping.state}{detail}")]
    if seen.mapping_file_system != spec.file_system:
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
    enrolled = {"tpm2" if t.type == "systemd-tpm2" else t.provider for t in header.tokens if t.keyslots}
    missing = [provider for provider in spec.providers if provider not in enrolled]
    found += [Discrepancy(spec.name, "keyslot", f"one for {provider}", "none") for provider in missing]
    return found


def _store(spec: VolumeSpec, seen: Observation) -> list[Discrepancy]:
    found = [Discrepancy(spec.name, "directory", "as the store wants it", text) for text in seen.directories_differ]
    if spec.mount_point is not None and seen.mount_unit is not MountUnitState.CURRENT:
        found.append(Discrepancy(spec.name, "mount unit", "current", str(seen.mount_unit)))
    if not seen.opens_at_boot:
        found.append(Discrepancy(spec.name, "boot unit", "enabled", "missing or disabled"))
    return found
