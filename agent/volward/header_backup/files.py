"""The directory of header backups: names, listing, and writing what is proven before it has its name.

A file is VOLUME.TIME.RANDOM.header, or .kept for what was on a device before a restore or repair; a volume's name
has no dot. Written beside, fsynced, read back and proven, then linked to its name, which never replaces; so every
file with a name was whole and proven once. Mode 0600 in a directory of mode 0700. Calls no host commands.
"""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from volward import durable
from volward.errors import HeaderBackupError, NoHeaderBackupError
from volward.header_backup import sealing
from volward.header_backup.facts import LATEST, Facts, Kind

_SUFFIXES = {Kind.BACKUP: "header", Kind.KEPT: "kept"}
_NAME = re.compile(r"([a-z][a-z0-9-]*)\.\d{8}T\d{6}Z\.[0-9a-f]{8}\.(header|kept)", re.ASCII)

Prove = Callable[[Path], None]
"""Looks at a file that is written and has no name yet, and raises when it is not good."""


@dataclass(frozen=True)
class Stored:
    """A file with its prologue; ``facts`` None when it is damaged or cannot be read, for the reason in ``error``."""

    path: Path
    facts: Facts | None
    error: str = ""


def listing(directory: Path, volumes: Iterable[str] | None = None) -> dict[str, tuple[Stored, ...]]:
    """Return the files by volume, newest first; of these volumes or of all. Raises OSError for the directory alone.

    The volume is the one in the file's name, and a prologue that names another is an error of that file, as is
    whatever stands in the way of reading it: it hides no other.
    """
    wanted = None if volumes is None else set(volumes)
    found: dict[str, list[Stored]] = {}
    for path in _paths(directory):
        volume = path.name.partition(".")[0]
        if wanted is None or volume in wanted:
            with contextlib.suppress(FileNotFoundError):  # it has just expired
                found.setdefault(volume, []).append(_stored(path, volume))
    return {volume: tuple(sorted(stored, key=_age)) for volume, stored in sorted(found.items())}


def names(directory: Path) -> dict[str, list[Path]]:
    """Return the files by volume, the newest first by their names; no file is read. Raises OSError."""
    found: dict[str, list[Path]] = {}
    for path in sorted(_paths(directory), key=lambda one: one.name, reverse=True):
        found.setdefault(path.name.partition(".")[0], []).append(path)
    return found


def of(directory: Path, volume: str) -> tuple[Stored, ...]:
    """Return one volume's files, newest first. Raises OSError."""
    return listing(directory, (volume,)).get(volume, ())


def backups(directory: Path, volume: str) -> tuple[tuple[Path, Facts], ...]:
    """Return one volume's proven backups that can be read, newest first. Raises OSError."""
    return tuple(
        (one.path, one.facts)
        for one in of(directory, volume)
        if one.facts is not None and one.facts.kind is Kind.BACKUP
    )


def named(directory: Path, volume: str, name: str) -> Path:
    """Return one file by its name in the directory, or by its path. Raises NoHeaderBackupError."""
    path = directory / name if "/" not in name else Path(name)
    if not path.is_file():
        raise NoHeaderBackupError(
            f"There is no header backup {path}.", resolution=f"`volward header list {volume}` names those of {volume}."
        )
    return path


def moment(directory: Path, volume: str, luks_uuid: str, *, now: int) -> int:
    """Return when a file that is written now was made: later than every other one of that header. Raises OSError.

    The newest one is restored, and a clock can be set back; seconds since the epoch, as ``now`` is.
    """
    others = (one.facts for one in of(directory, volume) if one.facts is not None)
    newest = max((facts.created_at for facts in others if facts.luks_uuid == luks_uuid), default=-1)
    return min(max(now, newest + 1), LATEST)


def write(directory: Path, facts: Facts, content: bytes, *, prove: Prove) -> Path:
    """Write a file, have it proven, give it its name, and return it.

    Raises what ``prove`` raises, NoSpaceError, OSError; then there is no file. The caller
    holds the volume's lock: what an earlier run left unfinished is removed here.
    """
    durable.make_directory(directory, mode=0o700)
    _sweep(directory, facts.volume)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(facts.created_at))
    path = directory / f"{facts.volume}.{stamp}.{secrets.token_hex(4)}.{_SUFFIXES[facts.kind]}"

    def from_disk(temporary: Path) -> None:
        _forget_cached(temporary)
        prove(temporary)

    durable.create(path, content, prove=from_disk)
    return path


def remove(paths: Iterable[Path]) -> None:
    """Remove files for good, durably. Raises OSError."""
    for path in paths:
        path.unlink(missing_ok=True)
        durable.sync_directory(path.parent)


def _stored(path: Path, volume: str) -> Stored:
    try:
        facts = sealing.read_facts(path)
    except HeaderBackupError as error:
        return Stored(path, None, error.what)
    except FileNotFoundError:
        raise
    except OSError as error:
        return Stored(path, None, f"{path.name} cannot be read: {error.strerror or error}.")
    if facts.volume != volume:
        return Stored(path, None, f"{path.name} is a backup of {facts.volume}.")
    return Stored(path, facts)


def _age(stored: Stored) -> tuple[int, str]:
    return (-stored.facts.created_at if stored.facts else 0, stored.path.name)


def _paths(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []


def _sweep(directory: Path, volume: str) -> None:
    """Remove what a cut left of this volume's files before they had their names."""
    for path in directory.glob(f".{volume}.*.new"):
        if _NAME.fullmatch(path.name[1:].rpartition(".new")[0].rpartition(".")[0]):
            path.unlink(missing_ok=True)


def _forget_cached(path: Path) -> None:
    """Have the next reader read the disk and not the page cache, as far as the file system goes along."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
