"""A secret as a file for a child process, without a file: a pipe or locked anonymous memory.

Follows pipe(7), memfd_create(2) and proc(5) (/dev/fd). Calls no host commands; part of the process boundary.
"""

import contextlib
import mmap
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from volward.secret import SecretBytes, lock_memory


@dataclass(frozen=True, eq=False)
class KeyFile:
    """A secret that the child reads as a file; in argv it becomes ``prefix`` + ``/dev/fd/N``.

    ``seekable`` passes locked anonymous memory instead of a pipe, for a child that seeks in its key file
    (systemd-cryptenroll(1) does: "Illegal seek").
    """

    secret: SecretBytes
    prefix: str = ""
    seekable: bool = False

    def opened(self) -> AbstractContextManager[int]:
        """Return the descriptor that the child inherits, as a context."""
        return memory(self.secret) if self.seekable else pipe(self.secret)


@contextlib.contextmanager
def pipe(secret: SecretBytes) -> Iterator[int]:
    """Yield the reading end of a pipe that already holds the whole secret.

    A pipe takes 64 KiB without a reader (pipe(7)); keys are far smaller, so no writer thread is needed.
    """
    reader, writer = os.pipe()
    try:
        try:
            os.set_blocking(writer, False)
            with secret.view() as view:
                if os.write(writer, view) != len(view):
                    raise ValueError("a key must fit into a pipe (64 KiB)")
        finally:
            os.close(writer)
        yield reader
    finally:
        os.close(reader)


@contextlib.contextmanager
def memory(secret: SecretBytes) -> Iterator[int]:
    """Yield an anonymous file (memfd_create(2)) that holds the secret; zeroed before it is given up.

    Its mode is 0600, since tools look at the mode of a key file. It is mapped and locked while it exists.
    """
    descriptor = os.memfd_create("key")
    try:
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, len(secret))
        with mmap.mmap(descriptor, len(secret)) as area:
            lock_memory(area)
            with secret.view() as view:
                area[:] = view  # any buffer will do: no bytes object between
            try:
                yield descriptor
            finally:
                area[:] = bytes(len(area))
    finally:
        os.close(descriptor)
