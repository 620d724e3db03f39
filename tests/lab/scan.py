"""Looking for secrets in a running host: in which forms, and where.

The scan itself runs in the guest (guest/scan_secrets.py); here are the forms of a secret that count.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.errors import LabError
from tests.lab.recipe import LAB

if TYPE_CHECKING:
    from tests.lab.host import Host

# Where volward writes, where its children could have been made to write, and where logs go.
# The journal's own files are left out: they are scanned as journalctl shows them.
DIRECTORIES = (
    "/var/lib/volward",
    "/etc/volward",
    "/run/volward",
    "/run/cryptsetup",
    "/run/systemd/system",
    "/etc/systemd/system",
    "/var/log/postgresql",
    "/var/log/redis",
    "/var/log/volward",
    "/var/lib/systemd/coredump",
    "/tmp",
    "/var/tmp",
)
# Shorter than this, a find could be chance.
SHORTEST_SECRET = 8


@dataclass(frozen=True)
class Hit:
    """A place where a secret was found. Its text names the secret by number only."""

    secret: int
    encoding: str
    place: str

    def __str__(self) -> str:
        return f"secret {self.secret} as {self.encoding} in {self.place}"


def scan(host: Host, secrets: Sequence[bytes], *, also: Sequence[str] = ()) -> list[Hit]:
    """Every place in the running host that holds one of these secrets in one of the usual encodings."""
    if not secrets:
        return []
    needles = [
        (number, encoding, base64.b64encode(needle).decode())
        for number, secret in enumerate(secrets)
        for encoding, needle in encodings(secret)
    ]
    request = json.dumps({"needles": needles, "directories": [*DIRECTORIES, *also]})
    script = (LAB / "guest" / "scan_secrets.py").read_text()
    found = host.run("/usr/bin/python3", "-I", "-c", script, input=request)
    return [Hit(*hit) for hit in json.loads(found.stdout)]


def encodings(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """The forms in which a secret would show: itself, hex, and base64 at each of three alignments."""
    if len(secret) < SHORTEST_SECRET:
        raise LabError(f"a secret of less than {SHORTEST_SECRET} bytes is found by chance")
    yield "raw", secret
    yield "hex", secret.hex().encode()
    yield "HEX", secret.hex().upper().encode()
    for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
        for shift in range(3):
            # Within a longer text the secret may start in the middle of a group; characters that
            # mix it with its neighbours are cut off.
            text = encode(bytes(shift) + secret)
            first = (shift * 8 + 5) // 6
            last = (shift + len(secret)) * 8 // 6
            yield f"{name}+{shift}", text[first:last]
