"""Whose key is it? What a new key in Vault says of the host and volume it was made for. No secret, and no proof."""

import hashlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from volward.keys.source import KeyPurpose

_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True)
class Owner:
    """A host. ``machine`` is a digest of machine-id(5), which must not be shown as it is; "" when there is none."""

    host: str
    machine: str

    def facts(self, purpose: KeyPurpose) -> dict[str, str]:
        """Return what is written beside a key; only what is known."""
        known = {
            "host": self.host,
            "machine": self.machine,
            "volume": purpose.volume,
            "luks_uuid": purpose.luks_uuid,
            "device": purpose.device,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "reason": purpose.reason,
        }
        return {name: value[:512] for name, value in known.items() if value}

    def conflict(self, purpose: KeyPurpose, facts: Mapping[str, object]) -> str:
        """Say whose a key is that is not this volume's on this host, "" for one that may be taken.

        What says nothing may be taken: its owner put a key of theirs there.
        """
        if facts.get("volume") not in (None, purpose.volume):
            return f"volume {facts['volume']} of host {facts.get('host', 'unknown')}"
        if facts.get("machine") not in (None, self.machine):
            return f"another machine, host {facts.get('host', 'unknown')}"
        return ""


def this_host() -> Owner:
    """Return the host that this runs on."""
    try:
        identifier = _MACHINE_ID.read_bytes().strip()
    except OSError:
        identifier = b""
    machine = hashlib.sha256(b"volward machine 1\0" + identifier).hexdigest()[:16] if identifier else ""
    return Owner(socket.gethostname(), machine)
