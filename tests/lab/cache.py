"""The cache: everything that the lab builds, outside the checkout, under names made of input hashes.

An entry is a directory that appears complete or not at all: it is filled under a temporary name and
renamed. A lock per entry lets several test runs on one machine share the work of the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The cache directory: $VOLWARD_LAB_CACHE, else volward-lab in the user's cache directory."""
    chosen = os.environ.get("VOLWARD_LAB_CACHE")
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "volward-lab"


def key_of(*parts: str | bytes) -> str:
    """A short name for these inputs; a different input gives a different name."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:16]


def key_of_files(paths: Iterable[Path], *, relative_to: Path) -> str:
    """A short name for the names, modes and contents of these files and of all files below these directories."""
    parts: list[str | bytes] = []
    for path in sorted(set(_files(paths))):
        parts += [str(path.relative_to(relative_to)), oct(path.stat().st_mode & 0o111), path.read_bytes()]
    return key_of(*parts)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            for child in path.rglob("*"):
                if child.is_file() and "__pycache__" not in child.parts:
                    yield child
        elif path.is_file():
            yield path


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock called `name`; a process that dies lets go of it."""
    directory = root() / "locks"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def entry(kind: str, key: str) -> Path:
    """Where the entry is, or would be."""
    return root() / kind / key


def ensure(kind: str, key: str, fill: Callable[[Path], None]) -> Path:
    """The directory of an entry, filled by `fill(empty_directory)` unless it is there already."""
    final = entry(kind, key)
    if not final.exists():
        with lock(f"{kind}-{key}"):
            if not final.exists():
                _fill(final, fill)
    # The time of last use, for `prune`.
    os.utime(final)
    return final


def _fill(final: Path, fill: Callable[[Path], None]) -> None:
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = final.with_name(f"{final.name}.partial")
    # The lock is ours, so whatever lies here was left by a builder that died.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    try:
        fill(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(final)


def prune(kind: str, *, keep: int, unused_seconds: float = 3600) -> list[Path]:
    """Remove all but the `keep` entries used last, and none that was used within `unused_seconds`."""
    directory = root() / kind
    if not directory.exists():
        return []
    entries = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    old = [path for path in entries[keep:] if time.time() - path.stat().st_mtime > unused_seconds]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return old
