"""How long this host can still log in to a Vault server: asked there, remembered for status, told by the timer."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from volward import audit, logins
from volward.errors import KeyDeniedError, UntrustedServerError, VolwardError
from volward.keys.providers import Providers
from volward.logins import LoginLife
from volward.model import VaultServer
from volward.report import condition

if TYPE_CHECKING:
    from volward.keys.vault.session import Session
    from volward.keys.vault.time_left import TimeLeft


def log_in(server: VaultServer, providers: Providers, *, deadline_seconds: float) -> "Session":
    """Log in and return the session; a login that is denied is remembered as one that has ended.

    Raises as logging in does; ImportError without hvac.
    """
    session = providers.session(server)
    try:
        session.token(deadline_seconds=deadline_seconds)
    except UntrustedServerError:  # nobody was asked
        raise
    except KeyDeniedError:
        now = time.time()
        logins.write(LoginLife(server.address, now, ends_at=now))
        raise
    return session


def ask(server: VaultServer, providers: Providers, *, deadline_seconds: float) -> "TimeLeft":
    """Log in, look, remember, and return what is left. Raises as logging in does; ImportError without hvac."""
    return _look(log_in(server, providers, deadline_seconds=deadline_seconds), server, deadline_seconds)[0]


def warnings(
    server: VaultServer, volumes: Sequence[str], providers: Providers, *, deadline_seconds: float
) -> tuple[str, ...]:
    """Log in although nothing needs it, and return what a person has to see to before the next boot does.

    A denial raises an alert for each of the ``volumes`` whose keys are there. A server that is away says nothing of the
    login; that the policy does not allow to look is for preflight to say.
    """
    try:
        session = log_in(server, providers, deadline_seconds=deadline_seconds)
    except KeyDeniedError as error:
        for name in volumes:
            audit.record("login-denied", name, audit.Outcome.ALERT, f"{name}: {error}")
        return (str(error),)
    except (VolwardError, ImportError):
        return ()
    try:
        _, life = _look(session, server, deadline_seconds)
    except VolwardError:
        return ()
    remark = condition.of_login(life, life.seen_at)
    return () if remark is None else (f"{remark.what} {remark.resolution}",)


def renew(server: VaultServer, providers: Providers, *, deadline_seconds: float) -> "TimeLeft":
    """Renew the token of a login that cannot be repeated; remember and return what is left. Raises as `ask` does.

    Raises KeyDeniedError for a token that Vault does not renew (any more).
    """
    session = providers.session(server)
    from volward.keys.vault import time_left

    left = time_left.renew(session, deadline_seconds=deadline_seconds)
    _remember(server, left, can_be_repeated=session.login.can_be_repeated)
    return left


def _look(session: "Session", server: VaultServer, deadline_seconds: float) -> "tuple[TimeLeft, LoginLife]":
    from volward.keys.vault.time_left import time_left

    left = time_left(session, deadline_seconds=deadline_seconds)
    return left, _remember(server, left, can_be_repeated=session.login.can_be_repeated)


def _remember(server: VaultServer, left: "TimeLeft", *, can_be_repeated: bool) -> LoginLife:
    seconds = left.secret_id_seconds
    if not can_be_repeated and not left.token_renewable:
        seconds = left.token_seconds
    now = time.time()
    life = LoginLife(server.address, now, None if seconds is None else now + seconds, left.secret_id_uses)
    logins.write(life)
    return life
