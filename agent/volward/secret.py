"""SecretBytes: the only type in which a key travels through volward.

A secret lives in one locked, wipeable buffer. It prints as ``***``, cannot be pickled, hashed or formatted,
and is wiped by its owner (``with secret:`` or ``secret.wipe()``). What Python, JSON or TLS copy on the way
cannot be wiped; docs/explanation/threat-model.md says so. Follows mlock(2), madvise(2) and getrandom(2);
calls no host commands.
"""

import contextlib
import ctypes
import hmac
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Never, Self

_LIBC = ctypes.CDLL(None)
_MAXIMUM_BYTES = 8 * 1024 * 1024  # the limit of cryptsetup(8) for a key file


class SecretBytes:
    """A secret of fixed length in an anonymous, locked memory mapping that core dumps leave out.

    It belongs to the process that made it: a forked child has no such mapping (MADV_DONTFORK), and asking
    there is an error instead of a crash. Raises ValueError for an empty secret or one over 8 MiB
    (cryptsetup's limit for a key file).
    """

    __slots__ = ("_length", "_map", "_owner")

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        """Copy ``value`` once, from buffer to buffer; a bytearray is wiped afterwards."""
        self._allocate(len(value))
        self._map[: self._length] = value  # any buffer will do: no bytes object between
        if isinstance(value, bytearray):
            value[:] = bytes(len(value))

    def _allocate(self, length: int) -> None:
        self._length = 0
        if not 0 < length <= _MAXIMUM_BYTES:
            raise ValueError("a secret has between 1 byte and 8 MiB")
        self._map = _locked_map(length)
        self._length = length
        self._owner = os.getpid()

    @classmethod
    def random(cls, length: int) -> Self:
        """Return ``length`` bytes of the kernel's generator, read straight into the locked buffer."""
        return cls.filled(length, _read_random)

    @classmethod
    def filled(cls, length: int, fill: Callable[[memoryview], None]) -> Self:
        """Return a secret of ``length`` bytes that ``fill`` writes in place; wiped again if it raises."""
        secret = cls.__new__(cls)
        secret._allocate(length)
        try:
            with secret.view() as window:
                fill(window)
        except BaseException:
            secret.wipe()
            raise
        return secret

    def view(self) -> memoryview:
        """Return the bytes for a moment; release the view (``with secret.view() as v``) before wiping."""
        self._refuse_if_wiped()
        return memoryview(self._map)[: self._length]

    def matches(self, other: "SecretBytes") -> bool:
        """Compare in constant time (hmac.compare_digest)."""
        with self.view() as mine, other.view() as theirs:
            return hmac.compare_digest(mine, theirs)

    def wipe(self) -> None:
        """Overwrite the buffer with zeros and give it back; may be called again.

        A view that is still in use sees zeros; the memory goes back when that view is released.
        """
        if self._length:
            if os.getpid() == self._owner:
                self._map[: self._length] = bytes(self._length)
            self._length = 0
            with contextlib.suppress(BufferError):
                self._map.close()

    @property
    def wiped(self) -> bool:
        return self._length == 0

    def _refuse_if_wiped(self) -> None:
        if self.wiped:
            raise ValueError("the secret was wiped already")
        if os.getpid() != self._owner:
            raise ValueError("the secret belongs to the process that forked this one")

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return "***"

    def __reduce__(self) -> Never:
        raise TypeError("a secret is never pickled or copied")

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Never:
        raise TypeError("compare secrets with matches()")


def _read_random(window: memoryview) -> None:
    with Path("/dev/urandom").open("rb", buffering=0) as source:
        if source.readinto(window) != len(window):
            raise OSError("the kernel's random generator returned too little")


def _locked_map(length: int) -> mmap.mmap:
    """Map anonymous memory, lock it (best effort: RLIMIT_MEMLOCK may be small) and keep it out of dumps."""
    pages = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
    area = mmap.mmap(-1, pages, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # Not WIPEONFORK: a child that uses a key by mistake must fail, not enrol a key of zeros.
    for advice in (mmap.MADV_DONTDUMP, mmap.MADV_DONTFORK):
        area.madvise(advice)
    lock_memory(area)
    return area


def lock_memory(area: mmap.mmap) -> None:
    """Keep a mapping out of swap (mlock(2)); best effort, since RLIMIT_MEMLOCK may be small."""
    anchor = ctypes.c_char.from_buffer(area)
    try:
        address = ctypes.c_void_p(ctypes.addressof(anchor))
        _LIBC.mlock(address, ctypes.c_size_t(len(area)))
    finally:
        del anchor
