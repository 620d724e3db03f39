"""header repair: a damaged copy of the header, mended from the other one by `cryptsetup repair`; journaled.

What is there is kept aside first, sealed as a backup is. Both copies gone is a case for `header restore`.
"""

from contextlib import ExitStack
from dataclasses import dataclass

from volward import audit, journal, lock
from volward.errors import DamagedHeaderError, VerificationError, VolwardError
from volward.header_backup import files
from volward.header_backup.recipients import SealingKeys
from volward.host import block, cryptsetup, header
from volward.keys.providers import Providers
from volward.model import Header, VolumeSpec
from volward.observe import observe
from volward.operations.enrolment import provable_header
from volward.operations.header_backup import after_change
from volward.operations.header_keep import keep, sync
from volward.os_errors import explained
from volward.plan.device import refuse_duplicates, refuse_mapping

KEEP, WRITE, CHECK = "keep", "write", "check"


@dataclass(frozen=True)
class Repaired:
    """What was mended, the file that what was there is kept in ("": an earlier run kept it), and remarks."""

    mended: str
    kept: str
    remarks: tuple[str, ...]


def repair(spec: VolumeSpec, *, deadline_seconds: float) -> Repaired | None:
    """Mend the damaged copy of the header; None when both are whole. The volume may be open.

    Raises DamagedHeaderError when no copy is whole, VerificationError, and what keeping the present area raises.
    """
    with ExitStack() as stack:
        stack.enter_context(explained(f"Repairing the header of {spec.name}"))
        stack.enter_context(lock.held(spec.name))
        present = _look(spec)
        record = next((one for one in journal.unfinished(spec.name) if one.verb == journal.HEADER_REPAIR), None)
        if not present.damaged and record is None:
            return None
        providers = stack.enter_context(Providers())
        mended = "; ".join(
            f"the {name} copy was {state}"
            for name, state in (("primary", present.primary), ("secondary", present.secondary))
            if state != "valid"
        )
        audit.record("header-repair", spec.name, audit.Outcome.INTENT, f"{spec.name}: {mended or 'a cut repair'}")
        try:
            kept = _run(spec, present, record, providers, deadline_seconds)
        except VolwardError as error:
            audit.record("header-repair", spec.name, audit.Outcome.FAILED, f"{spec.name}: {error}", code=error.code)
            raise
        audit.record("header-repair", spec.name, audit.Outcome.DONE, f"{spec.name}: both copies are whole", kept=kept)
        return Repaired(mended, kept, after_change(spec, providers, deadline_seconds=deadline_seconds))


def _look(spec: VolumeSpec) -> Header:
    seen = observe(spec)
    if seen.header is None and seen.pin is not None:
        raise DamagedHeaderError(
            f"No copy of the header of {spec.name} is whole: {seen.header_error or 'there is none'}",
            resolution=f"Restore a backup: `volward header restore {spec.name}`.",
        )
    present = provable_header(spec, seen)
    refuse_duplicates(spec, seen)
    refuse_mapping(spec, seen)
    return present


def _run(
    spec: VolumeSpec, present: Header, record: journal.Record | None, providers: Providers, deadline_seconds: float
) -> str:
    device = block.of_volume(spec)
    facts = {"luks_uuid": present.uuid}
    operation = journal.resume(record) if record else journal.begin(journal.HEADER_REPAIR, spec.name, facts)
    kept = ""
    # What an earlier run kept is not what is there now, when the header was mended and damaged again since.
    if present.damaged or record is None or KEEP not in record.steps_done:
        operation.begin_step(KEEP)
        known = [one.ref for _, facts in files.backups(spec.header_backups, spec.name) for one in facts.recipients]
        with SealingKeys.of(spec, providers, deadline_seconds=deadline_seconds, known=known) as keys:
            kept = keep(spec, device, keys, length=present.area_bytes, luks_uuid=present.uuid)
        operation.end_step(KEEP)
    operation.begin_step(WRITE)
    cryptsetup.repair(device.node)
    sync(device.node)
    operation.end_step(WRITE)
    operation.begin_step(CHECK)
    found = header.read(device.node)
    if found.header is None or found.header.damaged or _content(found.header) != _content(present):
        raise VerificationError(
            f"The header of {device.node} is not whole after the repair: {found.error or 'it is another one'}",
            resolution="Look at `dmesg`: the disk may be failing. The volume opens by the copy that is whole; "
            f"`volward header restore {spec.name}` writes both.",
        )
    operation.end_step(CHECK)
    operation.end("done")
    return kept


def _content(header: Header) -> tuple[object, ...]:
    return header.uuid, header.keyslots, header.tokens
