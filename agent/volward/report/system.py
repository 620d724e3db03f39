"""What `volward system` shows: the changes with a unified diff of each file, and the state of each unit. Pure."""

import difflib
from collections.abc import Iterator, Mapping

from volward.host.boot import Link
from volward.host.shipped import ALL, BY_PATH
from volward.installation import Fate, FileChange, Installation, LinkChange, LinkFate

SCHEMA_VERSION = 1  # rises when a field goes away or changes its meaning; new fields may come at any time
HEADINGS = ("FILE", "IS", "ENABLED", "STATE")
STYLES = {"current": "green", "older": "yellow", "missing": "yellow", "changed": "yellow", "failed": "bold red"}

_SHOWN = (Fate.CREATE, Fate.REPLACE, Fate.REMOVE)
_IS = {
    Fate.CREATE: "missing",
    Fate.REPLACE: "older",
    Fate.REMOVE: "older",
    Fate.FINISH: "not yet read",
    Fate.ADOPT: "current",
    Fate.CURRENT: "current",
    Fate.FORGET: "packaged",
    Fate.PACKAGED: "packaged",
    Fate.LEAVE: "changed",
    Fate.IN_USE: "in use",
}


def lines(plan: Installation) -> Iterator[str]:
    """Yield what would be changed, each file with its diff; then what is left alone, and why."""
    for change in plan.files:
        if change.fate in _SHOWN:
            yield f"{change.fate} {change.path}{f', because {change.reason}' if change.reason else ''}"
            yield from (f"  {line}" for line in diff(change))
    for link in plan.links:
        if link.fate in (LinkFate.ENABLE, LinkFate.DISABLE):
            yield f"{link.fate} {link.unit}"
    if not plan.is_to_be_done:
        yield "nothing to do, because " + _all_there(plan)
    yield from notes(plan)


def notes(plan: Installation) -> Iterator[str]:
    """Yield what is left alone, with what to do, and the remarks."""
    yield from (one.sentence for one in plan.left)
    yield from plan.remarks


def done(plan: Installation) -> str:
    """Return the sentence that ends a run which changed something."""
    written = sum(one.fate in (Fate.CREATE, Fate.REPLACE) for one in plan.files)
    removed = sum(one.fate is Fate.REMOVE for one in plan.files)
    parts = [f"{written} written"] if written else []
    parts += [f"{removed} removed"] if removed else []
    on, off = plan.units(LinkFate.ENABLE), plan.units(LinkFate.DISABLE)
    parts += [f"{len(on)} enabled"] if on else []
    off = tuple(name for name in off if name not in on)
    parts += [f"{len(off)} disabled"] if off else []
    return f"{plan.verb}: {', '.join(parts) or 'taken up into the list of what volward installed'}"


def diff(change: FileChange) -> list[str]:
    """Return the unified diff of a file, as `diff --unified` names its sides."""
    before = change.before.content if change.before is not None else None
    return list(
        difflib.unified_diff(
            _text(before),
            _text(change.after),
            fromfile="/dev/null" if before is None else str(change.path),
            tofile="/dev/null" if change.after is None else str(change.path),
            lineterm="",
        )
    )


def as_json(plan: Installation, *, carried_out: bool) -> dict[str, object]:
    """Return the whole document of `volward system install` and `uninstall`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "verb": plan.verb,
        "changes_pending": plan.is_to_be_done and not carried_out,
        "files": [
            {
                "path": str(one.path),
                "change": str(one.fate),
                "diff": "\n".join(diff(one)) if one.fate in _SHOWN else None,
                "reason": one.reason or None,
                "resolution": one.resolution or None,
            }
            for one in plan.files
        ],
        "units": [
            {
                "unit": one.unit,
                "change": str(one.fate),
                "now": str(one.now),
                "reason": one.reason or None,
                "resolution": one.resolution or None,
            }
            for one in plan.links
        ],
        "remarks": list(plan.remarks),
    }


def rows(plan: Installation, states: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """Return the cells of `volward system status`, as HEADINGS names them."""
    links = _links(plan)
    found = []
    for change in plan.files:
        name = change.path.name
        link = links.get(name)
        enabled = {Link.ENABLED: "yes", Link.DISABLED: "no", Link.MASKED: "masked"}[link.now] if link else ""
        found.append((_shown(change), _IS[change.fate], enabled, _state(name, states)))
    return found


def status_as_json(plan: Installation, states: Mapping[str, str]) -> dict[str, object]:
    """Return the whole document of `volward system status`."""
    links = _links(plan)
    files = []
    for change in plan.files:
        name = change.path.name
        entry, link = plan.manifest.files.get(change.path), links.get(name)
        files.append(
            {
                "path": str(change.path),
                "is": _IS[change.fate],
                "enabled": str(link.now) if link else None,
                "state": _state(name, states) or None,
                "written_by_version": entry.version if entry else None,
                "reason": change.reason or (link.reason if link else "") or None,
                "resolution": change.resolution or (link.resolution if link else "") or None,
            }
        )
    return {"schema_version": SCHEMA_VERSION, "changes_pending": plan.is_to_be_done, "files": files}


def unit_names() -> tuple[str, ...]:
    """Return the units whose state `volward system status` asks for."""
    return tuple(one.name for one in ALL if one.is_unit and not one.is_template)


def _links(plan: Installation) -> dict[str, LinkChange]:
    return {one.unit: one for one in plan.links}


def _shown(change: FileChange) -> str:
    one = BY_PATH.get(change.path)
    return one.name if one is not None and one.is_unit else str(change.path)


def _state(name: str, states: Mapping[str, str]) -> str:
    return states.get(name, "inactive" if states and name in unit_names() else "")


def _text(content: bytes | None) -> list[str]:
    return [] if content is None else content.decode(errors="replace").splitlines()


def _all_there(plan: Installation) -> str:
    if plan.verb == "uninstall":
        return "nothing is installed that volward may remove"
    left = " apart from what is left alone" if plan.left else ""
    return f"every file is current and every unit is enabled{left}"
