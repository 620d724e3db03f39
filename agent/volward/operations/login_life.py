"""How long this host can still log in to a Vault server: asked there, and remembered for status."""

import time
from typing import TYPE_CHECKING

from volward import logins
from volward.keys.providers import Providers
from volward.logins import LoginLife
from volward.model import VaultServer

if TYPE_CHECKING:
    from volward.keys.vault.time_left import TimeLeft


def ask(server: VaultServer, providers: Providers, *, deadline_seconds: float) -> "TimeLeft":
    """Log in, look, remember, and return what is left. Raises as logging in does; ImportError without hvac."""
    session = providers.session(server)
    from volward.keys.vault.time_left import time_left

    left = time_left(session, deadline_seconds=deadline_seconds)
    _remember(server, left, can_be_repeated=session.login.can_be_repeated)
    return left


def renew(server: VaultServer, providers: Providers, *, deadline_seconds: float) -> "TimeLeft":
    """Renew the token of a login that cannot be repeated; remember and return what is left. Raises as `ask` does.

    Raises KeyDeniedError for a token that Vault does not renew (any more).
    """
    session = providers.session(server)
    from volward.keys.vault import time_left

    left = time_left.renew(session, deadline_seconds=deadline_seconds)
    _remember(server, left, can_be_repeated=session.login.can_be_repeated)
    return left


def _remember(server: VaultServer, left: "TimeLeft", *, can_be_repeated: bool) -> None:
    seconds = left.secret_id_seconds
    if not can_be_repeated and not left.token_renewable:
        seconds = left.token_seconds
    now = time.time()
    ends_at = None if seconds is None else now + seconds
    logins.write(LoginLife(server.address, now, ends_at, left.secret_id_uses))
