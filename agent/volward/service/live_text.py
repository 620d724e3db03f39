"""What the daemon tells as text: a row a volume, then what is wrong and what to do.

Pure, but for the local time zone.
"""

import time
from collections.abc import Iterator, Sequence

from volward.report.amount import count
from volward.service.live import LiveStatus, LiveVolume, Pass

HEADINGS = ("VOLUME", "STATE", "SINCE", "OPENED BY", "NEXT TRY", "WAITS FOR")
DEGRADED = "degraded"
# How the state words look on a terminal (rich's styles); all others are as they are.
STYLES = {
    "open": "green",
    DEGRADED: "yellow",
    "waiting": "yellow",
    "unmounted": "yellow",
    "opening": "cyan",
    "closed": "cyan",
    "away": "bold red",
    "lost": "bold red",
    "stopped": "bold red",
}
# What somebody did, or what happened, of which the state is but a word.
_MEANINGS = {
    "unmounted": "Somebody unmounted it, and it stays so: `volward open {name}` mounts it.",
    "closed by hand": "Somebody closed it, and it stays so until `volward open {name}` or `volward reload`.",
    "lost": "Its device went away while it was open. It is opened again when the device is back.",
    "away": "Its device is not there. It is opened when the device appears.",
}


def row(volume: LiveVolume) -> tuple[str, ...]:
    """Return the cells of one volume, as HEADINGS names them."""
    return (
        volume.name,
        state(volume),
        moment(volume.since),
        volume.opened_by or "-",
        "-" if volume.next_try is None else moment(volume.next_try),
        volume.waits_for or "-",
    )


def state(volume: LiveVolume) -> str:
    """Return the daemon's word; an open volume with something to see to is degraded."""
    return DEGRADED if volume.state == "open" and volume.degraded else volume.state


def below(status: LiveStatus, volumes: Sequence[LiveVolume]) -> Iterator[str]:
    """Say what is wrong, volume by volume; then what the daemon says of itself, and a summary."""
    for volume in volumes:
        remarks = list(_remarks(volume))
        if remarks:
            yield ""
            yield f"{volume.name} is {state(volume)}:"
            yield from remarks
    if status.problems:
        yield ""
        yield "The configuration has problems, and the daemon goes on with the one before:"
        for problem in status.problems:
            yield from (f"  ! {line}" if number == 0 else f"    {line}" for number, line in enumerate(_lines(problem)))
    yield ""
    yield f"The daemon (volward {status.version}) runs since {moment(status.started_at)}. {_of_pass(status.last_pass)}"
    yield summary(volumes)


def summary(volumes: Sequence[LiveVolume]) -> str:
    """Return "3 volumes: 2 open, 1 waiting."."""
    if not volumes:
        return "The daemon knows no volume."
    states = [state(volume) for volume in volumes]
    told = ", ".join(f"{states.count(word)} {word}" for word in dict.fromkeys(states))
    return f"{count(len(states), 'volume')}: {told}."


def changes(before: LiveStatus, after: LiveStatus, names: Sequence[str], now: float) -> Iterator[str]:
    """Yield a line for each thing that is another than before; ``names`` are the volumes in question."""
    at = time.strftime("%H:%M:%S", time.localtime(now))
    known = {volume.name: volume for volume in before.volumes}
    there = {volume.name: volume for volume in after.volumes}
    for name in names:
        old, new = known.get(name), there.get(name)
        if new is None:
            if old is not None:
                yield f"{at}  {name}  is configured no more"
        elif old is None or row(old)[1:] != row(new)[1:] or old.failure != new.failure:
            yield f"{at}  {name}  {_change(old, new)}"
    if before.problems != after.problems:
        yield f"{at}  configuration  {count(len(after.problems), 'problem') if after.problems else 'good'}"


def moment(seconds: float) -> str:
    """Return a time as a person reads it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _change(old: LiveVolume | None, new: LiveVolume) -> str:
    words = state(new) if old is None or state(old) == state(new) else f"{state(old)} -> {state(new)}"
    by = f", by {new.opened_by}" if new.opened_by else ""
    waits = f", waits for {new.waits_for}" if new.waits_for else ""
    later = "" if new.next_try is None else f", next try {moment(new.next_try)}"
    why = f": {new.failure.what}" if new.failure else ""
    return f"{words}{by}{waits}{later}{why}"


def _remarks(volume: LiveVolume) -> Iterator[str]:
    for sentence in volume.degraded:
        yield f"  ! {sentence}"
    if meaning := _MEANINGS.get(volume.state):
        yield f"  - {meaning.format(name=volume.name)}"
    if volume.failure:
        first, *rest = _lines(volume.failure.what)
        yield f"  ! {first}"
        yield from (f"    {line}" for line in rest)
        yield from (f"    {line}" for line in _lines(volume.failure.resolution))
        yield f"    ({volume.failure.code}, `volward explain {volume.failure.code}`)"
    if volume.consumers_waiting:
        yield f"  - Started once it is mounted: {', '.join(volume.consumers_waiting)}."


def _lines(text: str) -> list[str]:
    return text.splitlines() or [""]


def _of_pass(last: Pass | None) -> str:
    if last is None:
        return "No pass yet."
    over = f" over {', '.join(last.volumes)}" if last.volumes else ""
    if last.ended_at is None:
        return f"A pass{over} runs since {moment(last.begun_at)}."
    return f"The last pass{over} ended {moment(last.ended_at)}."
