"""A rotation's plan as text and as JSON: what is done, and what becomes of each keyslot."""

import time
from collections.abc import Iterator, Sequence

from volward.model import Fate, KeyslotFate, Progress, ProviderKind, ReencryptionPlan, RotationPlan
from volward.report import plan as text
from volward.report.amount import size

_BAR = 30


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


def reencryption_lines(plan: ReencryptionPlan, rotates: Sequence[ProviderKind]) -> Iterator[str]:
    """Say what a new volume key takes, and the fate of every keyslot."""
    first, *rest = text.lines(plan)
    yield first
    if plan.nothing_because:
        yield from rest
        return
    yield from (f"  + give it a new key of {kind}, because whoever has the old one could read on" for kind in rotates)
    yield from rest if plan.actions else ["  + try every key once more, because its end was cut short (journal)"]
    if plan.fates:
        yield "  keyslots afterwards (their numbers change):"
        yield from (f"    {one.keyslot}  {one.opened_by}: {_fate(one)}" for one in plan.fates)


def reencryption_as_json(plan: ReencryptionPlan, rotates: Sequence[ProviderKind]) -> dict[str, object]:
    """Return the published form (docs/reference/plan.schema.json)."""
    fates = [
        {"keyslot": one.keyslot, "opened_by": one.opened_by, "fate": str(one.fate), "until": None} for one in plan.fates
    ]
    return text.as_json(plan) | {"keyslots": fates, "rotates_first": [str(kind) for kind in rotates]}


def progress_as_json(volume: str, so_far: Progress) -> dict[str, object]:
    """Return one line of --progress-json; sizes in bytes, ``seconds_left`` null while it is not known."""
    return {
        "volume": volume,
        "done_bytes": so_far.done_bytes,
        "total_bytes": so_far.total_bytes,
        "bytes_per_second": round(so_far.bytes_per_second),
        "seconds_left": None if so_far.seconds_left is None else round(so_far.seconds_left),
    }


def progress_line(volume: str, so_far: Progress) -> str:
    """Return 'pgdata: 37 %, 3.7 GiB of 10 GiB, 412 MiB/s, 0:15 left'."""
    left = "" if so_far.seconds_left is None else f", {_clock(so_far.seconds_left)} left"
    amounts = f"{size(so_far.done_bytes)} of {size(so_far.total_bytes)}, {size(round(so_far.bytes_per_second))}/s"
    return f"{volume}: {so_far.percent:.0f} %, {amounts}{left}"


def progress_bar(volume: str, so_far: Progress) -> str:
    """Return the same behind a bar of 30 characters."""
    full = round(_BAR * so_far.percent / 100)
    return f"[{'#' * full}{'.' * (_BAR - full)}] {progress_line(volume, so_far)}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def day(seconds: int) -> str:
    """Return '2026-04-01', by local time."""
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _fate(one: KeyslotFate) -> str:
    match one.fate:
        case Fate.NEW:
            return "the new key"
        case Fate.RETIRED:
            return f"retired, opens the volume until {day(one.until or 0)}"
        case Fate.REPLACED:
            return "replaced by a new recovery key, which its owner confirms"
        case _:
            return str(one.fate)
