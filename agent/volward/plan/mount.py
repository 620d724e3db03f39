"""The actions from an open mapping to a mount with the directories of its store."""

from volward.errors import MountPointError, NotProvisionedError
from volward.model import Action, Goal, MappingState, MountPointState, MountUnitState, Observation, Step, VolumeSpec


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
