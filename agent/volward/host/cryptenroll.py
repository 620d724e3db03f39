"""systemd-cryptenroll(1), 252 or newer: enrols the TPM in a LUKS2 header, as a token that systemd opens too."""

from dataclasses import dataclass
from pathlib import Path

from volward.errors import (
    DamagedHeaderError,
    KeyRejectedError,
    ProviderUnavailableError,
    ToolFailedError,
    ToolMissingError,
    ToolTimeoutError,
)
from volward.host import run
from volward.host.run import KeyFile
from volward.secret import SecretBytes

# The keyslot that it writes for a TPM, in the lowest free number: kdf, iterations, memory, lanes, hash of the kdf.
KEYSLOT_COST = ("pbkdf2", 1000, 0, 0, "sha512")


@dataclass(frozen=True)
class Tpm2Enrolment:
    """What systemd-cryptenroll said.

    ``added`` False: a token with the same policy was there already and nothing was written. That is not a
    proof that it opens (after a TPM was cleared it does not): test the token. ``policy_enforced`` False:
    firmware measured nothing into these PCRs, so that they protect nothing.
    """

    added: bool
    policy_enforced: bool


def enrol_tpm2(node: Path, *, existing: SecretBytes, pcrs: tuple[int, ...]) -> Tpm2Enrolment:
    """Add a keyslot and a systemd-tpm2 token bound to ``pcrs``, authorised by ``existing``.

    The key file must be seekable: with a pipe systemd-cryptenroll ends with "Illegal seek". Raises
    KeyRejectedError, ProviderUnavailableError (no TPM), ToolMissingError, DamagedHeaderError (no LUKS2
    header), ToolFailedError.
    """
    try:
        done = run.mutate(
            [
                "systemd-cryptenroll",
                "--tpm2-device=auto",
                f"--tpm2-pcrs={'+'.join(map(str, pcrs))}",
                KeyFile(existing, prefix="--unlock-key-file=", seekable=True),
                node,
            ]
        )
    except ToolTimeoutError:
        raise
    except ToolFailedError as error:
        raise _classified(node, error) from error
    return Tpm2Enrolment(
        added="already enrolled" not in done.stderr,
        policy_enforced="effectively not enforced" not in done.stderr and "effectively unenforced" not in done.stderr,
    )


def _classified(node: Path, error: ToolFailedError) -> Exception:
    said = " ".join(error.stderr.split())[:300]
    if "TPM2 support" in said or "unrecognized option" in said:
        return ToolMissingError(
            f"systemd-cryptenroll cannot use the TPM here: {said}",
            resolution="systemd 252 or newer and its TPM libraries are needed. Debian 13: apt install "
            "systemd-cryptsetup; Debian 12: libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-rc0 libtss2-tcti-device0.",
        )
    if "TPM2 device" in said or "TCTI" in said or "tpm:warn" in said:
        return ProviderUnavailableError(
            f"The TPM is not usable now: {said}",
            resolution="Look whether /dev/tpmrm0 is there and at `dmesg`. The volume's other keys are untouched.",
        )
    if "nlocking via keyfile failed" in said or "No key available" in said or "Failed to unlock" in said:
        return KeyRejectedError(
            f"The key that should authorise the TPM opens no keyslot of {node}: {said}",
            resolution="Nothing was enrolled. `volward status` shows the keyslots, `volward preflight` tries each key.",
        )
    if "Failed to load LUKS2 superblock" in said:
        return DamagedHeaderError(
            f"{node} has no readable LUKS2 header: {said}",
            resolution="Look at `volward status`. Do not format.",
        )
    return error
