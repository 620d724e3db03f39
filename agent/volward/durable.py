"""Files that are whole or not there: written beside, fsynced, moved into place, directory fsynced.

Follows rename(2) and fsync(2): after a power cut a reader finds the old content or the new, never a part.
Calls no host commands.
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from volward.errors import NoSpaceError


def replace(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write ``path`` with ``content`` and ``mode``. Raises NoSpaceError, OSError; then the old file stands."""
    temporary = _written_beside(path, content, mode)
    try:
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def create(path: Path, content: bytes, *, mode: int = 0o600, prove: Callable[[Path], None] = lambda _: None) -> None:
    """Write ``path``, which must not exist. Raises FileExistsError, NoSpaceError, OSError.

    ``prove`` looks at what was written, on the disk under another name; when it raises, ``path`` never exists.
    """
    temporary = _written_beside(path, content, mode)
    try:
        prove(temporary)
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, mode: int) -> None:
    """Create ``path`` and its parents, durably; an existing directory stays as it is. Raises OSError."""
    if path.is_dir():
        return
    make_directory(path.parent, mode=0o755)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=mode)
    sync_directory(path.parent)


def _written_beside(path: Path, content: bytes, mode: int) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(path) from error
        raise
    return temporary


def no_space(path: Path) -> NoSpaceError:
    """Return the error that a full file system makes of writing ``path``."""
    return NoSpaceError(
        f"{path} cannot be written: its file system is full.",
        resolution=f"Free some space (`df -h {path.parent}`), then run the same command again.",
    )
