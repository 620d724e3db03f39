"""The actions that lead from what is there to a volume that is open, mounted and ready for its store."""

from volward.errors import (
    DamagedHeaderError,
    DeviceUnknownError,
    FileSystemError,
    MountPointError,
    NotProvisionedError,
    UnfinishedOperationError,
)
from volward.model import (
    Action,
    Goal,
    Header,
    MappingState,
    MountPointState,
    MountUnitState,
    Observation,
    Plan,
    ProviderKind,
    Step,
    VolumeSpec,
)
from volward.plan.device import (
    Ownership,
    current_operation,
    identity_warnings,
    ownership,
    present_device,
    refuse_formatting,
    refuse_mapping,
    refuse_other_identity,
)
from volward.plan.orphan import removing
from volward.plan.recovery import recovery_warnings


def plan_volume(spec: VolumeSpec, seen: Observation, goal: Goal, *, can_hand_over_recovery: bool) -> Plan:
    """Return the actions for one volume, in order.

    ``can_hand_over_recovery`` says whether a recovery key could reach a person or an escrow now; without
    that none is made (a key that nobody has seen is none). Raises an error of the VW03xx family where going
    on could destroy data or strand its owner.
    """
    owned = ownership(spec, seen)
    if goal is Goal.PROVISION:
        _refuse_other_operation(spec, seen)
        if owned is not Ownership.OURS:
            refuse_formatting(spec, seen, owned)
    refuse_mapping(spec, seen)
    if goal is not Goal.PROVISION:
        _refuse_unprovisioned(spec, owned, seen)
    warnings = identity_warnings(spec, seen) + _header_warnings(spec, seen.header)
    actions: list[Action] = []
    if goal is Goal.PROVISION:
        actions += _formatting(spec, seen, owned)
        actions += _enrolling(spec, seen, owned, can_hand_over_recovery=can_hand_over_recovery)
        warnings += recovery_warnings(spec, seen, planned=any(a.step is Step.ENROL_RECOVERY for a in actions))
    if goal is Goal.MAP:
        actions += _mapping(spec, seen)
    else:
        actions += _opening(spec, seen, owned)
        actions += mounting(spec, seen, goal)
    return Plan(spec.name, tuple(actions), "" if actions else _all_there(spec, goal), warnings)


def _refuse_other_operation(spec: VolumeSpec, seen: Observation) -> None:
    """An operation on what was pinned before is neither gone on with nor forgotten; opening does not need it."""
    if seen.unfinished is not None and current_operation(seen) is None:
        raise UnfinishedOperationError(
            f"{seen.unfinished.operation} did not end, and {spec.name} is pinned to another LUKS UUID now.",
            resolution=f"Give it up: `volward abort {seen.unfinished.operation}`.",
        )


def _refuse_unprovisioned(spec: VolumeSpec, owned: Ownership, seen: Observation) -> None:
    if owned is not Ownership.OURS or _file_system_is_pending(seen):
        state = owned if owned is not Ownership.OURS else "without its file system"
        raise NotProvisionedError(
            f"{spec.name} is not provisioned yet ({state}).",
            resolution=f"Run `volward apply` on a terminal, or `volward apply --yes {spec.name}`.",
        )


def _header_warnings(spec: VolumeSpec, header: Header | None) -> tuple[str, ...]:
    if header is None:
        return ()
    if header.requirements:
        raise DamagedHeaderError(
            f"The header of {spec.name} has an unfinished re-encryption ({', '.join(header.requirements)}).",
            resolution=f"Finish it first: `volward rotate --volume-key {spec.name}`.",
        )
    if header.damaged:
        copies = f"primary {header.primary}, secondary {header.secondary}"
        return (f"one copy of the header is not whole ({copies}): `volward header repair {spec.name}` mends it",)
    return ()


# --- header and keys -------------------------------------------------------------------------------------


def _formatting(spec: VolumeSpec, seen: Observation, owned: Ownership) -> list[Action]:
    if owned is Ownership.OURS:
        return []
    key = _first_source(spec)
    why = {
        Ownership.NO_FILE: "the volume has no file yet",
        Ownership.UNFORMATTED: "the device is proven blank",
        Ownership.HALF_FORMATTED: "an earlier format of this very device was cut short (journal)",
    }[owned]
    actions = []
    if owned is Ownership.NO_FILE:
        actions.append(Action(Step.CREATE_FILE, f"create the file {spec.device}", why))
    actions.append(
        Action(
            Step.CREATE_KEY, f"create the unlocking key ({key})", "a key exists before a keyslot needs it", provider=key
        )
    )
    actions.append(Action(Step.PIN, "record the device's identity", "the same device is demanded from now on"))
    actions.append(Action(Step.FORMAT, f"format {_named(spec, seen)} as LUKS2", why, destructive=True))
    return actions


def _named(spec: VolumeSpec, seen: Observation) -> str:
    if seen.device is None:
        return str(spec.device)
    identity = seen.device.identity
    size = f"{identity.size_bytes / 1024**3:.1f} GiB"
    return f"{seen.device.node} ({f'serial {identity.serial}, ' if identity.serial else ''}{size})"


def _enrolling(spec: VolumeSpec, seen: Observation, owned: Ownership, *, can_hand_over_recovery: bool) -> list[Action]:
    header = seen.header if owned is Ownership.OURS else None
    primary = _first_source(spec)
    actions = removing(seen) if owned is Ownership.OURS else []
    fresh = header is None or not any(token.provider and token.keyslots for token in header.tokens)
    if fresh:
        _refuse_key_of_another_provider(spec, seen, owned, primary)
        actions.append(
            Action(
                Step.WRITE_TOKEN, f"write into the header that {primary} opens it",
                "the header says which key opens it, wherever the disk goes", provider=primary,
            )
        )  # fmt: skip
    for provider in spec.providers:
        if provider is ProviderKind.TPM2:
            if not _opens(header, provider) or _was_cut(seen, f"{Step.ENROL_TPM2}:{provider}"):
                pcrs = "+".join(map(str, spec.tpm2_pcrs))
                actions.append(
                    Action(Step.ENROL_TPM2, f"enrol the TPM (PCR {pcrs})", "the volume lists tpm2", provider=provider)
                )
        elif not (fresh and provider is primary) and not _described(header, provider):
            actions.append(
                Action(Step.ENROL_KEY, f"enrol a key of {provider}", f"the volume lists {provider}", provider=provider)
            )
    if can_hand_over_recovery and not seen.recovery_confirmed:
        actions.append(
            Action(
                Step.ENROL_RECOVERY, "enrol a recovery key",
                "every header has one that a person can type", provider=ProviderKind.RECOVERY,
            )
        )  # fmt: skip
    return actions


def _refuse_key_of_another_provider(
    spec: VolumeSpec, seen: Observation, owned: Ownership, primary: ProviderKind
) -> None:
    """A token must not name another provider than the one whose key the format used."""
    unfinished = current_operation(seen)
    if owned is not Ownership.OURS or unfinished is None:
        return
    created = {name for name in unfinished.steps_begun if name.startswith(f"{Step.CREATE_KEY}:")}
    if f"{Step.CREATE_KEY}:{primary}" not in created:
        used = ", ".join(name.partition(":")[2] for name in sorted(created)) or "another provider"
        raise UnfinishedOperationError(
            f"{spec.name} was formatted with a key of {used}, and now {primary} comes first in its configuration.",
            resolution=f"Put {used} first until `volward apply` has ended; then change it.",
        )


def _was_cut(seen: Observation, name: str) -> bool:
    """The step ran and is not known to be done: what it wrote is not proven to open the volume."""
    unfinished = current_operation(seen)
    return unfinished is not None and name in unfinished.steps_begun - unfinished.steps_done


def _first_source(spec: VolumeSpec) -> ProviderKind:
    """Return the first provider that yields a key; the configuration guarantees one."""
    return next(provider for provider in spec.providers if provider is not ProviderKind.TPM2)


def _described(header: Header | None, provider: ProviderKind) -> bool:
    return header is not None and any(token.provider == provider and token.keyslots for token in header.tokens)


def _opens(header: Header | None, provider: ProviderKind) -> bool:
    return header is not None and any(token.opened_by == provider and token.keyslots for token in header.tokens)


# --- mapping and file system -----------------------------------------------------------------------------


def _mapping(spec: VolumeSpec, seen: Observation) -> list[Action]:
    if seen.mapping.state is not MappingState.ABSENT:
        return []
    return [Action(Step.OPEN, f"open it as {spec.mapping_path}", "it is closed")]


def _opening(spec: VolumeSpec, seen: Observation, owned: Ownership) -> list[Action]:
    actions = _mapping(spec, seen)
    pending = _file_system_is_pending(seen)
    if pending:
        refuse_other_identity(spec, seen, present_device(spec, seen))
        _refuse_file_system_of_others(spec, seen)
    if pending or owned is not Ownership.OURS:
        actions.append(
            Action(
                Step.MAKE_FILE_SYSTEM, f"make an {spec.file_system} file system",
                "the volume is new", destructive=True,
            )
        )  # fmt: skip
    elif seen.mapping.state is MappingState.ACTIVE:
        _refuse_other_file_system(spec, seen)
    return actions


def _file_system_is_pending(seen: Observation) -> bool:
    """Only the operation that formatted the device may make its file system."""
    unfinished = current_operation(seen)
    return (
        unfinished is not None
        and seen.header is not None
        and seen.header.uuid == unfinished.luks_uuid
        and Step.FORMAT in unfinished.steps_done
        and Step.MAKE_FILE_SYSTEM not in unfinished.steps_done
    )


def _refuse_file_system_of_others(spec: VolumeSpec, seen: Observation) -> None:
    """Only a mapping that this operation opened, unmounted, with nothing but our own half-made file system."""
    unfinished = current_operation(seen)
    if seen.mapping.state is not MappingState.ACTIVE or unfinished is None:
        return
    if Step.OPEN not in unfinished.steps_begun or seen.mount is not None:
        how = "mounted" if seen.mount else "open"
        raise FileSystemError(
            f"{spec.mapping_path} is {how}, though volward has not made its file system yet.",
            resolution=f"Close it (`volward close {spec.name}` names who uses it), then run the same command again.",
        )
    if seen.mapping_file_system and seen.mapping_file_system_uuid != unfinished.file_system_uuid:
        raise FileSystemError(
            f"{spec.mapping_path} already carries {seen.mapping_file_system} ({seen.mapping_file_system_uuid}).",
            resolution="volward did not make it and leaves it alone. Close the volume and find out whose it is.",
        )


def _refuse_other_file_system(spec: VolumeSpec, seen: Observation) -> None:
    if seen.mapping_file_system == "unknown":
        raise DeviceUnknownError(
            f"What {spec.mapping_path} carries cannot be read.",
            resolution="Look at `dmesg`: the disk below may have errors.",
        )
    if not seen.mapping_file_system:
        raise FileSystemError(
            f"{spec.mapping_path} carries no file system that blkid knows.",
            resolution=(
                "volward makes one only while it provisions. If the volume never held data (`volward abort`), make it "
                f"yourself: `mkfs.{spec.file_system} {spec.mapping_path}`; else look at `dmesg` and at your backups."
            ),
        )
    if seen.mapping_file_system != spec.file_system:
        raise FileSystemError(
            f"{spec.mapping_path} carries {seen.mapping_file_system}, not {spec.file_system}.",
            resolution="Correct `file_system` in the configuration; volward does not make one over existing data.",
        )


# --- mount and store -------------------------------------------------------------------------------------


def mounting(spec: VolumeSpec, seen: Observation, goal: Goal) -> list[Action]:
    """Return the actions from an open mapping to a mount with its store's directories.

    Raises MountPointError for a mount point that holds files or where something else is mounted.
    """
    actions = []
    state = seen.mount_point
    if state is MountPointState.MOUNTED:
        _refuse_foreign_mount(spec, seen)
    elif state in (MountPointState.OCCUPIED, MountPointState.NOT_A_DIRECTORY, MountPointState.UNKNOWN):
        what = {
            MountPointState.OCCUPIED: "holds files, which the mount would hide",
            MountPointState.NOT_A_DIRECTORY: "is not a directory",
            MountPointState.UNKNOWN: "cannot be looked at",
        }[state]
        raise MountPointError(
            f"The mount point {spec.mount_point} {what}.",
            resolution="Move away what is there, or choose another mount point.",
        )
    elif state is not MountPointState.SEALED:
        actions.append(
            Action(
                Step.SEAL_MOUNT_POINT, f"make the mount point {spec.mount_point} and seal it",
                "nothing can be written below it while the volume is away",
            )
        )  # fmt: skip
    if goal is Goal.OPEN and state is not MountPointState.MOUNTED and seen.mount_unit is MountUnitState.ABSENT:
        raise NotProvisionedError(
            f"The mount unit of {spec.name} is missing.",
            resolution=f"`volward apply {spec.name}` writes it anew; it destroys nothing.",
        )
    if goal is Goal.PROVISION and seen.mount_unit is not MountUnitState.CURRENT:
        changed = "is missing" if seen.mount_unit is MountUnitState.ABSENT else "differs from the configuration"
        actions.append(Action(Step.WRITE_UNITS, "write the mount unit and the consumers' drop-ins", f"it {changed}"))
    elif goal is Goal.PROVISION:
        actions += at_boot(seen)
    if state is not MountPointState.MOUNTED:
        actions.append(Action(Step.MOUNT, f"mount it at {spec.mount_point}", "it is not mounted"))
    if goal is Goal.PROVISION and (state is not MountPointState.MOUNTED or seen.directories_differ):
        reason = "; ".join(seen.directories_differ) or "the store's directories are checked once it is mounted"
        actions.append(Action(Step.PREPARE_STORE, f"prepare the directories (store: {spec.store})", reason))
    return actions


def at_boot(seen: Observation) -> list[Action]:
    """Return what has the boot open the volume, when it would not."""
    if seen.opens_at_boot:
        return []
    return [Action(Step.WRITE_UNITS, "have the boot open it", "the boot unit is missing or disabled")]


def _refuse_foreign_mount(spec: VolumeSpec, seen: Observation) -> None:
    mount = seen.mount
    if mount is None or seen.mapping.state is not MappingState.ACTIVE or mount.number != seen.mapping.number:
        raise MountPointError(
            f"Something else is mounted at {spec.mount_point}: {mount.source if mount else 'unknown'}.",
            resolution=f"Unmount it (`umount {spec.mount_point}`), or choose another mount point.",
        )


def _all_there(spec: VolumeSpec, goal: Goal) -> str:
    if goal is Goal.MAP:
        return f"{spec.name} is open as {spec.mapping_path}"
    done = "provisioned, open and mounted" if goal is Goal.PROVISION else "open and mounted"
    return f"{spec.name} is {done} at {spec.mount_point}"
