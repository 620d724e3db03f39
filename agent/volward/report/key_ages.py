"""How old a volume's keys are, when they are due, and which retired ones still open it. Pure but for local time."""

from collections.abc import Iterator
from dataclasses import dataclass

from volward.keys import ages
from volward.model import DAY_SECONDS, ProviderKind, StoreKind
from volward.report.rotation import day
from volward.report.volume import SeenVolume

PATIENCE_SECONDS = 7 * DAY_SECONDS  # a timer that runs daily has done it by then


@dataclass(frozen=True)
class KeyAge:
    """The present key of one provider. Times are seconds since the epoch; None: the header does not say."""

    provider: ProviderKind
    keyslots: tuple[int, ...]
    key_ref: str
    created: int | None
    due: int | None
    overdue_seconds: int  # 0: not overdue, or not known
    by_timer: bool  # volward rotates it by itself


@dataclass(frozen=True)
class RetiredKey:
    """A keyslot that still opens the volume, and until when at least."""

    keyslot: int
    provider: ProviderKind
    key_ref: str
    retired: int
    until: int


def keys(one: SeenVolume) -> tuple[KeyAge, ...]:
    """Return the present keys that volward's tokens describe."""
    header, spec = one.seen.header, one.spec
    if header is None or spec.store is StoreKind.SCRATCH:
        return ()
    found = []
    for kind in (*(kind for kind in spec.providers if kind is not ProviderKind.TPM2), ProviderKind.RECOVERY):
        token = ages.current(header, kind)
        if token is None:
            continue
        # A recovery key is on paper, away from the host: it is replaced when its owner has a reason, not a calendar.
        ages_at_all = token.created is not None and kind is not ProviderKind.RECOVERY
        due = (token.created or 0) + spec.rotation.max_age_seconds if ages_at_all else None
        late = 0 if due is None else max(0, int(one.at) - due)
        by_timer = kind not in ages.TYPED
        found.append(KeyAge(kind, token.keyslots, str(token.ref), token.created, due, late, by_timer))
    return tuple(found)


def retired(one: SeenVolume) -> tuple[RetiredKey, ...]:
    """Return the retired keyslots that are still there."""
    if one.seen.header is None:
        return ()
    grace = one.spec.rotation.grace_seconds
    return tuple(
        RetiredKey(number, token.ref.provider, str(token.ref), token.retired or 0, (token.retired or 0) + grace)
        for number, token in ages.retired(one.seen.header)
    )


def lines(one: SeenVolume) -> Iterator[str]:
    """Return the lines of the detailed view."""
    for key in keys(one):
        yield f"{key.provider}: {_age(one, key)}"
    for old in retired(one):
        opens = f"opens the volume until {day(old.until)}"
        yield f"{old.provider}, keyslot {old.keyslot}: retired {day(old.retired)}, {opens}"


def _age(one: SeenVolume, key: KeyAge) -> str:
    if key.created is None:
        return "age not known" + (", so it is due" if key.by_timer else "")
    age = ages.days(max(0, int(one.at) - key.created))
    if key.due is None:
        return f"{age} old"
    if key.overdue_seconds:
        return f"{age} old, due since {day(key.due)}"
    return f"{age} old, due {day(key.due)}"


def as_json(one: SeenVolume) -> dict[str, object]:
    """Return the published form (docs/reference/status.schema.json)."""
    return {
        "max_age_seconds": one.spec.rotation.max_age_seconds,
        "grace_seconds": one.spec.rotation.grace_seconds,
        "keys": [
            {
                "provider": str(key.provider),
                "keyslots": list(key.keyslots),
                "key_ref": key.key_ref,
                "created_at": key.created,
                "due_at": key.due,
                "overdue": key.overdue_seconds > 0,
                "by_timer": key.by_timer,
            }
            for key in keys(one)
        ],
        "retired": [
            {
                "keyslot": old.keyslot,
                "provider": str(old.provider),
                "key_ref": old.key_ref,
                "retired_at": old.retired,
                "until": old.until,
            }
            for old in retired(one)
        ],
    }
