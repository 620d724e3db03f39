"""How long this host can still log in: the life left of its token and of its secret id, as facts.

For `status` and `preflight`: a secret id that expired months ago is noticed at the next reboot otherwise.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from hvac.api.auth_methods import Token as TokenApi

from volward.keys.vault.exchange import Question
from volward.keys.vault.session import Session
from volward.keys.vault.transport import Api
from volward.model import VaultLoginMethod


@dataclass(frozen=True)
class TimeLeft:
    """Seconds; None where there is no end. ``secret_id_uses`` 0: no limit."""

    token_seconds: float | None
    token_renewable: bool
    secret_id_seconds: float | None = None
    secret_id_uses: int = 0
    secret_id_known: bool = False  # False: another method, or the role's name is not configured


def time_left(session: Session, *, deadline_seconds: float) -> TimeLeft:
    """Log in and look. Raises what logging in raises, and KeyDeniedError without the policy for it."""
    question = Question("looking up its own token", "auth/token/lookup-self")
    answer = session.ask(question, lambda adapter: TokenApi(adapter).lookup_self(), deadline_seconds=deadline_seconds)
    ttl = answer.data("ttl")
    token_seconds = float(ttl) if isinstance(ttl, int | float) and ttl else None
    renewable = answer.data("renewable") is True
    login = session.login.login
    if login.method is not VaultLoginMethod.APPROLE or not login.role or not session.login.can_be_repeated:
        return TimeLeft(token_seconds, renewable)
    path = f"auth/{login.path}/role/{login.role}/secret-id/lookup"

    def look_up(secret_id: str) -> Api:
        return lambda adapter: adapter.post(f"/v1/{path}", json={"secret_id": secret_id})

    found = session.secret_id_api(
        look_up, Question("looking up its own secret id", path, "update"), deadline_seconds=deadline_seconds
    )
    uses = found.data("secret_id_num_uses")
    return TimeLeft(
        token_seconds,
        renewable,
        secret_id_seconds=_until(found.data("expiration_time")),
        secret_id_uses=uses if isinstance(uses, int) else 0,
        secret_id_known=True,
    )


def renew(session: Session, *, deadline_seconds: float) -> TimeLeft:
    """Renew the session's token, as a service that keeps one does, and return what is left."""
    question = Question("renewing its own token", "auth/token/renew-self", "update")
    session.ask(question, lambda adapter: TokenApi(adapter).renew_self(), deadline_seconds=deadline_seconds)
    return time_left(session, deadline_seconds=deadline_seconds)


def _until(written: object) -> float | None:
    """Return the seconds until a time that Vault writes (RFC 3339); the year 1 is its way to say never."""
    try:
        end = datetime.fromisoformat(str(written).replace("Z", "+00:00"))
    except ValueError:
        return None
    if end.year <= 1:
        return None
    return max(0.0, (end - datetime.now(UTC)).total_seconds())
