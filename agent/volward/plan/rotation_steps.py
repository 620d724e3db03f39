"""The steps of a rotation: of a new one, of one that was cut, and of giving one up. Pure.

Each step looks at the header again and does nothing where it was done already, so that a rotation which was cut
takes the same way once more. A key that a person holds is the exception: only its owner has it, so that a keyslot
whose key was never confirmed is removed, and another key is made.
"""

from collections.abc import Iterable, Sequence

from volward.errors import NoWayBackError
from volward.keys import header_token
from volward.keys.ages import TYPED
from volward.model import Action, AnnouncedKeyslot, Header, ProviderKind, Rotation, Step

_RESUMED = "a rotation was cut short (journal)"
_OVER = "it was retired, and its grace is over"


def steps_of(rotation: Rotation, reason: str) -> tuple[Action, ...]:
    """Return all steps, in order; ``reason`` is why the key gets a successor."""
    kind = rotation.provider
    if kind is None:
        return tuple(_removal(number, _OVER) for number in rotation.revoked)
    if kind is ProviderKind.TPM2:
        actions = [
            Action(Step.PARK_TOKEN, "set the TPM's token aside", reason, provider=kind),
            Action(
                Step.REENROL_TPM2, "enrol the TPM anew", "the old keyslot goes only when the new one opens",
                provider=kind,
            ),
        ]  # fmt: skip
    else:
        actions = [*_making(kind, reason), _describing(kind)]
    return (*actions, *_ending(rotation))


def steps_left(rotation: Rotation, header: Header, announced: Sequence[AnnouncedKeyslot]) -> tuple[Action, ...]:
    """Return the steps of a rotation that was cut; ``announced`` are the keyslots that it was about to fill."""
    kind = rotation.provider
    if kind is None:
        return tuple(_removal(number, _OVER) for number in rotation.revoked)
    actions: list[Action] = []
    orphans = header.orphans(announced)
    if kind is ProviderKind.TPM2:
        actions += [_orphan(number) for number in orphans]
        if any(token.type == "systemd-tpm2" and set(token.keyslots) & set(rotation.old) for token in header.tokens):
            actions.append(Action(Step.PARK_TOKEN, "set the TPM's token aside", _RESUMED, provider=kind))
        actions.append(Action(Step.REENROL_TPM2, "enrol the TPM anew", _RESUMED, provider=kind))
    elif kind in TYPED:
        actions += [_orphan(number) for number in orphans]
        if not successors(rotation, header, announced):
            actions += [*_making(kind, _RESUMED), _describing(kind)]
    else:
        actions += [*_making(kind, _RESUMED), _describing(kind)]
    actions += _ending(rotation)
    return tuple(actions)


def steps_back(
    rotation: Rotation,
    header: Header,
    *,
    announced: Sequence[AnnouncedKeyslot],
    begun: Iterable[str],
    operation: str,
) -> tuple[Action, ...]:
    """Return the steps that give a rotation up. Raises NoWayBackError once the removal of an old keyslot began."""
    gone = (*rotation.revoked, *(rotation.old if rotation.at_once else ()))
    if {_removal(number, "").name for number in gone} & set(begun):
        raise NoWayBackError(
            f"{operation} has begun to remove an old keyslot, so it can only be finished.",
            resolution=f"`volward resume {operation}` ends it; the present key opens the volume.",
        )
    kind = rotation.provider
    if kind is None:
        return ()
    why = "the rotation is given up"
    made = (*successors(rotation, header, announced), *_unfinished(rotation, header, announced))
    actions = [
        Action(Step.REINSTATE_KEYSLOT, f"make keyslot {number} current again", why, provider=kind, keyslot=number)
        for number in rotation.old
    ]
    actions += [
        Action(
            Step.DROP_SUCCESSOR, f"remove keyslot {number}, which the rotation made", why,
            destructive=True, provider=kind, keyslot=number,
        )
        for number in dict.fromkeys(made)
    ]  # fmt: skip
    if any(token.type == header_token.PARKED for token in header.tokens):
        actions.append(Action(Step.UNPARK_TOKEN, "put the TPM's token back", why, provider=kind))
    return tuple(actions)


def successors(rotation: Rotation, header: Header, announced: Sequence[AnnouncedKeyslot]) -> tuple[int, ...]:
    """Return the keyslots of the new key: announced by the rotation, and described by a token of the kind it makes.

    A token alone proves nothing: its owner may have enrolled another key of that provider since.
    """
    kind = rotation.provider
    if kind is ProviderKind.TPM2:
        found = [token.keyslots for token in header.tokens if token.is_plain_tpm2]
    else:
        found = [
            content.keyslots
            for _, content in header_token.all_of(header)
            if content.ref.provider is kind
            and content.retired is None
            and (kind in TYPED or (content.ref.name, content.ref.version) == _successor(rotation))
        ]
    mine = set(header.filled(announced)) - set(rotation.old)
    return tuple(sorted({number for keyslots in found for number in keyslots} & mine))


def _unfinished(rotation: Rotation, header: Header, announced: Sequence[AnnouncedKeyslot]) -> tuple[int, ...]:
    """Return the keyslot that was written and not described; of a stored key only the store can tell whose it is."""
    return tuple(number for number in header.orphans(announced) if number not in rotation.old)


def _successor(rotation: Rotation) -> tuple[str, int]:
    return rotation.successor_name, rotation.successor_version


def _making(kind: ProviderKind, reason: str) -> list[Action]:
    return [
        Action(Step.CREATE_SUCCESSOR, f"create a new key ({kind})", reason, provider=kind),
        Action(
            Step.ENROL_SUCCESSOR, "enrol it in a keyslot of its own", "the old key opens the volume until the end",
            provider=kind,
        ),
    ]  # fmt: skip


def _describing(kind: ProviderKind) -> Action:
    why = "it opened its keyslot"
    return Action(Step.DESCRIBE_SUCCESSOR, "write into the header which keyslot it opens", why, provider=kind)


def _ending(rotation: Rotation) -> list[Action]:
    if rotation.at_once:
        why = (
            "the TPM opens the new keyslot, and the old one is of no further use"
            if rotation.provider is ProviderKind.TPM2
            else "its owner wants it gone at once"
        )
        return [_removal(number, why, rotation.provider) for number in rotation.old]
    why = "the new key has taken over; the old one opens until its grace is over"
    return [
        Action(Step.RETIRE_KEYSLOT, f"retire keyslot {number}", why, provider=rotation.provider, keyslot=number)
        for number in rotation.old
    ]


def _removal(number: int, why: str, provider: ProviderKind | None = None) -> Action:
    return Action(
        Step.REVOKE_KEYSLOT, f"remove keyslot {number}", why, destructive=True, provider=provider, keyslot=number
    )


def _orphan(number: int) -> Action:
    why = "a rotation was cut short before anybody had its key (journal)"
    return Action(Step.REMOVE_KEYSLOT, f"remove keyslot {number}", why, destructive=True, keyslot=number)
