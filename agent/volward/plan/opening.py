"""The actions from a formatted device to a mapping that carries the file system of the volume."""

from volward.errors import DeviceUnknownError, FileSystemError
from volward.model import Action, MappingState, Observation, Step, VolumeSpec
from volward.plan.device import present_device, refuse_other_identity
from volward.plan.operation import current_operation
from volward.plan.ownership import Ownership


def mapping(spec: VolumeSpec, seen: Observation) -> list[Action]:
    if seen.mapping.state is not MappingState.ABSENT:
        return []
    return [Action(Step.OPEN, f"open it as {spec.mapping_path}", "it is closed")]


def opening(spec: VolumeSpec, seen: Observation, owned: Ownership) -> list[Action]:
    actions = mapping(spec, seen)
    pending = file_system_is_pending(seen)
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


def file_system_is_pending(seen: Observation) -> bool:
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
