"""A rotation's plan as text and as JSON: what is done, and what becomes of each keyslot."""

import time
from collections.abc import Iterator

from volward.model import Fate, KeyslotFate, RotationPlan
from volward.report import plan as text


def lines(plan: RotationPlan) -> Iterator[str]:
    """Say what will be done and why, then the fate of every keyslot."""
    yield from text.lines(plan)
    if plan.fates:
        yield "  keyslots afterwards:"
        yield from (f"    {one.keyslot}  {one.opened_by}: {_fate(one)}" for one in plan.fates)


def as_json(plan: RotationPlan) -> dict[str, object]:
    """Return the published form (docs/reference/plan.schema.json); times are seconds since the epoch."""
    fates = [
        {"keyslot": one.keyslot, "opened_by": one.opened_by, "fate": str(one.fate), "until": one.until}
        for one in plan.fates
    ]
    return text.as_json(plan) | {"keyslots": fates}


def done(plan: RotationPlan) -> str:
    """Say in one sentence what was done: 'a new key of credential opens keyslot 1; keyslot 0 is retired until ...'."""
    parts = []
    rotation = plan.rotation
    if rotation is not None and rotation.provider is not None:
        parts.append(f"a new key of {rotation.provider} opens it")
    for one in plan.fates:
        mine = rotation is not None and one.keyslot in (*rotation.old, *rotation.revoked)
        if mine and one.fate is not Fate.STAYS:
            parts.append(f"keyslot {one.keyslot} is {_fate(one)}")
    return "; ".join(parts) or "done"


def day(seconds: int) -> str:
    """Return '2026-04-01', by local time."""
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _fate(one: KeyslotFate) -> str:
    match one.fate:
        case Fate.NEW:
            return "the new key"
        case Fate.RETIRED:
            return f"retired, opens the volume until {day(one.until or 0)}"
        case _:
            return str(one.fate)
