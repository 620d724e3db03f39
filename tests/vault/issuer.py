"""An issuer of JSON Web Tokens (RFC 7519), signed with ES256 (RFC 7518, 3.4)."""

from __future__ import annotations

import base64
import json
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

COORDINATE_BYTES = 32


class Issuer:
    """Signs tokens that say who (`sub`) may do something at `audience`."""

    def __init__(self, name: str = "volward-tests", audience: str = "vault") -> None:
        self.name = name
        self.audience = audience
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> str:
        """PEM, as Vault wants it among jwt_validation_pubkeys."""
        encoded = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return encoded.decode()

    def token(self, subject: str, *, life_seconds: int = 300, **claims: object) -> str:
        """A token for `subject`; with a negative life it is over already."""
        now = int(time.time())
        life = {"iat": now + min(life_seconds, 0) - 60, "exp": now + life_seconds}
        payload = {"iss": self.name, "aud": self.audience, "sub": subject, **life, **claims}
        text = f"{_encode(json.dumps({'alg': 'ES256', 'typ': 'JWT'}))}.{_encode(json.dumps(payload))}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(COORDINATE_BYTES, "big") + s.to_bytes(COORDINATE_BYTES, "big")
        return f"{text}.{_encode(signature)}"


def _encode(data: str | bytes) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
