"""What a re-encryption would do: a new one, the rest of one that was cut short, or of one that somebody began."""

from dataclasses import dataclass, replace

from volward import journal
from volward.errors import UnfinishedOperationError
from volward.keys.ages import current, stored_kinds
from volward.model import Observation, ProviderKind, Reencryption, ReencryptionPlan, Step, VolumeSpec
from volward.observe import observe
from volward.operations.enrolment import provable_header
from volward.operations.unfinished import refuse_other_header
from volward.os_errors import explained
from volward.plan.reencryption import has_begun, plan_reencryption, plan_rest


@dataclass(frozen=True)
class Wanted:
    """What the owner asked for."""

    online: bool = False
    typed: bool = False  # somebody is at the terminal
    new_recovery: bool = False  # a new recovery key is handed over, in place of those that there are
    deadline_seconds: float = 60.0


@dataclass(frozen=True)
class Looked:
    """What would be done; ``rotates`` are the providers whose keys change first."""

    plan: ReencryptionPlan
    rotates: tuple[ProviderKind, ...] = ()
    resumes: str = ""  # the operation that is finished
    replaces: str = ""  # one that was cut before any data were re-encrypted: it is planned and confirmed anew


def look(spec: VolumeSpec, wanted: Wanted) -> Looked:
    """Look at a volume and plan; changes nothing and needs no secret. Raises what the plan refuses."""
    with explained(f"Looking at {spec.name}"):
        seen = observe(spec)
        plan, record = planned(spec, seen, wanted)
        if plan.resumes:
            return Looked(plan, resumes=record.operation if record else "a re-encryption that somebody began")
        if (rotation := journal.unfinished_rotation(spec.name)) is not None:
            raise UnfinishedOperationError(
                f"{rotation.operation} did not end.", resolution=f"Finish it first: `volward rotate {spec.name}`."
            )
        if record is not None:
            return Looked(plan, replaces=record.operation)  # the unlocking keys had their turn
        header = seen.header
        if header is None or not plan.actions:
            return Looked(plan)
        return Looked(plan, tuple(kind for kind in stored_kinds(spec) if current(header, kind)))


def planned(spec: VolumeSpec, seen: Observation, wanted: Wanted) -> tuple[ReencryptionPlan, journal.Record | None]:
    """Plan a new one, the rest of one that was cut short, or the rest of one that somebody began without volward.

    A record beside a plan that resumes nothing is of one that was cut before any data were re-encrypted. Was a new
    recovery key to be handed over in it, then so it is in the plan: nobody can tell whether its owner has that key.
    """
    record = journal.unfinished_reencryption(spec.name)
    begun = Reencryption(old_digest="", online=wanted.online)
    if record is not None:
        refuse_other_header(record, provable_header(spec, seen))
        begun = record.as_reencryption()
        seen = replace(seen, announced=record.announced)
    if seen.header is not None and (seen.header.reencrypting or (record is not None and has_begun(seen.header, begun))):
        return plan_rest(spec, seen, provable_header(spec, seen), begun), record
    new_recovery = wanted.new_recovery or begun.new_recovery
    plan = plan_reencryption(spec, seen, online=wanted.online, typed=wanted.typed, new_recovery=new_recovery)
    if record is not None and any(step.startswith(Step.ENROL_RECOVERY) for step in record.steps_begun):
        gone = f"a recovery key that {record.operation} handed over opens nothing in the end: the newest one counts"
        plan = replace(plan, warnings=(gone,))
    return plan, record
