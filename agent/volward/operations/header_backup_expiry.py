"""Header backups that go: those that a revoked key opens, and those of a volume key that is gone.

Only once a backup of the present header is there that takes their place. Removes files in the backup directory.
"""

from pathlib import Path

from volward import audit
from volward.errors import NoHeaderBackupError, VolwardError
from volward.header_backup import files
from volward.header_backup.facts import Facts, Kind
from volward.model import VolumeSpec
from volward.operations import whole_header
from volward.os_errors import explained

Proven = tuple[Path, Facts]
"""A backup that this very run has proven: its file, and what it says of itself."""


def after(
    spec: VolumeSpec, path: Path, facts: Facts, *, revoked: tuple[str, ...], new_volume_key: bool
) -> tuple[str, ...]:
    """Expire what the backup at ``path``, proven just now, takes the place of; return remarks for the owner, sentences.

    That is what a key of ``revoked`` opens (marks, see facts.mark_of; "" is a key that has none), and with
    ``new_volume_key`` all others. Raises nothing: what is left is told in the remarks.
    """
    remarks = []
    try:
        if new_volume_key:
            expire_others(spec, (path, facts))
        for mark in filter(None, revoked):
            expire(spec, mark, (path, facts))
    except VolwardError as error:
        remarks.append(f"{error.what} {error.resolution}")
    if "" in revoked and not new_volume_key:
        remarks.append(
            f"A revoked key of {spec.name} has neither a fingerprint nor a key pair, so nobody can tell which header "
            f"backups it opens: remove those from before by hand (`volward header list {spec.name}`)."
        )
    return tuple(remarks)


def expire_others(spec: VolumeSpec, proven: Proven | None = None) -> tuple[Path, ...]:
    """Remove all files but the backups of the present header: they are of a volume key that is gone.

    Restored, they would make the data unreadable. ``proven`` is the backup that this very run has proven; without it
    one is taken that says to be of the present header. Raises NoHeaderBackupError while there is none.
    """
    with explained(f"Expiring header backups of {spec.name}"):
        keep = {path for path, _ in _of_present(spec, proven)}
        if not keep:
            raise NoHeaderBackupError(
                f"{spec.name} has no backup of its present header, so those of the old volume key are kept.",
                resolution=f"Never restore them. `volward header backup {spec.name}` makes a new one.",
            )
        old = tuple(one.path for one in files.of(spec.header_backups, spec.name) if one.path not in keep)
        return _removed(spec, old, "the volume key in it is gone")


def expire(spec: VolumeSpec, mark: str, proven: Proven | None = None) -> tuple[Path, ...]:
    """Remove the files that a revoked key opens, or in which it opens a keyslot; return them.

    Only once a backup of the present header exists with which it does neither: raises NoHeaderBackupError otherwise.
    ``proven`` is the backup that this very run has proven; without it one is taken that says to be of the present
    header. The caller holds the volume's lock. ``mark`` tells the key (facts.mark_of); one that has none cannot be told
    and raises ValueError. Kept areas whose keyslots are not known go as well, when they are older than that backup.
    """
    if not mark:
        raise ValueError("a key without fingerprint and pair cannot be told in a backup")
    with explained(f"Expiring header backups of {spec.name}"):
        newer = next((facts for _, facts in _of_present(spec, proven)), None)
        if newer is None or newer.has_key(mark):
            raise NoHeaderBackupError(
                f"No header backup of {spec.name} is without the revoked key, so the older ones are kept.",
                resolution=f"Run `volward header backup {spec.name}`, then expire them again.",
            )
        old = tuple(
            one.path
            for one in files.of(spec.header_backups, spec.name)
            if one.facts is not None and (one.facts.has_key(mark) or _may_have_it(one.facts, before=newer.created_at))
        )
        return _removed(spec, old, "a revoked key opens it")


def _of_present(spec: VolumeSpec, proven: Proven | None) -> tuple[tuple[Path, Facts], ...]:
    """Return the backups of the present header: the one that was proven, or what the directory has."""
    _, present, _ = whole_header.read(spec)
    found = files.backups(spec.header_backups, spec.name) if proven is None else (proven,)
    return tuple((path, facts) for path, facts in found if facts.is_of(present))


def _removed(spec: VolumeSpec, old: tuple[Path, ...], why: str) -> tuple[Path, ...]:
    files.remove(old)
    for path in old:
        what = f"{spec.name}: {path.name} was removed, because {why}"
        audit.record("header-backup-expire", spec.name, audit.Outcome.DONE, what, file=path.name)
    return old


def _may_have_it(facts: Facts, *, before: int) -> bool:
    return facts.kind is Kind.KEPT and not facts.keyslots and facts.created_at <= before
