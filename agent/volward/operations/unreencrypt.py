"""Giving a re-encryption up: while one volume key opens all data, before the first of them or after the last."""

from collections.abc import Iterable
from dataclasses import replace

from volward import journal, lock
from volward.apply import Work, apply
from volward.errors import NoWayBackError, VolwardError
from volward.keys.providers import Providers
from volward.model import Observation, Step, VolumeSpec
from volward.observe import observe
from volward.operations import header_backup, header_backup_expiry
from volward.operations.enrolment import provable_header
from volward.operations.unfinished import is_about, unfinished
from volward.os_errors import explained
from volward.plan.orphan import removing
from volward.plan.reencryption import has_begun


def give_up(spec: VolumeSpec, record: journal.Record, *, deadline_seconds: float) -> tuple[str, ...]:
    """End a re-encryption while one volume key opens all data: it has not begun, or it is complete.

    A keyslot that it filled and whose key nobody has goes. Returns what its owner should know, as sentences. Raises
    NoWayBackError in the middle, UnknownOperationError when it has ended meanwhile, NoOpenerError when no key is at
    hand for what has to go (rule 4), and what looking at the header raises: what is not known is not taken for whole.
    """
    name = spec.name
    with explained(f"Giving up {record.operation}"), lock.held(name):
        record = unfinished(record.operation)
        seen = replace(observe(spec), announced=record.announced)
        header = provable_header(spec, seen)
        remarks: tuple[str, ...] = ()
        if is_about(record, header):
            if header.reencrypting:
                raise NoWayBackError(
                    f"{record.operation} has re-encrypted a part of the data, so it can only be finished.",
                    resolution=f"`volward resume {record.operation}` ends it; every carried key opens the volume.",
                )
            begun = has_begun(header, record.as_reencryption())
            has_left, has_handed_over = (_any(record.steps_begun, one) for one in (_LEFT, _HANDED_OVER))
            changed = bool(seen.orphaned_keyslots) or (not begun and (has_left or has_handed_over))
            remarks = _without_orphans(spec, seen, deadline_seconds, changed=changed)
            if begun:
                remarks += (f"All data of {name} are under a new volume key.", *_without_old_backups(spec))
            elif has_handed_over:
                remarks += (_about_new_recovery(name, enrolled=_any(record.steps_done, _HANDED_OVER)),)
            if has_left:
                remarks += (f"Keyslots that it removed stay away; `volward apply {name}` enrols configured keys.",)
        journal.resume(record).end("aborted")
        return remarks


_LEFT, _HANDED_OVER = Step.LEAVE_KEYSLOT, Step.ENROL_RECOVERY


def _any(steps: Iterable[str], kind: Step) -> bool:
    return any(step.startswith(kind) for step in steps)


def _without_orphans(spec: VolumeSpec, seen: Observation, deadline_seconds: float, *, changed: bool) -> tuple[str, ...]:
    """Remove the keyslots that nobody has a key to, once another one was opened; back a changed header up."""
    remarks = tuple(f"Keyslot {number} was removed; nobody had its key." for number in seen.orphaned_keyslots)
    if not changed:
        return remarks
    with Providers() as providers, Work.on(spec, seen, providers) as work:
        work.deadline_seconds = deadline_seconds
        for action in removing(seen):
            apply(action, work)
        keys = [held.key for held in work.keys.values()]
        return remarks + header_backup.after_change(spec, providers, deadline_seconds=deadline_seconds, held=keys)


def _about_new_recovery(name: str, *, enrolled: bool) -> str:
    if enrolled:
        return f"The new recovery key of {name} opens it, and so does an earlier one whose keyslot is still there."
    return f"A recovery key of {name} that it handed over may open nothing: `volward recovery test {name}` tells."


def _without_old_backups(spec: VolumeSpec) -> tuple[str, ...]:
    """Remove the header backups of the volume key that is gone; return what their owner should know when they stay."""
    try:
        header_backup_expiry.expire_others(spec)
    except VolwardError as error:
        return (f"{error.what} {error.resolution}",)
    return ()
