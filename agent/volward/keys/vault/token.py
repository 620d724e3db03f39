"""The token of a login: its secret, how long it lives, and whether it is ours to revoke."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from volward.errors import KeyDeniedError
from volward.keys.vault import classify
from volward.keys.vault.exchange import Answer, Question
from volward.secret import SecretBytes


@dataclass(frozen=True, eq=False)
class Token:
    """``lease_seconds`` 0: without an end, or not known. ``since`` is on the monotonic clock."""

    secret: SecretBytes
    lease_seconds: int = 0
    renewable: bool = False
    ours: bool = True  # made by a login of this session; one that was given to us is not revoked
    since: float = 0.0

    def left_seconds(self, clock: Callable[[], float] = time.monotonic) -> float | None:
        """Return the time left, None when it has no end or is not known."""
        return max(0.0, self.since + self.lease_seconds - clock()) if self.lease_seconds else None


def given(secret: SecretBytes, where: str) -> Token:
    """Return a token that was handed to us. Raises KeyDeniedError for what can be no token: it would end in a header.

    ``where`` begins the sentence: what holds it.
    """
    with secret.view() as view:
        is_text = all(0x20 < byte < 0x7F for byte in view)
    if not is_text:
        secret.wipe()
        raise KeyDeniedError(
            f"{where} holds no token: it has other characters than a token can have.",
            resolution="Write the token there, as plain text without anything else (a byte order mark, quotes).",
        )
    return Token(secret, ours=False)


def of_login(question: Question, answer: Answer, since: float) -> Token:
    """Return the token in the answer to a login. Raises KeyDeniedError for an answer without one."""
    auth = answer.body.get("auth")
    text = auth.get("client_token") if isinstance(auth, dict) else None
    if (
        not isinstance(auth, dict)
        or not isinstance(text, str)
        or not text.isascii()
        or not text.isprintable()
        or not text
    ):
        raise classify.nonsense(question, "the answer to the login has no token")
    lease = auth.get("lease_duration")
    return Token(
        SecretBytes(text.encode()),
        lease_seconds=lease if isinstance(lease, int) else 0,
        renewable=auth.get("renewable") is True,
        since=since,
    )
