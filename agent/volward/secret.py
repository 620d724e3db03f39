"""SecretBytes: the only type in which a key travels through volward.

A secret lives in one locked, wipeable buffer. It prints as ``***``, cannot be pickled, hashed or formatted,
and is wiped by its owner (``with secret:`` or ``secret.wipe()``). What Python, JSON or TLS copy on the way
cannot be wiped; docs/explanation/threat-model.md says so. Follows mlock(2), madvise(2) and getrandom(2);
calls no host commands.
"""

import ctypes
import hmac
import mmap
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Never, Self

_MAXIMUM_BYTES = 8 * 1024 * 1024  # the limit of cryptsetup(8) for a key file


class SecretBytes:
    """A secret of fixed length in an anonymous, locked memory mapping that core dumps leave out.

    Raises ValueError for an empty secret or one over 8 MiB (cryptsetup's limit for a key file).
    """

    __slots__ = ("_length", "_map")

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        """Copy ``value``; a bytearray is wiped afterwards, so that the secret exists once."""
        self._length = len(value)
        if not 0 < self._length <= _MAXIMUM_BYTES:
            raise ValueError("a secret has between 1 byte and 8 MiB")
        self._map = _locked_map(self._length)
        self._map[: self._length] = bytes(value) if not isinstance(value, bytes) else value
        if isinstance(value, bytearray):
            value[:] = bytes(len(value))

    @classmethod
    def random(cls, length: int) -> Self:
        """Return ``length`` bytes of the kernel's generator, read straight into the locked buffer."""
        return cls._filled(length, _read_random)

    @classmethod
    def _filled(cls, length: int, fill: Callable[[memoryview], None]) -> Self:
        secret = cls(bytes(length))
        with memoryview(secret._map) as view, view[:length] as window:
            fill(window)
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
        """Overwrite the buffer with zeros and give it back; may be called again."""
        if self._length:
            self._map[: self._length] = bytes(self._length)
            self._length = 0
            self._map.close()

    @property
    def wiped(self) -> bool:
        return self._length == 0

    def _refuse_if_wiped(self) -> None:
        if self.wiped:
            raise ValueError("the secret was wiped already")

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
    for advice in ("MADV_DONTDUMP", "MADV_DONTFORK"):
        area.madvise(getattr(mmap, advice))
    anchor = ctypes.c_char.from_buffer(area)
    try:
        address = ctypes.c_void_p(ctypes.addressof(anchor))
        ctypes.CDLL(None).mlock(address, ctypes.c_size_t(pages))
    finally:
        del anchor
    return area
