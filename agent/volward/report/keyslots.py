"""Who opens which keyslot, by the tokens of a header. Pure."""

from volward.model import Header, Keyslot, Token
from volward.report.amount import size

_FAMILIAR = {"systemd-tpm2": "tpm2", "systemd-recovery": "recovery", "volward-parked": "tpm2 (parked)"}
_PRIORITIES = {0: "ignored unless named", 2: "preferred"}


def openers(header: Header, keyslot: int) -> tuple[str, ...]:
    """Name what opens a keyslot: a provider, or the type of a token that others wrote."""
    return tuple(_name(token) for token in header.tokens if keyslot in token.keyslots)


def is_foreign(token: Token) -> bool:
    """A token that volward does not read."""
    return not token.provider and token.type not in _FAMILIAR


def kinds(header: Header) -> tuple[str, ...]:
    """Name each way to open the volume once, in the order of the tokens; "no token" for keyslots without one."""
    found = [_name(token) for token in header.tokens if token.keyslots]
    told = {keyslot for token in header.tokens for keyslot in token.keyslots}
    if any(slot.opens_data and slot.number not in told for slot in header.keyslots):
        found.append("no token")
    return tuple(dict.fromkeys(found))


def describe(header: Header, slot: Keyslot) -> str:
    """Return one line: cost of the KDF, key size, and who opens it."""
    if not slot.key_bits:
        return "working area of a re-encryption"
    cost = f"{slot.iterations} iterations"
    if slot.memory_kib:
        cost += f", {size(slot.memory_kib * 1024)}, {slot.lanes} lanes"
    named = ", ".join(
        f"{_name(token)} (token {token.number})" for token in header.tokens if slot.number in token.keyslots
    )
    extra = [_PRIORITIES[slot.priority]] if slot.priority in _PRIORITIES else []
    extra += [] if slot.opens_data else ["does not open the data"]
    return ", ".join([f"{slot.kdf}, {cost}, {slot.key_bits}-bit key", *extra]) + f": {named or 'no token names it'}"


def _name(token: Token) -> str:
    if token.provider == "recovery":
        return "recovery" if token.confirmed_recovery else "recovery (not confirmed)"
    return token.provider or _FAMILIAR.get(token.type, token.type)
