"""repin: settle a changed identity, which a person has looked at (rule 2)."""

from dataclasses import dataclass

from volward import audit, lock, pins
from volward.errors import ForeignHeaderError
from volward.model import SUBSYSTEM, Observation, Pin, StoreKind, VolumeSpec
from volward.observe import observe
from volward.os_errors import explained
from volward.plan.device import present_device, refuse_duplicates


@dataclass(frozen=True)
class Found:
    """The pin that would be recorded, and what it changes, as sentences."""

    pin: Pin
    differences: tuple[str, ...]


def look(spec: VolumeSpec) -> Found:
    """Look at the device that the link leads to now.

    Raises DeviceNotFoundError, DeviceUnknownError, DuplicateUuidError, or ForeignHeaderError for a device
    that carries neither a header of this volume nor the pinned one.
    """
    with explained(f"Looking at {spec.name}"):
        seen = observe(spec)
    device = present_device(spec, seen)
    refuse_duplicates(spec, seen)
    uuid = _uuid(spec, seen)
    if seen.pin is None:
        return Found(Pin(device.identity, uuid), (f"not pinned yet; LUKS UUID {uuid}",))
    differences = device.identity.differences(seen.pin.identity)
    if seen.pin.luks_uuid != uuid:
        differences += (f"LUKS UUID: pinned {seen.pin.luks_uuid}, found {uuid}",)
    return Found(Pin(device.identity, uuid), differences)


def record(spec: VolumeSpec, found: Found) -> None:
    """Write the pin, and say so in the audit record. Raises BusyError, NoSpaceError, OperatingSystemError."""
    with explained(f"Pinning {spec.name}"), lock.held(spec.name):
        message = f"{spec.name}: repinned: {'; '.join(found.differences)}"
        audit.record("repin", spec.name, audit.Outcome.INTENT, message)
        pins.write(spec.name, found.pin)
        audit.record("repin", spec.name, audit.Outcome.DONE, message)


def _uuid(spec: VolumeSpec, seen: Observation) -> str:
    header = seen.header
    if spec.store is StoreKind.SCRATCH and seen.scratch_uuid:
        return seen.scratch_uuid
    if header is not None and (
        (header.subsystem, header.label) == (SUBSYSTEM, spec.name)
        or (seen.pin is not None and seen.pin.luks_uuid == header.uuid)
    ):
        return header.uuid
    found = f'a LUKS2 header labelled "{header.label}"' if header else "no LUKS2 header"
    raise ForeignHeaderError(
        f"{spec.device} carries {found}, not one of {spec.name}.",
        resolution=(
            "Correct the link. To give the volume up and begin anew on a blank device, remove "
            f"/var/lib/volward/pins/{spec.name}.json."
        ),
    )
