"""systemd-creds(1): sealing a key with the host's key, the TPM, or both, and unsealing it again.

The agent unseals by itself, in a short-lived child: a credential that cannot be decrypted by
``LoadCredentialEncrypted=`` ends the unit before any code of volward runs. Measured with systemd 252 and 257.
"""

import ctypes
from pathlib import Path
from typing import Literal, get_args

from volward.errors import (
    KeyDeniedError,
    NoSpaceError,
    ProviderUnavailableError,
    ToolFailedError,
    ToolMissingError,
    ToolTimeoutError,
)
from volward.host import run
from volward.host.run import Word
from volward.secret import SecretBytes

Seal = Literal["host", "host+tpm2", "tpm2"]  # never "null": that is no encryption at all

TPM_DEVICE = Path("/dev/tpmrm0")
_TPM_LIBRARY = "libtss2-esys.so.0"

# Nothing was refused: the TPM is not there (yet), or all its session slots are taken at this moment.
_PASSING = (
    "TPM2 device not found",
    "No TPM2 device",
    "Failed to initialize TCTI context",
    "out of memory for session contexts",
    "out of memory for object contexts",
    "TPM is not able to handle the command now",  # TPM_RC_RETRY and its relatives
    "TPM was not able to start the command",
    "commands not being accepted because of a TPM failure",
)
_NO_LIBRARY = ("TPM2 support not installed", "TPM2 support is not installed", "TPM2 support is not compiled in")


def has_tpm2(*, device: Path = TPM_DEVICE, library: str = _TPM_LIBRARY) -> bool:
    """Return whether this host can seal with its TPM.

    ``systemd-creds has-tpm2`` says "partial" with status 1 where firmware is not EFI, although sealing
    works; so its status does not count. The device, the driver and the library that systemd loads do (systemd 252
    does not report the library).
    """
    if not device.exists():
        return False
    said = run.read(["systemd-creds", "has-tpm2"], ok=range(128)).stdout.split()
    if "-driver" in said or "-libraries" in said:
        return False
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def encrypt(name: str, secret: SecretBytes, *, seal: Seal, pcrs: tuple[int, ...]) -> bytes:
    """Return ``secret`` sealed under ``name``, as the text of a credential file. The TPM part is bound to ``pcrs``.

    Raises ToolMissingError (systemd's TPM libraries), ProviderUnavailableError (no TPM), NoSpaceError (the
    host's key is made at the first use), ToolFailedError.
    """
    if seal not in get_args(Seal):
        raise ValueError(f"{seal} is no way to seal a key")
    bound: tuple[Word, ...] = (f"--tpm2-pcrs={'+'.join(map(str, pcrs))}",) if "tpm2" in seal else ()
    try:
        return run.transform(
            ["systemd-creds", "encrypt", f"--with-key={seal}", *bound, f"--name={name}", "-", "-"], secret
        )
    except ToolTimeoutError as error:
        raise _slow(name) from error
    except ToolFailedError as error:
        if "No space left" in error.stderr:
            raise NoSpaceError(
                "/var/lib/systemd, where the host's credential key is kept, is full.",
                resolution="Free some space and run the same command again.",
            ) from error
        _raise_if_passing(name, error)
        raise


def decrypt(name: str, path: Path) -> SecretBytes:
    """Return the secret in ``path``, which must have been sealed under ``name``.

    Raises ProviderUnavailableError when the TPM is not there (now), ToolMissingError, and KeyDeniedError for
    every real refusal: other PCRs, another TPM or host key, another name, a damaged or missing file.
    """
    try:
        return run.reveal(["systemd-creds", "decrypt", "--newline=no", f"--name={name}", path, "-"])
    except ToolTimeoutError as error:
        raise _slow(name) from error
    except ToolFailedError as error:
        _raise_if_passing(name, error)
        said = " ".join(error.stderr.split())[:300] or f"status {error.status}, no message"
        raise KeyDeniedError(
            f"The credential {name} cannot be decrypted on this host: {said.rstrip('.')}.", resolution=_advice(said)
        ) from error


_SEAL_ANEW = (
    "Open the volume by another key (`volward open --recovery VOLUME`), then `volward rotate --recovery --provider "
    "credential VOLUME` seals a new one."
)


def _advice(said: str) -> str:
    if "lockout" in said.lower():
        return "The TPM is locked: do not try again. `tpm2_getcap properties-variable` shows for how long."
    if "policy" in said or "tpm:" in said:
        return f"The PCRs have changed, or the TPM was cleared or replaced. {_SEAL_ANEW}"
    if "name" in said:
        return "The file was renamed or copied from another volume's. Restore it from a backup."
    if "credential key" in said or "host secret" in said:
        return f"/var/lib/systemd/credential.secret is gone: restore it. If it is lost: {_SEAL_ANEW}"
    return _SEAL_ANEW


def _raise_if_passing(name: str, error: ToolFailedError) -> None:
    if any(text in error.stderr for text in _NO_LIBRARY):
        raise ToolMissingError(
            "systemd finds no TPM2 libraries.",
            resolution="Install them: apt install libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-rc0 libtss2-tcti-device0 "
            "(Debian 13: systemd-cryptsetup and tpm-udev bring them).",
        ) from error
    if any(text in error.stderr for text in _PASSING):
        raise ProviderUnavailableError(
            f"The TPM is not usable for the credential {name} now: {' '.join(error.stderr.split())[:300]}",
            resolution="Look whether /dev/tpmrm0 is there and at `dmesg`.",
        ) from error


def _slow(name: str) -> ProviderUnavailableError:
    return ProviderUnavailableError(
        f"systemd-creds did not answer in time for the credential {name}.",
        resolution="A TPM may be hanging: look at `dmesg`.",
    )
