"""The actions that lead from what is there to a volume that is open, mounted and ready for its store."""

from volward.errors import DamagedHeaderError, NotProvisionedError, UnfinishedOperationError
from volward.model import Action, Goal, Header, Observation, Plan, Step, VolumeSpec
from volward.plan.device import identity_warnings, refuse_mapping
from volward.plan.enrolment import enrolling, first_source
from volward.plan.mount import mounting
from volward.plan.opening import file_system_is_pending, mapping, opening
from volward.plan.operation import current_operation
from volward.plan.ownership import Ownership, ownership, refuse_formatting
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
        actions += enrolling(spec, seen, owned, can_hand_over_recovery=can_hand_over_recovery)
        warnings += recovery_warnings(spec, seen, planned=any(a.step is Step.ENROL_RECOVERY for a in actions))
    if goal is Goal.MAP:
        actions += mapping(spec, seen)
    else:
        actions += opening(spec, seen, owned)
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
    if owned is not Ownership.OURS or file_system_is_pending(seen):
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


def _formatting(spec: VolumeSpec, seen: Observation, owned: Ownership) -> list[Action]:
    if owned is Ownership.OURS:
        return []
    key = first_source(spec)
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


def _all_there(spec: VolumeSpec, goal: Goal) -> str:
    if goal is Goal.MAP:
        return f"{spec.name} is open as {spec.mapping_path}"
    done = "provisioned, open and mounted" if goal is Goal.PROVISION else "open and mounted"
    return f"{spec.name} is {done} at {spec.mount_point}"
