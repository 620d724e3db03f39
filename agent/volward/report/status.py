"""Status of many volumes as text: a row a volume, then what is wrong and what to do. Pure."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from volward.model import MappingState, Presence, StoreKind
from volward.report import keyslots
from volward.report.amount import count, size
from volward.report.condition import Condition
from volward.report.remark import Remark
from volward.report.state import State
from volward.report.volume import SeenVolume

HEADINGS = ("VOLUME", "STATE", "DEVICE", "USED", "MOUNT POINT", "KEYS")
# How the state words look on a terminal (rich's styles).
STYLES: dict[str, str] = {
    State.OK: "green",
    State.DEGRADED: "yellow",
    State.UNMOUNTED: "yellow",
    State.NEW: "cyan",
    State.CLOSED: "cyan",
    State.ABSENT: "bold red",
    State.DAMAGED: "bold red",
    State.FOREIGN: "bold red",
    State.UNKNOWN: "bold red",
    State.ZOMBIE: "bold red",
    State.SUSPENDED: "bold red",
}

Judged = tuple[SeenVolume, Condition]


def row(one: SeenVolume, condition: Condition) -> tuple[str, ...]:
    """Return the cells of one volume, as HEADINGS names them."""
    where = str(one.spec.mount_point) if one.spec.mount_point else "(swap)"
    return (one.spec.name, condition.state, _device(one), _used(one), where, _keys(one))


def _device(one: SeenVolume) -> str:
    device = one.seen.device
    if device is None:
        return "absent" if one.seen.device_presence is Presence.ABSENT else "unknown"
    if one.spec.is_file:
        return f"file {Path(device.node).name}"
    serial = device.identity.serial
    return f"{device.node.name} {serial}".rstrip()


def _used(one: SeenVolume) -> str:
    if one.space is not None:
        return f"{one.space.used_percent} % of {size(one.space.total_bytes)}"
    if one.mounted_here:
        return "unknown"
    device = one.seen.device
    state = "closed" if one.seen.mapping.state is MappingState.ABSENT else "not mounted"
    return f"- of {size(device.identity.size_bytes)}" if device and state == "closed" else "-"


def _keys(one: SeenVolume) -> str:
    if one.spec.store is StoreKind.SCRATCH:
        return "random"
    if one.seen.header is None:
        return "none" if one.seen.header_presence is Presence.ABSENT else "unknown"
    return ", ".join(keyslots.kinds(one.seen.header)) or "none"


def below(volumes: Sequence[Judged]) -> Iterator[str]:
    """Say what is wrong, volume by volume; then the notes, each once for all volumes that it is about; a summary."""
    for one, condition in volumes:
        if condition.problems:
            yield ""
            yield f"{one.spec.name} is {condition.state}:"
            for remark in condition.problems:
                yield from remark_lines(remark)
    for names, remark in _notes(volumes):
        yield ""
        yield f"{', '.join(names)}:"
        yield from remark_lines(remark)
    yield ""
    yield summary([condition for _, condition in volumes])


def remark_lines(remark: Remark) -> Iterator[str]:
    """A problem has "!", a note "-"; below it what to do."""
    yield f"  {'!' if remark.problem else '-'} {remark.what}"
    yield f"    {remark.resolution}"


def summary(conditions: Sequence[Condition]) -> str:
    """Return "3 volumes: 2 ok, 1 closed."."""
    states = [condition.state for condition in conditions]
    told = [f"{states.count(state)} {state}" for state in reversed(State) if state in states]
    return f"{count(len(states), 'volume')}: {', '.join(told)}." if states else "No volume is configured."


def _notes(volumes: Sequence[Judged]) -> Iterator[tuple[list[str], Remark]]:
    grouped: dict[str, list[tuple[str, Remark]]] = {}
    for one, condition in volumes:
        for remark in condition.notes:
            grouped.setdefault(remark.what, []).append((one.spec.name, remark))
    for what, found in grouped.items():
        names = [name for name, _ in found]
        first = found[0][1].resolution
        together = first if len(names) == 1 else first.replace(names[0], "VOLUME")
        yield names, Remark(what, together, problem=False)
