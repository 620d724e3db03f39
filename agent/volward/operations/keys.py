"""Key work that changes nothing: export the unlocking key, test a recovery key."""

from dataclasses import dataclass

from volward import audit, lock
from volward.apply import Work
from volward.apply.opening import existing_key
from volward.errors import VolwardError
from volward.host import cryptsetup
from volward.keys.providers import Providers
from volward.model import ProviderKind, VolumeSpec
from volward.observe import observe
from volward.operations.enrolment import provable_header
from volward.os_errors import explained
from volward.plan.device import present_device
from volward.secret import SecretBytes


@dataclass(frozen=True, eq=False)
class Exported:
    """An unlocking key that was shown to open its keyslot, with where it came from."""

    key: SecretBytes
    provider: ProviderKind
    keyslot: int


def export_key(spec: VolumeSpec, *, deadline_seconds: float) -> Exported:
    """Return the key that opens the volume, from the first KeySource that has it; the caller wipes it.

    Raises NoOpenerError, KeyDeniedError, DamagedHeaderError.
    """
    with explained(f"Exporting the key of {spec.name}"), lock.held(spec.name):
        seen = observe(spec)
        node = present_device(spec, seen).node
        audit.record("key-export", spec.name, audit.Outcome.INTENT, f"{spec.name}: the unlocking key is exported")
        try:
            with Providers() as providers, Work.on(spec, seen, providers) as work:
                work.deadline_seconds = deadline_seconds
                held, keyslot = existing_key(node, work)
                provider = held.ref.provider
                with held.key.view() as view:
                    copy = SecretBytes(view)
        except VolwardError as error:
            audit.record("key-export", spec.name, audit.Outcome.FAILED, f"{spec.name}: {error}", code=error.code)
            raise
        audit.record("key-export", spec.name, audit.Outcome.DONE, f"{spec.name}: the key of {provider} was exported")
        return Exported(copy, provider, keyslot)


def test_recovery_key(spec: VolumeSpec) -> int | None:
    """Ask for the recovery key and return the keyslot that it opens, None when it opens none.

    Changes nothing. Raises NoTerminalError, RecoveryKeyFormatError, DamagedHeaderError.
    """
    with explained(f"Testing the recovery key of {spec.name}"):
        seen = observe(spec)
        node = present_device(spec, seen).node
        header = provable_header(spec, seen)
        source = Providers().source(ProviderKind.RECOVERY, spec)
        with source.read(source.first_ref(spec.name), deadline_seconds=0.0) as key:
            numbers = [keyslot.number for keyslot in header.keyslots]
            return next((number for number in numbers if cryptsetup.test_key(node, key, keyslot=number)), None)
