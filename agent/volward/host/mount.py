"""Mounts and mount points: PID 1's mount table, and the seal that makes an unmounted mount point unusable.

A sealed mount point is an empty directory of root's with mode 0000 and the immutable flag: PID 1 still mounts
over it, and nothing, root included, can create a file in it. The flag is read by statx(2), which needs no
permission on the directory, and set by the FS_IOC_SETFLAGS ioctl (ioctl_iflags(2)), which needs
CAP_LINUX_IMMUTABLE. Mounting itself is PID 1's. Owns no host commands.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from volward.errors import MountPointError, NotPrivilegedError
from volward.host import mountinfo
from volward.model import Mount, MountPointState

PROC = Path("/proc")

_FS_IOC_GETFLAGS = 0x80086601  # _IOR('f', 1, long): the number says long, the kernel copies an int
_FS_IOC_SETFLAGS = 0x40086602
_FS_IMMUTABLE_FL = 0x10
_FLAGS = struct.Struct("=i")
_NO_FLAGS = frozenset({errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})

_AT_EMPTY_PATH = 0x1000
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_NO_AUTOMOUNT = 0x800
_STATX_BASIC_STATS = 0x7FF
_STATX_ATTR_IMMUTABLE = 0x10
_STATX_ATTR_MOUNT_ROOT = 0x2000
_STATX_BYTES = 256
_STATX_ATTRIBUTES = slice(8, 16)


def table(process: str = "1", *, proc: Path = PROC) -> tuple[Mount, ...]:
    """Return the mounts that a process sees; PID 1's are the host's. Raises OSError."""
    return mountinfo.read(process, proc=proc)


class Mounts:
    """A mount table made ready for many questions; each costs the same, however long the table is."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self.all = mounts
        known = {mount.identifier for mount in mounts}
        self._root = next((one for one in mounts if one.target == Path("/") and one.parent not in known), None)
        self._on = {(one.parent, one.target): one for one in mounts if one.parent != one.identifier}
        self._last = {one.target: one for one in mounts}

    def at(self, path: Path) -> Mount | None:
        """Return the mount that a process which walks to ``path`` meets there; None when nothing is mounted there.

        Walks as the kernel does, from mount to mount: a mount that another one on a parent directory hides does
        not count, and of several on one directory the topmost does.
        """
        path = resolved(path)
        current = self._root
        if current is None:  # records without mount IDs
            return self._last.get(path)
        for step in (*reversed(path.parents), path):
            while (upper := self._on.get((current.identifier, step))) is not None and upper is not self._root:
                current = upper
        return current if current.target == path else None


def at(path: Path, mounts: Sequence[Mount] | Mounts) -> Mount | None:
    """Return the mount that is met at ``path``; see Mounts.at."""
    return (mounts if isinstance(mounts, Mounts) else Mounts(mounts)).at(path)


def resolved(path: Path) -> Path:
    """Return the path with every parent's links followed, as mountinfo shows it; the last word is left as it is."""
    return Path(os.path.realpath(path.parent)) / path.name if path.name else path


def state(path: Path, mounts: Sequence[Mount] | Mounts) -> MountPointState:
    """Say what a mount point is now. Never raises; changes nothing."""
    if at(path, mounts) is not None:
        return MountPointState.MOUNTED
    try:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return MountPointState.NOT_A_DIRECTORY
        attributes = _attributes(path)
        if attributes & _STATX_ATTR_MOUNT_ROOT:
            return MountPointState.MOUNTED  # in this process's mount namespace alone
        sealed = (
            bool(attributes & _STATX_ATTR_IMMUTABLE)
            and (status.st_uid, status.st_gid) == (0, 0)
            and not stat.S_IMODE(status.st_mode)
        )
        if _holds_files(path, sealed=sealed):
            return MountPointState.OCCUPIED
    except FileNotFoundError:
        return MountPointState.ABSENT
    except NotADirectoryError:
        return MountPointState.NOT_A_DIRECTORY
    except OSError:
        return MountPointState.UNKNOWN
    return MountPointState.SEALED if sealed else MountPointState.EMPTY


def _holds_files(path: Path, *, sealed: bool) -> bool:
    """Raises OSError. A daemon without CAP_DAC_OVERRIDE cannot list a sealed directory: it was empty when sealed."""
    try:
        with os.scandir(path) as entries:
            return any(entries)
    except PermissionError:
        if sealed:
            return False
        raise


def create_and_seal(path: Path) -> str:
    """Make the mount point (parents with mode 0755) and seal it; running it again changes nothing.

    Returns "" or a warning, a sentence, when the file system has no immutable flag: then the mode alone protects,
    which root can override. Raises MountPointError when something is there or mounted there,
    NotPrivilegedError, OSError.
    """
    with _privileged(path):
        for parent in reversed(path.parents):
            with contextlib.suppress(FileExistsError):
                parent.mkdir()
                parent.chmod(0o755)  # whatever the umask is
                _sync(parent.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        with _opened(path) as descriptor:
            _refuse_mounted(path, descriptor)
            _refuse_occupied(path, descriptor)
            warning = _seal(path, descriptor)
            try:
                _refuse_occupied(path, descriptor)  # somebody may have been quicker than the flag
            except MountPointError:
                _unseal(descriptor)
                raise
            os.fsync(descriptor)
        _sync(path.parent)
    return warning


def unseal(path: Path) -> None:
    """Take the seal off (mode 0755), so that the directory can be removed or used. Changes nothing when absent.

    Raises MountPointError when it is not a directory or something is mounted there, NotPrivilegedError, OSError.
    """
    with contextlib.suppress(FileNotFoundError), _privileged(path), _opened(path) as descriptor:
        _refuse_mounted(path, descriptor)
        _unseal(descriptor)


def _seal(path: Path, descriptor: int) -> str:
    status = os.fstat(descriptor)
    as_wanted = (status.st_uid, status.st_gid) == (0, 0) and not stat.S_IMODE(status.st_mode)
    if not as_wanted:
        _set_immutable(descriptor, wanted=False)  # an immutable directory refuses chown and chmod
        os.fchown(descriptor, 0, 0)
        os.fchmod(descriptor, 0)
    if _set_immutable(descriptor, wanted=True):
        return ""
    return (
        f"The file system of {path} has no immutable flag: while the volume is not mounted, root can still write "
        "below its mount point."
    )


def _unseal(descriptor: int) -> None:
    _set_immutable(descriptor, wanted=False)
    os.fchmod(descriptor, 0o755)


def _set_immutable(descriptor: int, *, wanted: bool) -> bool:
    """Set or clear the flag; False when the file system has no flags. Raises OSError."""
    try:
        (flags,) = _FLAGS.unpack(fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, bytes(_FLAGS.size)))
        changed = flags | _FS_IMMUTABLE_FL if wanted else flags & ~_FS_IMMUTABLE_FL
        if changed != flags:
            fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, _FLAGS.pack(changed))
    except OSError as error:
        if error.errno in _NO_FLAGS:
            return False
        raise
    return True


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open the directory itself, so that every check and change meets the same one. Raises MountPointError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            kind = "a symbolic link" if path.is_symlink() else "not a directory"
            raise MountPointError(
                f"The mount point {path} is {kind}.", resolution="Move it away, or configure another mount point."
            ) from error
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _privileged(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise NotPrivilegedError(
            f"The mount point {path} cannot be sealed or unsealed: {error.strerror}.",
            resolution="Run it as root (CAP_CHOWN, CAP_FOWNER and CAP_LINUX_IMMUTABLE).",
        ) from error


def _refuse_mounted(path: Path, descriptor: int) -> None:
    if _attributes_of(descriptor) & _STATX_ATTR_MOUNT_ROOT:
        raise MountPointError(
            f"Something is mounted on {path}, so the directory below it is out of reach.",
            resolution="Unmount it first.",
        )


def _refuse_occupied(path: Path, descriptor: int) -> None:
    with os.scandir(descriptor) as entries:
        found = sorted(entry.name for entry in entries)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise MountPointError(
            f"The mount point {path} holds files ({', '.join(found[:3])}{more}), which the mount would hide.",
            resolution="Move them away first.",
        )


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _attributes(path: Path) -> int:
    return _statx(-100, os.fsencode(path), _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT)


def _attributes_of(descriptor: int) -> int:
    return _statx(descriptor, b"", _AT_EMPTY_PATH)


def _statx(descriptor: int, path: bytes, flags: int) -> int:
    """Return stx_attributes (statx(2)); the os module has no statx before Python 3.15. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    if libc.statx(descriptor, path, flags, _STATX_BASIC_STATS, buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path))
    return int.from_bytes(buffer.raw[_STATX_ATTRIBUTES], "little")
