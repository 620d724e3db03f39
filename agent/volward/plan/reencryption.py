"""What a new volume key means for each keyslot, and the steps to it. Pure.

A keyslot whose key is at hand is carried over: the same key opens the new volume key, and its token stays. One whose
key nobody can show now is left behind, so that at least two keys have to be at hand (rule 4): while the data are
re-encrypted, no other key opens the volume. A recovery key that is not at hand is replaced: its owner gets a new one,
which is enrolled before the old keyslot goes, and counts.
"""

from collections.abc import Iterator

from volward.errors import BusyError, ConfirmationError, DeviceBusyError, KeyRejectedError, NoOpenerError
from volward.keys import header_token
from volward.keys.ages import TYPED
from volward.model import (
    Action,
    Fate,
    Header,
    KeyslotFate,
    MappingState,
    Observation,
    ProviderKind,
    Reencryption,
    ReencryptionPlan,
    Step,
    StoreKind,
    VolumeSpec,
)
from volward.plan.device import refuse_mapping
from volward.plan.orphan import removing
from volward.plan.rotation import KEYSLOTS, settled_header
from volward.plan.use import foreign_uses

LEAST_KEYS = 2
_HAND_OVER = "`--recovery-vault` or `--recovery-fd N` hands a new recovery key over, on a terminal `--new-recovery`"
_RESUMED = "a re-encryption was cut short (journal)"
_ALL_DONE = "all data are done, and cryptsetup was killed before it said so"


def plan_reencryption(
    spec: VolumeSpec, seen: Observation, *, online: bool, typed: bool, new_recovery: bool = False
) -> ReencryptionPlan:
    """Return the steps of a new re-encryption; ``typed``: somebody is there to type the keys that people have.

    ``new_recovery``: the owner gets a new recovery key in place of those that there are. Raises NoOpenerError when
    fewer than two keys would be at hand or a recovery key would be gone, KeyRejectedError without a free keyslot,
    and what `settled_header` and `refuse_use` raise.
    """
    if spec.store is StoreKind.SCRATCH:
        return ReencryptionPlan(spec.name, (), "its volume key is new at each boot")
    header = settled_header(spec, seen)
    refuse_use(spec, seen, online=online)
    is_open = seen.mapping.state is not MappingState.ABSENT
    anew = ProviderKind.TPM2 in spec.providers
    fates = {
        keyslot.number: Fate.REPLACED
        if new_recovery and _is_recovery(header, keyslot.number)
        else _fate(header, keyslot.number, typed=typed, anew=anew)
        for keyslot in header.keyslots
    }
    carried = tuple(number for number, fate in fates.items() if fate is Fate.CARRIED)
    at_hand = len(carried) + new_recovery
    if at_hand < LEAST_KEYS:
        person = "" if typed else " On a terminal, the recovery key is asked for and counts."
        raise NoOpenerError(
            f"{at_hand} key of {spec.name} can be shown, and two are needed while its data are re-encrypted.{person}",
            resolution="Enrol another one: one more provider in `keys`."
            if new_recovery
            else f"{_HAND_OVER}: it counts. Or enrol one more provider of `keys`.",
        )
    if not (typed or new_recovery) and any(_is_recovery(header, number) for number in fates if number not in carried):
        raise NoOpenerError(
            f"The recovery key of {spec.name} would be gone: it is carried over only when somebody types it.",
            resolution=f"Run the same command on a terminal, which asks for it, or have it replaced: {_HAND_OVER}.",
        )
    _refuse_crowd(spec, header, at_hand, new_recovery=new_recovery)
    left = tuple(n for n, fate in fates.items() if fate is not Fate.CARRIED and n not in seen.orphaned_keyslots)
    reencryption = Reencryption(header.volume_key_digest, online and is_open, left, carried, anew, new_recovery)
    shown = tuple(KeyslotFate(number, _names(header, number), fate) for number, fate in fates.items())
    leaving = [_leaving(number, fates[number]) for number in left]
    first = [*removing(seen), *([_HANDING_OVER] if new_recovery else []), *leaving]
    steps = (*first, *_steps("its owner asked for it", online=reencryption.online, anew=anew))
    return ReencryptionPlan(spec.name, steps, fates=shown, reencryption=reencryption)


def _refuse_crowd(spec: VolumeSpec, header: Header, at_hand: int, *, new_recovery: bool) -> None:
    """Raise unless there is room for a new recovery key, and for a second keyslot of each key meanwhile."""
    if new_recovery and len(header.keyslots) >= KEYSLOTS:
        raise KeyRejectedError(
            f"All {KEYSLOTS} keyslots of {spec.name} are in use, and a new recovery key needs one.",
            resolution=f"Remove what nobody needs: `cryptsetup luksDump {spec.device}` lists them.",
        )
    if 2 * at_hand + 1 > KEYSLOTS:
        raise NoOpenerError(
            f"{spec.name} has {at_hand} keyslots to carry over, and each needs a second one meanwhile.",
            resolution=f"Remove what nobody needs: `cryptsetup luksDump {spec.device}` lists them.",
        )


def refuse_use(spec: VolumeSpec, seen: Observation, *, online: bool) -> None:
    """Raise unless nothing writes through the old volume key while cryptsetup works, but the volume's own mapping.

    Of a backing file cryptsetup cannot tell who uses it, and rewrites it below a mapping of another name. Raises
    MappingError (SUSPENDED: reboot), DeviceBusyError, and BusyError for one that is open (without ``online``).
    """
    refuse_mapping(spec, seen)
    is_open = seen.mapping.state is not MappingState.ABSENT
    if uses := foreign_uses(spec, seen):
        raise DeviceBusyError(
            f"{spec.device} is {', '.join(uses)}, beside the mapping {spec.mapping_name}.",
            resolution="Release it first: re-encrypted underneath, the data there would be destroyed "
            "(`dmsetup ls --tree` shows the stack).",
        )
    if is_open and not online:
        raise BusyError(
            f"{spec.name} is open, and its data are re-encrypted while it is closed.",
            resolution=f"In a maintenance window: `volward close {spec.name}`. Or --online, while it is in use.",
        )


def has_begun(header: Header, reencryption: Reencryption) -> bool:
    """Whether any of the data may be under another volume key; until then the plan can be made anew."""
    return header.reencrypting or header.volume_key_digest != reencryption.old_digest


def refuse_unasked(plan: ReencryptionPlan, shown: ReencryptionPlan) -> None:
    """Raise ConfirmationError when a keyslot would go that the plan which was shown, and confirmed, did not name."""
    asked = {(one.keyslot, one.opened_by) for one in shown.fates if one.fate is not Fate.CARRIED}
    going = {(one.keyslot, one.opened_by) for one in plan.fates if one.fate is not Fate.CARRIED}
    if more := sorted(going - asked):
        named = ", ".join(f"{number} ({opened_by})" for number, opened_by in more)
        raise ConfirmationError(
            f"The re-encryption of {plan.volume} would remove keyslot {named}, and that was not confirmed.",
            resolution=f"Run `volward rotate --volume-key {plan.volume}` and look at its plan again.",
        )


def plan_rest(spec: VolumeSpec, seen: Observation, header: Header, reencryption: Reencryption) -> ReencryptionPlan:
    """Return the steps that are left of one that has begun, and was cut short: no keyslot that has a key goes any more.

    Raises what `refuse_use` raises, while there is something left to write.
    """
    anew = ProviderKind.TPM2 in spec.providers and reencryption.enrol_tpm2
    if header.cut_at_the_end:
        ending = Action(Step.END_REENCRYPTION, "write the header that ends the re-encryption", _ALL_DONE)
        steps = (ending, *((_enrolling(_RESUMED),) if anew else ()))
        refuse_use(spec, seen, online=True)
    elif header.reencrypting:
        steps = _steps(_RESUMED, online=reencryption.online, anew=anew)
    else:
        has_tpm2 = any(token.is_plain_tpm2 for token in header.tokens)
        steps = (*removing(seen), *((_enrolling(_RESUMED),) if anew and not has_tpm2 else ()))
    if any(action.step is Step.REENCRYPT for action in steps):
        refuse_use(spec, seen, online=reencryption.online)
    return ReencryptionPlan(spec.name, steps, reencryption=reencryption, resumes=True)


_HANDING_OVER = Action(
    Step.ENROL_RECOVERY, "hand a new recovery key over, and enrol it once its owner has it",
    "two keys open the volume while its data are re-encrypted", provider=ProviderKind.RECOVERY,
)  # fmt: skip


def _leaving(number: int, fate: Fate) -> Action:
    why = "its key is not at hand, so it cannot be carried over"
    if fate is Fate.REPLACED:
        why = "the new recovery key takes its place"
    return Action(Step.LEAVE_KEYSLOT, f"remove keyslot {number}", why, destructive=True, keyslot=number)


def _steps(reason: str, *, online: bool, anew: bool) -> tuple[Action, ...]:
    how = "while it is in use" if online else "while it is closed"
    reencrypting = Action(Step.REENCRYPT, f"re-encrypt all data with a new volume key, {how}", reason)
    return (reencrypting, *([_enrolling(reason)] if anew else []))


def _enrolling(reason: str) -> Action:
    return Action(Step.ENROL_TPM2, "enrol the TPM anew", reason, provider=ProviderKind.TPM2)


def _fate(header: Header, number: int, *, typed: bool, anew: bool) -> Fate:
    tokens = [token for token in header.tokens if number in token.keyslots]
    if len(tokens) == 1 and tokens[0].is_plain_tpm2:
        return Fate.ENROLLED_ANEW if anew else Fate.REMOVED
    if len(tokens) == 1 and tokens[0].type == header_token.SYSTEMD_RECOVERY:
        return Fate.CARRIED if typed else Fate.REMOVED
    described = [content for _, content in header_token.all_of(header) if number in content.keyslots]
    if len(tokens) != 1 or not described or described[0].retired is not None:
        return Fate.REMOVED
    return Fate.CARRIED if typed or described[0].ref.provider not in TYPED else Fate.REMOVED


def _is_recovery(header: Header, number: int) -> bool:
    """Whether a recovery key opens it, volward's own or one of systemd-cryptenroll(1)."""
    named = [token for token in header.tokens if number in token.keyslots]
    ours = any(token.opened_by == ProviderKind.RECOVERY for token in named)
    return ours or any(token.type == header_token.SYSTEMD_RECOVERY for token in named)


def _names(header: Header, number: int) -> str:
    names: Iterator[str] = (str(token.opened_by or token.type) for token in header.tokens if number in token.keyslots)
    return ", ".join(names) or "no token names it"
