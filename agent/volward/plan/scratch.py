"""Scratch volumes: plain dm-crypt with a random key each boot, behind a marker that the CLI wrote once.

The claim is destructive and needs the blank proof; afterwards a file system or swap is made anew at each
boot, on a mapping created in that very operation, over a device whose marker and identity match.
"""

from volward.errors import FileSystemError, ForeignHeaderError, NotProvisionedError
from volward.model import (
    Action,
    FileSystem,
    Goal,
    MappingState,
    MountUnitState,
    Observation,
    Plan,
    Presence,
    Step,
    VolumeSpec,
)
from volward.plan.device import (
    present_device,
    refuse_mapping,
    refuse_other_identity,
    refuse_unless_blank,
    refuse_use,
    refuse_use_of_mapping,
)
from volward.plan.mount import at_boot, mounting


def plan_scratch(spec: VolumeSpec, seen: Observation, goal: Goal) -> Plan:
    """Return the actions for a scratch volume. Raises an error of the VW03xx family where one is unsafe."""
    actions = []
    claimed = False
    refuse_mapping(spec, seen)
    if spec.is_file and seen.device_presence is Presence.ABSENT and seen.pin is None:
        refuse_use_of_mapping(spec, seen)
        actions.append(Action(Step.CREATE_FILE, f"create the file {spec.device}", "the volume has no file yet"))
    else:
        device = present_device(spec, seen)
        refuse_other_identity(spec, seen, device)
        claimed = _claimed(spec, seen)
        if seen.mapping.state is MappingState.ABSENT:
            refuse_use(spec, seen, device)
        if not claimed and goal is Goal.PROVISION:
            refuse_use_of_mapping(spec, seen)
            refuse_unless_blank(spec, seen, device)
    if not claimed:
        if goal is Goal.OPEN:
            raise NotProvisionedError(
                f"The device of scratch volume {spec.name} is not claimed yet.",
                resolution=f"Run `volward apply` on a terminal, or `volward apply --yes {spec.name}`.",
            )
        actions.append(Action(Step.PIN, "record the device's identity", "the same device is demanded at each boot"))
        actions.append(
            Action(Step.CLAIM_SCRATCH, f"claim {spec.device} for scratch data", "it is proven blank", destructive=True)
        )
    actions += _opening(spec, seen)
    if spec.mount_point is not None:
        actions += mounting(spec, seen, goal)
        if goal is Goal.OPEN and any(action.step is Step.MAKE_FILE_SYSTEM for action in actions):
            actions.append(Action(Step.PREPARE_STORE, "prepare the scratch directory", "its file system is new"))
    else:
        if goal is Goal.PROVISION and seen.mount_unit is not MountUnitState.CURRENT:
            actions.append(Action(Step.WRITE_UNITS, "write what the daemon needs for it", "it is missing"))
        elif goal is Goal.PROVISION:
            actions += at_boot(seen)
        if not seen.swap_active:
            actions.append(Action(Step.SWAP_ON, "use it as swap", "it is not in use yet"))
    where = f"mounted at {spec.mount_point}" if spec.mount_point else "in use as swap"
    return Plan(spec.name, tuple(actions), "" if actions else f"scratch volume {spec.name} is open and {where}")


def _claimed(spec: VolumeSpec, seen: Observation) -> bool:
    if seen.scratch_uuid and seen.pin is not None and seen.scratch_uuid == seen.pin.luks_uuid:
        return True
    if seen.scratch_uuid:
        raise ForeignHeaderError(
            f"{spec.device} carries the scratch marker {seen.scratch_uuid}, which this host did not write.",
            resolution=f"If the disk was moved here on purpose, run `volward repin {spec.name}`.",
        )
    return False


def _opening(spec: VolumeSpec, seen: Observation) -> list[Action]:
    """Open and make; a mapping that an earlier operation left without a file system is made anew as well."""
    opened = seen.mapping.state is MappingState.ACTIVE
    if opened and seen.mapping_file_system == spec.file_system:
        return []
    if opened and seen.mapping_file_system:
        raise FileSystemError(
            f"{spec.mapping_path} carries {seen.mapping_file_system}, not {spec.file_system}.",
            resolution=f"Close it (`volward close {spec.name}`), then run the same command again.",
        )
    kind = "swap space" if spec.file_system is FileSystem.SWAP else f"an {spec.file_system} file system"
    actions = [Action(Step.CLOSE, "close the mapping", "its last opening was cut short")] if opened else []
    return [
        *actions,
        Action(Step.OPEN, f"open it as {spec.mapping_path} with a random key", "it is closed"),
        Action(Step.MAKE_FILE_SYSTEM, f"make {kind}", "the random key makes every opening a new one"),
    ]
