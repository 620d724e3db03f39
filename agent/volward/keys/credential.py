"""The provider ``credential``: random keys as systemd credentials, sealed by the host's key, the TPM or both.

The key of version N of a volume is /etc/credstore.encrypted/volward.<volume>.v<N>; the same name is sealed
inside, so that a file that was renamed or copied does not pass for another. Files are created and never
overwritten or removed. Uses systemd-creds(1) through host.creds.
"""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from volward.errors import (
    ConfigurationError,
    KeyDeniedError,
    KeyExistsError,
    NoSpaceError,
    ProviderUnavailableError,
    VerificationError,
    VolwardError,
)
from volward.host import creds
from volward.keys.source import KeyRef, new_key
from volward.model import ProviderKind
from volward.secret import SecretBytes

DIRECTORY = Path("/etc/credstore.encrypted")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class CredentialSource:
    """Keys in a directory of encrypted credentials.

    ``seal`` is auto, host, host+tpm2 or tpm2; auto means host+tpm2 where there is a TPM and host elsewhere.
    The caller holds the volume's lock while it creates.
    """

    provider = ProviderKind.CREDENTIAL
    interactive = False

    def __init__(
        self,
        *,
        directory: Path = DIRECTORY,
        seal: str = "auto",
        pcrs: tuple[int, ...] = (7,),
        has_tpm2: Callable[[], bool] = creds.has_tpm2,
    ) -> None:
        self._directory = directory
        self._seal = seal
        self._pcrs = pcrs
        self._has_tpm2 = has_tpm2

    def first_ref(self, volume: str) -> KeyRef:
        """Return version 1 of the volume's key."""
        return KeyRef(self.provider, f"volward.{volume}", 1)

    def next_ref(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> KeyRef:  # noqa: ARG002
        """Return the ref of a key's successor."""
        return replace(ref, version=ref.version + 1)

    def path(self, ref: KeyRef) -> Path:
        """Return the file of that key."""
        return self._directory / _file_name(ref)

    def refs(self, volume: str, *, deadline_seconds: float = 0.0) -> tuple[KeyRef, ...]:  # noqa: ARG002
        """Return the volume's keys by their file names, newest first."""
        pattern = re.compile(rf"volward\.{re.escape(volume)}\.v([1-9]\d*)")
        try:
            names = os.listdir(self._directory)  # noqa: PTH208 (names are all that is looked at)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unreadable(self._directory, error) from error
        versions = sorted((int(found[1]) for name in names if (found := pattern.fullmatch(name))), reverse=True)
        return tuple(KeyRef(self.provider, f"volward.{volume}", version) for version in versions)

    def present(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> bool:  # noqa: ARG002
        """Return whether the file is there."""
        try:
            self.path(ref).lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._unreadable(self.path(ref), error) from error
        return True

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float = 0.0) -> KeyRef:
        """Create the key, or adopt the one that is there; see KeySource."""
        if not self.present(ref):
            with new_key() as key:
                sealed = creds.encrypt(_file_name(ref), key, seal=self._chosen_seal(), pcrs=self._pcrs)
                if self._store(ref, sealed):
                    self._compare(ref, key)
                    return ref
        if not adopt:
            raise KeyExistsError(
                f"{self.path(ref)} exists already.",
                resolution="It is never overwritten: a keyslot may depend on it. `volward status` shows which.",
            )
        self.read(ref, deadline_seconds=deadline_seconds).wipe()
        return ref

    def read(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> SecretBytes:  # noqa: ARG002
        """Unseal the key. A missing file is a denial: the key is not there."""
        if not self.present(ref):
            raise KeyDeniedError(
                f"The credential {self.path(ref)} is not there.",
                resolution="Restore it from a backup of this host, or open the volume by another key.",
            )
        return creds.decrypt(_file_name(ref), self.path(ref))

    def _chosen_seal(self) -> creds.Seal:
        match self._seal:
            case "auto":
                return "host+tpm2" if self._has_tpm2() else "host"
            case "host" | "host+tpm2" | "tpm2" as chosen:
                return chosen
            case other:
                raise ConfigurationError(
                    f"{other!r} is no way to seal a credential.", resolution="Use auto, host, host+tpm2 or tpm2."
                )

    def _store(self, ref: KeyRef, sealed: bytes) -> bool:
        """Write the file whole or not at all; return False when somebody else made it first."""
        target = self.path(ref)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
        try:
            self._make_directory()
            self._sweep(ref)
            try:
                _write(temporary, sealed)
                os.link(temporary, target)  # unlike rename(2) it never replaces
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
            _sync_directory(self._directory)
        except FileExistsError:
            return False
        except OSError as error:
            raise self._unwritable(target, error) from error
        return True

    def _make_directory(self) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700)
            _sync_directory(self._directory.parent)

    def _sweep(self, ref: KeyRef) -> None:
        """Remove what a cut left of our own: hidden files of this very key that were never linked."""
        pattern = re.compile(rf"\.{re.escape(_file_name(ref))}\.[0-9a-f]{{8}}\.new")
        for name in os.listdir(self._directory):  # noqa: PTH208 (names are all that is looked at)
            if pattern.fullmatch(name):
                (self._directory / name).unlink(missing_ok=True)

    def _compare(self, ref: KeyRef, key: SecretBytes) -> None:
        with self.read(ref) as back:
            same = len(back) == len(key) and back.matches(key)
        if not same:
            raise VerificationError(
                f"{self.path(ref)} does not give back the key that was sealed into it.",
                resolution="Nothing depends on it yet. Look at the file system, then move the file away by hand.",
            )

    def _unwritable(self, path: Path, error: OSError) -> VolwardError:
        if error.errno in _FULL:
            return NoSpaceError(
                f"The file system of {path.parent} is full; no key was stored.",
                resolution="Free some space and run the same command again.",
            )
        return ProviderUnavailableError(
            f"{path} could not be written: {error.strerror}.", resolution="Look at the mount options and at `dmesg`."
        )

    def _unreadable(self, path: Path, error: OSError) -> ProviderUnavailableError:
        return ProviderUnavailableError(
            f"{path} could not be read: {error.strerror}.", resolution="Run as root, and look at `dmesg`."
        )


def _file_name(ref: KeyRef) -> str:
    return f"{ref.name}.v{ref.version}"


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 (of a descriptor)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
