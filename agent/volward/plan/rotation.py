"""What becomes of each keyslot when a key gets a successor, and whether one is due. Pure.

Ages come from the header's own tokens (keys/header_token.py). A key whose age is not known counts as due; one whose
date lies in the future does not, since then the clock is wrong and not the key old.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from volward.errors import (
    DamagedHeaderError,
    ForeignHeaderError,
    KeyRejectedError,
    NotEnrolledError,
    UnfinishedOperationError,
)
from volward.keys import header_token
from volward.keys.ages import current, days, retired, stored_kinds
from volward.model import (
    DAY_SECONDS,
    Action,
    Fate,
    Header,
    KeyslotFate,
    Observation,
    ProviderKind,
    Rotation,
    RotationPlan,
    StoreKind,
    VolumeSpec,
)
from volward.plan.device import present_device, refuse_duplicates, refuse_other_identity
from volward.plan.rotation_steps import steps_of

KEYSLOTS = 32  # of a LUKS2 header


@dataclass(frozen=True)
class Wish:
    """What the owner asked for; ``due`` is the timer's question."""

    provider: ProviderKind | None = None
    due: bool = False
    at_once: bool = False


def plan_rotation(spec: VolumeSpec, seen: Observation, wish: Wish, now_seconds: int) -> RotationPlan:
    """Return the steps of a new rotation, or why there are none.

    ``now_seconds`` are since the epoch. Raises NotEnrolledError when a key is to be rotated that the header does not
    have, KeyRejectedError without a free keyslot, DamagedHeaderError in the middle of a re-encryption, IdentityError.
    """
    if spec.store is StoreKind.SCRATCH:
        return RotationPlan(spec.name, (), "its key is new at each boot and kept nowhere")
    if seen.header is None and seen.pin is None and wish.due:
        return RotationPlan(spec.name, (), "it is not provisioned yet")
    header = settled_header(spec, seen)
    revoked = overdue_keyslots(spec, header, now_seconds) if wish.due else ()
    provider, why = _due(spec, header, now_seconds) if wish.due else (_chosen(spec, header, wish.provider), "")
    if revoked:
        # By themselves: a new key could come into the very keyslot that was freed, and a resumed removal meet it.
        then = (f"afterwards a new key, because {why}",) if provider else ()
        rotation = Rotation(None, revoked=revoked)
        return as_plan(spec, header, rotation, steps_of(rotation, ""), now_seconds, warnings=then)
    if provider is None:
        return RotationPlan(spec.name, (), why)
    rotation = Rotation(provider, _old(header, provider), (), wish.at_once or provider is ProviderKind.TPM2)
    if len(header.keyslots) >= KEYSLOTS:
        raise KeyRejectedError(
            f"All {KEYSLOTS} keyslots of {spec.name} are in use.",
            resolution=f"`cryptsetup luksDump {spec.device}` lists them; remove what nobody needs.",
        )
    return as_plan(spec, header, rotation, steps_of(rotation, why or "its owner asked for it"), now_seconds)


def as_plan(
    spec: VolumeSpec,
    header: Header,
    rotation: Rotation,
    actions: tuple[Action, ...],
    now_seconds: int,
    *,
    warnings: tuple[str, ...] = (),
) -> RotationPlan:
    """Return the plan with each keyslot's fate."""
    fates = tuple(_fates(spec, header, rotation, now_seconds))
    return RotationPlan(spec.name, actions, warnings=warnings, fates=fates, rotation=rotation)


def overdue_keyslots(spec: VolumeSpec, header: Header, now_seconds: int) -> tuple[int, ...]:
    """Return the keyslots that volward retired and whose grace is over; those that another token names too stay."""
    return tuple(
        number
        for number, content in retired(header)
        if now_seconds >= (content.retired or 0) + spec.rotation.grace_seconds and not _shared(header, number)
    )


def settled_header(spec: VolumeSpec, seen: Observation) -> Header:
    """Return the header of a pinned, whole volume on which nothing is under way.

    Raises DamagedHeaderError (also in the middle of a re-encryption), ForeignHeaderError, IdentityError,
    UnfinishedOperationError.
    """
    device = present_device(spec, seen)
    header = seen.header
    if header is None:
        raise DamagedHeaderError(
            f"{spec.device} has no LUKS2 header that can be read: {seen.header_error or 'there is none'}",
            resolution=f"`volward status {spec.name}` shows what is there.",
        )
    if header.requirements:
        raise DamagedHeaderError(
            f"The header of {spec.name} has an unfinished re-encryption ({', '.join(header.requirements)}).",
            resolution=f"Finish it first: `volward rotate --volume-key {spec.name}`.",
        )
    if seen.pin is None or seen.pin.luks_uuid != header.uuid:
        raise ForeignHeaderError(
            f"{spec.device} carries the LUKS UUID {header.uuid}, which is not the one pinned for {spec.name}.",
            resolution=f"If it is this volume's, moved from another host: `volward repin {spec.name}`.",
        )
    if seen.unfinished is not None:
        raise UnfinishedOperationError(
            f"{seen.unfinished.operation} did not end.", resolution=f"Finish it first: `volward apply {spec.name}`."
        )
    refuse_duplicates(spec, seen)
    refuse_other_identity(spec, seen, device)
    return header


def _chosen(spec: VolumeSpec, header: Header, asked: ProviderKind | None) -> ProviderKind:
    if asked is None:
        found = next((kind for kind in stored_kinds(spec) if current(header, kind)), None)
        if found is not None:
            return found
        raise NotEnrolledError(
            f"No key of {spec.name} can be replaced without a person.",
            resolution="Say whose key is meant: --provider recovery, --provider prompt or --provider tpm2. A "
            f"configured key that is missing is enrolled by `volward apply {spec.name}`.",
        )
    if not _old(header, asked):
        mend = f"`volward recovery enrol {spec.name}`" if asked is ProviderKind.RECOVERY else "`volward apply`"
        raise NotEnrolledError(
            f"{spec.name} has no key of {asked} that volward enrolled.",
            resolution=f"`volward status {spec.name}` lists the keyslots; {mend} enrols one.",
        )
    return asked


def _due(spec: VolumeSpec, header: Header, now_seconds: int) -> tuple[ProviderKind | None, str]:
    """Return whose key is due and why; None with the reason why nobody's is."""
    reasons = []
    for kind in stored_kinds(spec):
        token = current(header, kind)
        if token is None:
            continue
        if token.created is None:
            return kind, f"the age of the key of {kind} is not known"
        age = now_seconds - token.created
        left = spec.rotation.max_age_seconds - age
        if left <= 0:
            return kind, f"the key of {kind} is {days(age)} old, and {days(spec.rotation.max_age_seconds)} are allowed"
        if age < 0:
            reasons.append(f"the key of {kind} is dated {days(-age)} ahead (is the clock right?)")
        else:
            reasons.append(f"the key of {kind} is {days(age)} old and due in {left // DAY_SECONDS}")
    return None, "; ".join(reasons) or "none of its keys can be replaced without a person"


def _old(header: Header, provider: ProviderKind) -> tuple[int, ...]:
    """Return the keyslots of the provider's present key; of a TPM's those that need no PIN."""
    there = {keyslot.number for keyslot in header.keyslots}
    found: set[int] = set()
    if provider is ProviderKind.TPM2:
        found = {number for token in header.tokens if token.is_plain_tpm2 for number in token.keyslots}
    else:
        for _, content in header_token.all_of(header):
            if content.ref.provider is provider and content.retired is None:
                found |= set(content.keyslots)
    return tuple(sorted(number for number in found & there if not _shared(header, number)))


def _shared(header: Header, number: int) -> bool:
    return sum(number in token.keyslots for token in header.tokens) > 1


def _fates(spec: VolumeSpec, header: Header, rotation: Rotation, now_seconds: int) -> Iterator[KeyslotFate]:
    grace = spec.rotation.grace_seconds
    earlier = {number: (content.retired or 0) + grace for number, content in retired(header)}
    for keyslot in header.keyslots:
        number = keyslot.number
        names = (token.opened_by or token.type for token in header.tokens if number in token.keyslots)
        stays = KeyslotFate(number, ", ".join(names) or "no token names it", Fate.STAYS)
        if number in rotation.revoked or (number in rotation.old and rotation.at_once):
            yield replace(stays, fate=Fate.REMOVED)
        elif number in earlier:
            yield replace(stays, fate=Fate.RETIRED, until=earlier[number])
        elif number in rotation.old:
            yield replace(stays, fate=Fate.RETIRED, until=now_seconds + grace)
        else:
            yield stays
    if rotation.provider is not None:
        used = {keyslot.number for keyslot in header.keyslots} - set(rotation.revoked)
        free = next((number for number in range(KEYSLOTS) if number not in used), KEYSLOTS)
        yield KeyslotFate(free, str(rotation.provider), Fate.NEW)
