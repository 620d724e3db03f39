"""What cryptsetup's exit statuses mean, as errors (cryptsetup(8), "RETURN CODES"). Calls no host commands.

1 wrong parameters (ambiguous), 2 no key fits (or a damaged keyslot), 3 out of memory, 4 wrong device, 5 exists
or busy. Status 1 stays a ToolFailedError unless the message says more; messages are English, since the
environment of every child says LC_ALL=C.UTF-8.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volward.errors import (
    BusyError,
    DeviceNotFoundError,
    KeyDeniedError,
    KeyRejectedError,
    NoDeviceMapperError,
    ProviderUnavailableError,
    ToolFailedError,
    ToolTimeoutError,
)


@contextmanager
def token_answers(node: Path, token: int) -> Iterator[None]:
    """Tell a token that lacks its device (EAGAIN: "requires additional missing resource") from one that refuses."""
    try:
        yield
    except ToolTimeoutError:
        raise
    except ToolFailedError as error:
        if "missing resource" in error.stderr or "TPM2 device not found" in error.stderr:
            raise ProviderUnavailableError(
                f"Token {token} of {node} needs a device that is not there: {_said(error)}",
                resolution="Look whether the TPM is there (/dev/tpmrm0) and libtss2 is installed.",
            ) from error
        if error.status in (1, 2) and not _no_device_mapper(error):
            raise KeyDeniedError(
                f"Token {token} of {node} does not open its keyslot: {_said(error)}",
                resolution="Its PCRs may have changed, or the TPM was cleared or replaced, or systemd's token "
                "plugin is not installed. Open the volume by another key, then `volward rotate --recovery --provider "
                "tpm2 VOLUME` enrols the TPM anew.",
            ) from error
        raise


@contextmanager
def classified(node: Path) -> Iterator[None]:
    """Turn cryptsetup's statuses into the errors that they mean for every subcommand."""
    try:
        yield
    except ToolTimeoutError:
        raise
    except ToolFailedError as error:
        if _no_device_mapper(error):
            raise NoDeviceMapperError(
                "The kernel has no device mapper, or no dm-crypt.",
                resolution="Run `modprobe dm_crypt`; in a container this cannot work: try `make demo`.",
            ) from error
        if error.status == 2:
            raise KeyRejectedError(
                f"The key opens no keyslot of {node}: {_said(error)}",
                resolution="A damaged keyslot looks the same. Try the recovery key: `volward recovery test VOLUME`.",
            ) from error
        if error.status == 3:
            raise ToolFailedError(
                f"cryptsetup ran out of memory on {node}: {_said(error)}",
                resolution="A keyslot with Argon2id needs the memory that `volward status` shows for it.",
                status=3,
                stderr=error.stderr,
            ) from error
        if error.status == 4:
            raise DeviceNotFoundError(
                f"{node} is not there or cannot be used: {_said(error)}",
                resolution="Look at `lsblk` and at `dmesg`.",
            ) from error
        if error.status == 5:
            raise BusyError(
                f"{node} is in use, or its name is taken: {_said(error)}",
                resolution="`volward status` shows the mapping and `volward close` names who holds it.",
            ) from error
        raise


def _no_device_mapper(error: ToolFailedError) -> bool:
    return "Cannot initialize device-mapper" in error.stderr or "dm_crypt kernel module" in error.stderr


def _said(error: ToolFailedError) -> str:
    return " ".join(error.stderr.split())[:300] or f"status {error.status}, no message."
