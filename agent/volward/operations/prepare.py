"""prepare: look at a volume and plan it. Changes nothing; what forbids a plan is an answer too."""

from dataclasses import dataclass, replace

from volward import journal
from volward.errors import VolwardError
from volward.model import Goal, Observation, Plan, StoreKind, VolumeSpec
from volward.observe import observe
from volward.os_errors import explained
from volward.plan import as_if_blank, plan_scratch, plan_volume, with_wipe

_RESUMED = (journal.PROVISION, journal.ENROL)  # by the next `volward apply`


@dataclass(frozen=True)
class Prepared:
    """A volume with what was seen of it and what is going to be done."""

    spec: VolumeSpec
    seen: Observation
    plan: Plan
    unfinished: bool = False  # a run was cut, perhaps after its last step: its journal is still to be closed

    @property
    def is_to_be_done(self) -> bool:
        """Whether there is anything to do at all."""
        return bool(self.plan.actions) or self.unfinished


@dataclass(frozen=True)
class Refused:
    """A volume with the error that forbids to plan it."""

    spec: VolumeSpec
    error: VolwardError


def prepare(
    spec: VolumeSpec, goal: Goal, *, can_hand_over_recovery: bool, overwrite: bool = False
) -> Prepared | Refused:
    """Look at a volume and plan it; the error that forbids it is returned, so that others can go on."""
    try:
        with explained(f"Looking at {spec.name}"):
            seen = seen_with_journal(spec, prove_blank=goal is Goal.PROVISION)
            plan = plan_for(spec, seen, goal, can_hand_over_recovery=can_hand_over_recovery, overwrite=overwrite)
            unfinished = any(one.verb in _RESUMED for one in journal.unfinished(spec.name))
    except VolwardError as error:
        return Refused(spec, error)
    return Prepared(spec, seen, plan, unfinished)


def seen_with_journal(spec: VolumeSpec, *, prove_blank: bool = False) -> Observation:
    """Look at a volume and at what its unfinished operations were about to do. Raises JournalError."""
    return replace(observe(spec, prove_blank=prove_blank), announced=journal.announced(spec.name))


def plan_for(
    spec: VolumeSpec, seen: Observation, goal: Goal, *, can_hand_over_recovery: bool, overwrite: bool = False
) -> Plan:
    """Plan by the kind of volume, with the wipe where it is asked for. Raises what the planner raises."""
    wanted = as_if_blank(spec, seen) if overwrite else seen
    if spec.store is StoreKind.SCRATCH:
        plan = plan_scratch(spec, wanted, goal)
    else:
        plan = plan_volume(spec, wanted, goal, can_hand_over_recovery=can_hand_over_recovery)
    return with_wipe(spec, seen, plan) if overwrite else plan
