"""Giving a re-encryption up: while one volume key opens all data, before the first of them or after the last."""

from volward import journal, lock
from volward.errors import NoWayBackError, VolwardError
from volward.model import Step, VolumeSpec
from volward.observe import observe
from volward.operations import header_backup
from volward.operations.enrolment import provable_header
from volward.operations.unfinished import is_about, unfinished
from volward.os_errors import explained
from volward.plan.reencryption import has_begun


def give_up(spec: VolumeSpec, record: journal.Record) -> tuple[str, ...]:
    """End a re-encryption while one volume key opens all data: it has not begun, or it is complete.

    Returns what its owner should know, as sentences. Raises NoWayBackError in the middle, UnknownOperationError when
    it has ended meanwhile, and what looking at the header raises: what is not known is not taken for whole.
    """
    name = spec.name
    with explained(f"Giving up {record.operation}"), lock.held(name):
        record = unfinished(record.operation)
        header = provable_header(spec, observe(spec))
        remarks: tuple[str, ...] = ()
        if is_about(record, header):
            if header.reencrypting:
                raise NoWayBackError(
                    f"{record.operation} has re-encrypted a part of the data, so it can only be finished.",
                    resolution=f"`volward resume {record.operation}` ends it; every carried key opens the volume.",
                )
            if has_begun(header, record.as_reencryption()):
                remarks = (f"All data of {name} are under a new volume key.", *_without_old_backups(spec))
            if any(step.startswith(Step.LEAVE_KEYSLOT) for step in record.steps_begun):
                remarks += (f"Keyslots that it removed stay away; `volward apply {name}` enrols configured keys.",)
        journal.resume(record).end("aborted")
        return remarks


def _without_old_backups(spec: VolumeSpec) -> tuple[str, ...]:
    """Remove the header backups of the volume key that is gone; return what their owner should know when they stay."""
    try:
        header_backup.expire_others(spec)
    except VolwardError as error:
        return (f"{error.what} {error.resolution}",)
    return ()
