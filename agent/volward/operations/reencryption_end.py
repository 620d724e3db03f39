"""The end of a re-encryption that was killed when all data were done: the header that cryptsetup did not come to write.

It is shown in a scratch file first: stock cryptsetup takes it, a key opens a keyslot of it, and its volume key finds
the volume's file system in the data. What is on the device is kept aside, sealed as a backup is. A cut in the middle
leaves one whole copy, and the same is done again.
"""

from contextlib import ExitStack

from volward.errors import DamagedHeaderError, KeyRejectedError, VerificationError
from volward.header_backup import files, recipients, scratch
from volward.header_backup.recipients import SealingKeys
from volward.header_backup.scratch import Scratch
from volward.host import header_area
from volward.host import reencryption_end as tool
from volward.host.header_format import DamageError
from volward.keys.providers import Providers
from volward.model import Header, MappingState, Observation, VolumeSpec
from volward.operations.header_keep import keep
from volward.operations.header_verify import fitting_key, typed_key
from volward.operations.header_write import check, misfit, write
from volward.plan.device import present_device
from volward.secret import SecretBytes


def end(
    spec: VolumeSpec, seen: Observation, present: Header, providers: Providers, *, typed: bool, deadline_seconds: float
) -> str:
    """Write the header; return the name of the file in which the one from before is kept.

    ``typed``: somebody is there to type the recovery key, when no provider has a key. The caller holds the volume's
    lock. Raises DamagedHeaderError, KeyRejectedError or VerificationError before anything is written, and what keeping
    and writing raise.
    """
    device = present_device(spec, seen)
    try:
        area = tool.ended(header_area.read(device.node, present.area_bytes))
    except DamageError as error:
        raise DamagedHeaderError(
            f"The header of {spec.name} cannot be ended: {error}.",
            resolution=f"Nothing was written. Look at `cryptsetup luksDump {spec.device}`.",
        ) from error
    with ExitStack() as stack:
        one = stack.enter_context(scratch.restored(spec.name, area))
        key, keyslot = _key(stack, one, spec, providers, typed=typed, deadline_seconds=deadline_seconds)
        found = misfit(one, spec, device.node, key, keyslot, is_open=seen.mapping.state is not MappingState.ABSENT)
        if found is not None:
            raise VerificationError(
                f"By the new volume key the data of {spec.name} are {found or 'nothing that volward knows'}, not "
                f"{spec.file_system}.",
                resolution="Nothing was written. Keep the device as it is, and copy it before anything is tried.",
            )
        known = [ref.ref for _, facts in files.backups(spec.header_backups, spec.name) for ref in facts.recipients]
        keys = stack.enter_context(SealingKeys.of(spec, providers, deadline_seconds=deadline_seconds, known=known))
        pairs = recipients.recovery_refs(one.header)
        kept = keep(spec, device, keys, pairs, length=len(area), luks_uuid=present.uuid)
        write(spec, device, one.image, area)
        check(device.node, area, key, keyslot)
        return kept


def _key(
    stack: ExitStack, one: Scratch, spec: VolumeSpec, providers: Providers, *, typed: bool, deadline_seconds: float
) -> tuple[SecretBytes, int]:
    """Return a key that opens a keyslot, from the providers or else, where somebody is there, the recovery key."""
    try:
        return fitting_key(stack, one, spec, providers, None, deadline_seconds=deadline_seconds)
    except KeyRejectedError:
        if not typed:
            raise
    recovery = stack.enter_context(typed_key(spec, providers))
    return fitting_key(stack, one, spec, providers, recovery, deadline_seconds=deadline_seconds)
