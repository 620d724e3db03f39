"""The systemd credential with which a host logs in: a secret id or a token, sealed on this host.

Read by a short-lived systemd-creds(1), as the unlocking keys of the provider ``credential`` are. What was in a
response-wrapping token is sealed beside it under a name that tells which token it came from, so that a newly
delivered one is noticed; files are created and never overwritten.
"""

import hashlib
from pathlib import Path

from volward import durable
from volward.errors import KeyDeniedError, NoSpaceError, ProviderUnavailableError
from volward.host import creds
from volward.secret import SecretBytes

DIRECTORY = Path("/etc/credstore.encrypted")
_WHITE = b" \t\r\n"


class LoginCredentials:
    """The credentials in one directory."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory

    def read(self, name: str) -> SecretBytes:
        """Return what the credential holds, without the newline that a shell put there.

        Raises KeyDeniedError (it is not there, or cannot be unsealed here), ProviderUnavailableError (TPM).
        """
        path = self._directory / name
        if not _is_there(path):
            raise KeyDeniedError(
                f"The credential {path} for Vault is not there.",
                resolution=f"Deliver it: `mkdir -p -m 0700 {path.parent}`, then `systemd-creds encrypt --name={name} - "
                f"{path}` seals what is typed until Ctrl-D.",
            )
        with creds.decrypt(name, path) as secret:
            return _stripped(secret, path)

    def unwrapped(self, name: str, wrapping: SecretBytes) -> SecretBytes | None:
        """Return the secret id that this wrapping token held, if it was unwrapped here before."""
        inner = _unwrapped_name(name, wrapping)
        path = self._directory / inner
        return creds.decrypt(inner, path) if _is_there(path) else None

    def keep(self, name: str, wrapping: SecretBytes, secret: SecretBytes) -> Path:
        """Seal the secret id that was unwrapped, durably; return where.

        Raises what creds.encrypt does, NoSpaceError, ProviderUnavailableError (the directory is not writable).
        """
        inner = _unwrapped_name(name, wrapping)
        path = self._directory / inner
        sealed = creds.encrypt(inner, secret, seal="host+tpm2" if creds.has_tpm2() else "host", pcrs=(7,))
        try:
            durable.make_directory(self._directory, mode=0o700)
            durable.create(path, sealed)
        except NoSpaceError:
            raise
        except OSError as error:
            raise ProviderUnavailableError(
                f"{path} could not be written: {error.strerror}.",
                resolution="Look at the mount options and at `dmesg`.",
            ) from error
        return path


def _unwrapped_name(name: str, wrapping: SecretBytes) -> str:
    with wrapping.view() as view:  # it works once only, so its digest gives nothing away
        return f"{name}.{hashlib.sha256(view).hexdigest()[:16]}"


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ProviderUnavailableError(
            f"{path} could not be read: {error.strerror}.", resolution="Run as root, and look at `dmesg`."
        ) from error
    return True


def _stripped(secret: SecretBytes, path: Path) -> SecretBytes:
    with secret.view() as view:
        start, end = 0, len(view)
        while start < end and view[end - 1] in _WHITE:
            end -= 1
        while start < end and view[start] in _WHITE:
            start += 1
        if start == end:
            raise KeyDeniedError(f"The credential {path} is empty.", resolution="Deliver it anew.")
        with view[start:end] as inner:
            return SecretBytes(inner)
