"""system install, uninstall: carry out what was planned, so that a cut at any moment is finished by the next run.

The manifest has every intention before the first change, and what was done after the last one. Files are replaced as a
whole; units are enabled and disabled by systemctl. No service is started, and none is stopped but the daemon when it is
uninstalled.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from volward import __version__, audit, durable, lock, manifest
from volward.errors import BusyError, VerificationError, VolwardError
from volward.host import boot, run, systemd
from volward.host.shipped import BY_PATH, MODE, ROOT, Part, at
from volward.installation import Fate, FileChange, Installation, LinkFate, look, starts_at_once
from volward.manifest import Entry, Manifest, digest
from volward.operations.system_additions import plan_install
from volward.os_errors import explained

KEPT_ASIDE = Path("/var/lib/volward/replaced")
_HOST = "(host)"
_LOCK = "system units"  # no volume can have this name
_WAIT_SECONDS = 60.0
_WRITTEN = (Fate.CREATE, Fate.REPLACE)


@dataclass(frozen=True)
class Ensured:
    """What `ensure` did: whether systemd has read its unit files again, and what was left alone, as sentences."""

    reloaded: bool
    remarks: tuple[str, ...]


def carry_out(plan: Installation, *, root: Path = ROOT) -> None:
    """Do what was planned, when nothing has changed since.

    Raises BusyError (another volward was quicker, or a file was changed meanwhile), ToolFailedError,
    VerificationError, NoSpaceError, OperatingSystemError.
    """
    if not plan.is_to_be_done:
        return
    with explained(f"`volward system {plan.verb}`"), lock.held(_LOCK, wait_seconds=_WAIT_SECONDS):
        if manifest.read(root=root) != plan.manifest:
            raise BusyError("Another volward installed units meanwhile.", resolution="Run the same command again.")
        _audited(plan, root)


def ensure(parts: Collection[Part], *, insist: Collection[Part] = (), root: Path = ROOT) -> Ensured:
    """Install and enable what a volume needs, for `volward apply` and `volward export`. Raises as `carry_out` does."""
    plan = plan_install(parts, insist=insist, root=root)
    if plan.is_to_be_done:
        with explained("Installing units"), lock.held(_LOCK, wait_seconds=_WAIT_SECONDS):
            plan = plan_install(parts, insist=insist, root=root)
            if plan.is_to_be_done:
                _audited(plan, root)
    return Ensured(plan.reloads, tuple(one.sentence for one in plan.left))


def _audited(plan: Installation, root: Path) -> None:
    event = f"system-{plan.verb}"
    what = ", ".join(
        [f"{one.fate} {one.path}" for one in plan.files if one.fate in (*_WRITTEN, Fate.REMOVE)]
        + [f"{one.fate} {one.unit}" for one in plan.links if one.fate in (LinkFate.ENABLE, LinkFate.DISABLE)]
    )
    message = f"{plan.verb} units: {what or 'nothing but the manifest'}"
    audit.record(event, _HOST, audit.Outcome.INTENT, message)
    try:
        with explained(f"`volward system {plan.verb}`"):
            _change(plan, root)
            _verify(plan, root)
    except VolwardError as error:
        audit.record(event, _HOST, audit.Outcome.FAILED, f"{plan.verb} units: {error}", code=error.code)
        raise
    audit.record(event, _HOST, audit.Outcome.DONE, message)


def _change(plan: Installation, root: Path) -> None:
    manifest.write(_intended(plan), root=root)
    # An upgrade is nothing to the daemon until it is restarted. Where it is removed, it ends, and that closes nothing.
    ending = {boot.UNIT} if plan.verb == "uninstall" else set()
    for now, names in _by_now(plan.units(LinkFate.DISABLE), also=ending):
        boot.disable(names, now=now, root=root)
    for change in plan.files:
        if change.fate in _WRITTEN and change.after is not None:
            _write(change, change.after, root)
        elif change.fate is Fate.REMOVE:
            _unlink(change, root)
    enabling = plan.units(LinkFate.ENABLE)
    if plan.reloads and not enabling:  # enabling includes it
        systemd.reload()
    for now, names in _by_now(enabling):
        boot.enable(names, now=now)
    if enabling or plan.units(LinkFate.DISABLE):
        # Before the manifest says so: a link that a power cut takes back would look like an administrator's decision.
        boot.make_links_durable(root=root)
    for change in plan.files:
        one = BY_PATH.get(change.path)
        if one is not None and one.place.told and change.fate in (*_WRITTEN, Fate.FINISH):
            run.mutate([*one.place.told, at(one.path, root)])
    manifest.write(_settled(plan), root=root)


def _by_now(names: Collection[str], *, also: Collection[str] = ()) -> list[tuple[bool, list[str]]]:
    """Part units into those that are only enabled or disabled and those that are started or stopped as well."""
    waiting = [name for name in names if starts_at_once(name) or name in also]
    others = [name for name in names if name not in waiting]
    return [(now, some) for now, some in ((False, others), (True, waiting)) if some]


def _intended(plan: Installation) -> Manifest:
    """Return the manifest with every intention in it. What is to go is still there, and stays in it."""
    files = dict(plan.manifest.files)
    for change in plan.files:
        if change.fate in _WRITTEN and change.after is not None:
            before = change.before.content if change.before and change.before.content is not None else None
            replaces = "" if before is None else digest(before)
            files[change.path] = Entry(digest(change.after), MODE, __version__, pending=True, replaces=replaces)
    enabled = dict(plan.manifest.enabled)
    enabled |= dict.fromkeys([*plan.units(LinkFate.ENABLE), *plan.units(LinkFate.DISABLE)], False)
    return Manifest(files, enabled)


def _settled(plan: Installation) -> Manifest:
    files = dict(_intended(plan).files)
    for change in plan.files:
        gone = change.fate in (Fate.REMOVE, Fate.FORGET)
        if gone or (change.fate is Fate.LEAVE and plan.verb == "uninstall"):
            files.pop(change.path, None)
        elif change.fate in (*_WRITTEN, Fate.FINISH):
            files[change.path] = replace(files[change.path], pending=False, replaces="")
        elif change.fate is Fate.ADOPT and change.after is not None:
            files[change.path] = Entry(digest(change.after), MODE, __version__)
    enabled = dict(plan.manifest.enabled)
    for name in (*plan.units(LinkFate.DISABLE), *plan.units(LinkFate.FORGET)):
        enabled.pop(name, None)
    enabled |= dict.fromkeys([*plan.units(LinkFate.ENABLE), *plan.units(LinkFate.ADOPT)], True)
    return Manifest(files, enabled)


def _write(change: FileChange, content: bytes, root: Path) -> None:
    path = at(change.path, root)
    _refuse_if_changed(change, root)
    durable.make_directory(path.parent, mode=0o755)
    if change.kept_aside and change.before is not None and change.before.content is not None:
        _keep_aside(path.name, change.before.content, change.before.mode, root)
    durable.replace(path, content, mode=MODE)


def _keep_aside(name: str, content: bytes, mode: int, root: Path) -> None:
    """Keep what an administrator wrote, under a name that says what is in it: the same twice is kept once."""
    directory = at(KEPT_ASIDE, root)
    durable.make_directory(directory, mode=0o755)
    durable.replace(directory / f"{name}.{digest(content)[:12]}", content, mode=mode)


def _unlink(change: FileChange, root: Path) -> None:
    path = at(change.path, root)
    _refuse_if_changed(change, root)
    path.unlink()
    durable.sync_directory(path.parent)


def _refuse_if_changed(change: FileChange, root: Path) -> None:
    if look(at(change.path, root)) != change.before:
        raise BusyError(
            f"{change.path} was changed in this very moment.",
            resolution="It is left as it is. Run the same command again, and look at what it shows.",
        )


def _verify(plan: Installation, root: Path) -> None:
    """Look again: "the tool said OK" is no evidence."""
    wrong = []
    for change in plan.files:
        found = look(at(change.path, root))
        if change.fate in _WRITTEN and (found is None or (found.content, found.mode) != (change.after, MODE)):
            wrong.append(f"{change.path} is not as it was written")
        if change.fate is Fate.REMOVE and found is not None:
            wrong.append(f"{change.path} is still there")
    enabling = plan.units(LinkFate.ENABLE)
    wrong += [f"{name} is not enabled" for name in enabling if not boot.enabled(name, root=root)]
    for name in plan.units(LinkFate.DISABLE):
        if name not in enabling and boot.wanting(name, root=root):
            wrong.append(f"{name} is still enabled")
    if wrong:
        raise VerificationError(
            f"systemd and the disk do not show what was done: {'; '.join(wrong)}.",
            resolution="`volward system status` shows what is there; run the same command again.",
        )
