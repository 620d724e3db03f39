"""unrotate: give a rotation up that was cut short. The old key is current again, the new keyslot goes.

The new key stays in its store, where nothing is deleted; the next rotation passes over it.
"""

from functools import partial

from volward import journal, lock
from volward.apply import Work, apply
from volward.keys.providers import Providers
from volward.model import Action, VolumeSpec
from volward.observe import observe
from volward.operations import header_backup
from volward.operations.enrolment import provable_header
from volward.operations.unfinished import is_about, unfinished
from volward.os_errors import explained
from volward.plan.device import present_device, refuse_duplicates, refuse_other_identity
from volward.plan.rotation_steps import steps_back


def give_up(spec: VolumeSpec, record: journal.Record, *, deadline_seconds: float) -> tuple[Action, ...]:
    """Take a rotation back and end its journal; return what was done.

    Raises NoWayBackError once an old keyslot began to go, NoOpenerError when no other key is at hand (rule 4),
    DuplicateUuidError, IdentityError: then the operation stays unfinished. UnknownOperationError when it has ended.
    """
    with explained(f"Giving up {record.operation}"), lock.held(spec.name):
        record = unfinished(record.operation)  # another volward may have gone on with it, before it let go of the lock
        seen = observe(spec)
        header = provable_header(spec, seen)
        if not is_about(record, header):  # its keyslot numbers are of a header that is gone
            journal.resume(record).end("aborted")
            return ()
        refuse_duplicates(spec, seen)
        refuse_other_identity(spec, seen, present_device(spec, seen))
        rotation = record.as_rotation()
        actions = steps_back(
            rotation,
            header,
            announced=record.ever_announced,
            begun=record.steps_begun,
            operation=record.operation,
        )
        operation = journal.resume(record)
        with Providers() as providers, Work.on(spec, seen, providers) as work:
            work.rotation, work.announced, work.deadline_seconds = rotation, record.ever_announced, deadline_seconds
            for action in actions:
                operation.begin_step(action.name)
                work.announce = partial(operation.announce, action.name)
                apply(action, work)
                operation.end_step(action.name)
            keys = [held.key for held in work.keys.values()]
            header_backup.after_change(spec, providers, deadline_seconds=deadline_seconds, held=keys)
        operation.end("aborted")
        return actions
