"""The host's TPM 2.0 (swtpm outside, /dev/tpmrm0 inside), driven with tpm2-tools."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.host import Host

_TCTI = "TPM2TOOLS_TCTI=device:/dev/tpmrm0"


class Tpm:
    """Made by `Host`. PCRs start at zero at each boot; a restored host continues with the snapshot's."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def read(self, pcr: int) -> str:
        """The SHA-256 value of a PCR, in lower-case hex."""
        # The tool prints lines such as "  7 : 0xABC…" under a heading for the bank.
        text = self._tool("tpm2_pcrread", f"sha256:{pcr}")
        return text.rsplit("0x", 1)[-1].strip().lower()

    def extend(self, pcr: int, what: bytes = b"something else was started") -> None:
        """Extend a PCR, as firmware does when it starts something else than it did before."""
        digest = hashlib.sha256(what).hexdigest()
        self._tool("tpm2_pcrextend", f"{pcr}:sha256={digest}")

    def replace(self) -> None:
        """Let the machine have another TPM: the storage seed changes, and nothing sealed before opens again."""
        self._tool("tpm2_clear", "-c", "p")

    def _tool(self, *argv: str) -> str:
        return self._host.run("env", _TCTI, *argv).stdout
