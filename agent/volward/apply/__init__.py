"""apply: does one action, the only part of volward that changes the host.

Each action looks again at its own precondition in the last moment, since the plan may be minutes old, and
has an audit record of intent before it and of outcome after it. A mutation is never retried.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from volward import audit
from volward.apply import device, enrolment, orphan, reenrolment, rotation, volume
from volward.apply.rotation import authorise
from volward.apply.work import RecoveryDelivery, Work
from volward.errors import VolwardError
from volward.model import Action, Step
from volward.os_errors import explained

__all__ = ["RecoveryDelivery", "Work", "apply", "authorise"]

_STEPS: Mapping[Step, Callable[[Action, Work], None]] = MappingProxyType(
    {
        Step.CREATE_FILE: device.create_file,
        Step.CREATE_KEY: enrolment.create_key,
        Step.PIN: device.pin,
        Step.WIPE: device.wipe_device,
        Step.FORMAT: device.format_luks2,
        Step.WRITE_TOKEN: enrolment.write_token,
        Step.REMOVE_KEYSLOT: orphan.remove_keyslot,
        Step.ENROL_KEY: enrolment.enrol_key,
        Step.ENROL_TPM2: enrolment.enrol_tpm2,
        Step.ENROL_RECOVERY: enrolment.enrol_recovery,
        Step.CLAIM_SCRATCH: device.claim_scratch,
        Step.CLOSE: volume.close,
        Step.OPEN: volume.open_mapping,
        Step.MAKE_FILE_SYSTEM: volume.make_file_system,
        Step.SEAL_MOUNT_POINT: volume.seal_mount_point,
        Step.WRITE_UNITS: volume.write_units,
        Step.MOUNT: volume.mount_volume,
        Step.SWAP_ON: volume.swap_on,
        Step.PREPARE_STORE: volume.prepare_store,
        Step.REVOKE_KEYSLOT: rotation.revoke_keyslot,
        Step.CREATE_SUCCESSOR: rotation.create_successor,
        Step.ENROL_SUCCESSOR: rotation.enrol_successor,
        Step.DESCRIBE_SUCCESSOR: rotation.describe_successor,
        Step.PARK_TOKEN: reenrolment.park_token,
        Step.REENROL_TPM2: reenrolment.reenrol_tpm2,
        Step.RETIRE_KEYSLOT: rotation.retire_keyslot,
        Step.REINSTATE_KEYSLOT: rotation.reinstate_keyslot,
        Step.DROP_SUCCESSOR: rotation.drop_successor,
        Step.UNPARK_TOKEN: reenrolment.unpark_token,
    }
)


def apply(action: Action, work: Work) -> None:
    """Do one action. Raises the VolwardError that says why it was not done, or what is left to do."""
    name = work.spec.name
    audit.record(action.name, name, audit.Outcome.INTENT, f"{name}: {action.what} ({action.reason})")
    try:
        with explained(f"{name}: {action.what}"):
            _STEPS[action.step](action, work)
    except VolwardError as error:
        audit.record(action.name, name, audit.Outcome.FAILED, f"{name}: {error}", code=error.code)
        raise
    audit.record(action.name, name, audit.Outcome.DONE, f"{name}: {action.what}: done")
