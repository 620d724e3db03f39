"""enrolment: one more recovery key outside provisioning, journaled; and what becomes of one that was cut short."""

from dataclasses import replace
from functools import partial

from volward import journal, lock
from volward.apply import RecoveryDelivery, Work, apply
from volward.errors import DamagedHeaderError, DeviceUnknownError, VolwardError
from volward.keys.providers import Providers
from volward.model import Action, Header, Observation, ProviderKind, Step, VolumeSpec
from volward.observe import observe
from volward.operations import header_backup
from volward.operations.unfinished import unfinished
from volward.os_errors import explained
from volward.plan.device import present_device
from volward.plan.orphan import removing

_ENROL = Action(Step.ENROL_RECOVERY, "enrol a recovery key", "its owner asked for it", provider=ProviderKind.RECOVERY)


def enrol_recovery_key(spec: VolumeSpec, delivery: RecoveryDelivery, *, deadline_seconds: float) -> tuple[str, ...]:
    """Make a recovery key, hand it over, and enrol it; earlier ones stay. Raises what the action raises.

    Returns warnings about the header's backup that follows, as sentences.

    An earlier run that was cut short left a keyslot that nobody has a key to: that goes first.
    """
    with explained(f"Enrolling a recovery key for {spec.name}"), lock.held(spec.name):
        seen = _seen(spec)
        operation = _operation(spec, provable_header(spec, seen))
        with Providers() as providers, Work.on(spec, seen, providers) as work:
            work.recovery, work.deadline_seconds = delivery, deadline_seconds
            try:
                _run([*removing(seen), _ENROL], work, operation)
            except VolwardError:
                if not journal.announced(spec.name):
                    operation.end("nothing was enrolled")
                raise
            remarks = _backed_up(work)
        operation.end("done")
        return remarks


def give_up(spec: VolumeSpec, record: journal.Record, *, deadline_seconds: float) -> tuple[int, ...]:
    """Abort an enrolment: remove the keyslots that it left without a token, and return them.

    Raises NoOpenerError when no other key is at hand (rule 4); then the operation stays unfinished.
    UnknownOperationError when it has ended.
    """
    with explained(f"Giving up {record.operation}"), lock.held(spec.name):
        record = unfinished(record.operation)  # another volward may have gone on with it, before it let go of the lock
        seen = _seen(spec)
        provable_header(spec, seen)
        seen = replace(seen, announced=record.announced)
        operation = journal.resume(record)
        with Providers() as providers, Work.on(spec, seen, providers) as work:
            work.deadline_seconds = deadline_seconds
            _run(removing(seen), work, operation)
            if seen.orphaned_keyslots:
                _backed_up(work)
        operation.end("aborted")
        return seen.orphaned_keyslots


def _backed_up(work: Work) -> tuple[str, ...]:
    keys = [held.key for held in work.keys.values()]
    return header_backup.after_change(work.spec, work.providers, deadline_seconds=work.deadline_seconds, held=keys)


def provable_header(spec: VolumeSpec, seen: Observation) -> Header:
    """Return the volume's header. Raises DamagedHeaderError, or DeviceUnknownError for one that is not pinned."""
    present_device(spec, seen)
    if seen.header is None:
        raise DamagedHeaderError(
            f"{spec.device} has no LUKS2 header that can be read: {seen.header_error or 'there is none'}",
            resolution=f"`volward status {spec.name}` shows what is there.",
        )
    if seen.pin is not None and seen.pin.luks_uuid != seen.header.uuid:
        raise DeviceUnknownError(
            f"{spec.device} is not the device pinned for {spec.name}.",
            resolution=f"`volward repin {spec.name}` settles it, if that is on purpose.",
        )
    return seen.header


def _seen(spec: VolumeSpec) -> Observation:
    return replace(observe(spec), announced=journal.announced(spec.name))


def _operation(spec: VolumeSpec, header: Header) -> journal.Operation:
    earlier = [record for record in journal.unfinished(spec.name) if record.verb == journal.RECOVERY]
    if earlier:
        return journal.resume(earlier[-1])
    return journal.begin(journal.RECOVERY, spec.name, {"luks_uuid": header.uuid})


def _run(actions: list[Action], work: Work, operation: journal.Operation) -> None:
    for action in actions:
        operation.begin_step(action.name)
        work.announce = partial(operation.announce, action.name)
        apply(action, work)
        operation.end_step(action.name)
