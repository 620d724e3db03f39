"""Overwriting a device that is not blank: planned as if it were, with the wipe that makes it so (rule 1).

The owner's typed identity stands in for the blank proof, and for nothing else: a device that is in use, cannot be
read, is not the pinned one or carries the volume itself is refused as ever.
"""

from dataclasses import replace

from volward.model import Action, BlankProbe, Observation, Plan, Presence, Step, StoreKind, VolumeSpec
from volward.plan.operation import current_operation

_NEEDS_BLANK = (Step.FORMAT, Step.CLAIM_SCRATCH)


def as_if_blank(spec: VolumeSpec, seen: Observation) -> Observation:
    """Return what would be seen once the device is wiped. What cannot be read stays unknown, and the device that
    holds the volume itself stays what it is: --overwrite is for the content of others."""
    if _holds_the_volume(spec, seen) or seen.probe is None or seen.probe.content is Presence.UNKNOWN:
        return seen
    device = seen.device and replace(seen.device, holders=seen.device.used_by, partitions=())
    return replace(
        seen,
        device=device,
        probe=BlankProbe(Presence.ABSENT),
        header=None,
        header_presence=Presence.ABSENT,
        scratch_uuid="",
    )


def with_wipe(spec: VolumeSpec, seen: Observation, plan: Plan) -> Plan:
    """Put the wipe before the format, with what it is going to destroy; a device that is blank needs none."""
    if _holds_the_volume(spec, seen):
        warning = f"{spec.device} holds the volume {spec.name} itself, so --overwrite means nothing here"
        return replace(plan, warnings=(*plan.warnings, warning))
    findings = seen.probe.findings if seen.probe else ()
    if not findings or not any(action.step in _NEEDS_BLANK for action in plan.actions):
        return plan
    found = ", ".join(map(str, findings))
    actions: list[Action] = []
    for action in plan.actions:
        if action.step in _NEEDS_BLANK:
            reason = "--overwrite says so, and its owner types its identity"
            actions.append(Action(Step.WIPE, f"wipe {spec.device}: {found}", reason, destructive=True))
            actions.append(replace(action, reason="it is blank once it is wiped"))
        else:
            actions.append(action)
    return replace(plan, actions=tuple(actions))


def _holds_the_volume(spec: VolumeSpec, seen: Observation) -> bool:
    """Whatever is pinned is the volume, unless the journal shows that it was never formatted to the end."""
    if seen.pin is None:
        return False
    if spec.store is StoreKind.SCRATCH:
        return seen.scratch_uuid == seen.pin.luks_uuid
    unfinished = current_operation(seen)
    return unfinished is None or Step.FORMAT in unfinished.steps_done
