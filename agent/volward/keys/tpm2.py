"""The provider ``tpm2``: keyslots that the TPM opens through systemd-tpm2 tokens, whoever enrolled them.

Uses systemd-cryptenroll(1) and cryptsetup(8) with systemd's token plugin. PCR 7 alone lets any other signed
system on the same machine open the volume too. A failed try can count against the TPM's lockout, so a token
that refuses is never tried twice.
"""

from pathlib import Path

from volward.errors import KeyDeniedError, ProviderUnavailableError
from volward.host import creds, cryptenroll, cryptsetup
from volward.model import ProviderKind, Token
from volward.secret import SecretBytes


class Tpm2Opener:
    """Opens, tests and enrols systemd-tpm2 tokens; new ones are bound to ``pcrs``."""

    provider = ProviderKind.TPM2
    token_type = "systemd-tpm2"  # noqa: S105 (a LUKS2 token, not a password)

    def __init__(self, *, pcrs: tuple[int, ...] = (7,), device: Path = creds.TPM_DEVICE) -> None:
        self._pcrs = pcrs
        self._device = device

    def enrol(self, node: Path, existing: SecretBytes) -> tuple[str, ...]:
        """Enrol the TPM, authorised by ``existing``; return warnings about what it is worth."""
        self._look()
        done = cryptenroll.enrol_tpm2(node, existing=existing, pcrs=self._pcrs)
        names = "+".join(map(str, self._pcrs))
        warnings = []
        if not done.added:
            warnings.append(f"A token bound to the same values of PCR {names} was there already; nothing was added.")
        if not done.policy_enforced:
            warnings.append(
                f"This host's firmware measures nothing into PCR {names}: the TPM opens the volume for any system "
                "that runs on this machine."
            )
        return tuple(warnings)

    def test(self, node: Path, token: Token) -> bool:
        """Return whether the token opens its keyslot; one with a PIN does not (nobody is there to type it)."""
        if _needs_pin(token):
            return False
        self._look()
        return cryptsetup.test_token(node, token.number)

    def open(self, node: Path, name: str, token: Token, *, discard: bool, read_only: bool = False) -> None:
        """Open the volume through the token. Raises KeyDeniedError, ProviderUnavailableError."""
        if _needs_pin(token):
            raise KeyDeniedError(
                f"Token {token.number} of {node} needs a PIN.",
                resolution="volward asks for none: enrol the TPM without one, or open by another key.",
            )
        self._look()
        cryptsetup.open_by_token(node, name, token=token.number, discard=discard, read_only=read_only)

    def _look(self) -> None:
        if not self._device.exists():
            raise ProviderUnavailableError(
                f"There is no TPM: {self._device} does not exist.",
                resolution="Its driver may not be loaded yet. In the firmware set-up, switch the TPM on.",
            )


def _needs_pin(token: Token) -> bool:
    return token.fields.get("tpm2-pin") is True
