"""A session with one Vault server: one login for all volumes of a pass, however many threads ask at once.

A 403 is looked into: if the token has died, volward logs in once more and asks once more; if it lives, a policy is
missing and nothing is repeated. A login that was denied is not tried again in the same session: Vault may count
it. The token is revoked at the end if a login of ours made it.
"""

import contextlib
import threading
import time
from collections.abc import Callable

from hvac.api.auth_methods import Token as TokenApi

from volward.errors import KeyDeniedError, ProviderUnavailableError, VolwardError
from volward.keys.vault import classify
from volward.keys.vault.exchange import Answer, Question
from volward.keys.vault.login import Login
from volward.keys.vault.token import Token
from volward.keys.vault.transport import Api, Transport
from volward.model import VaultServer

LEAST_SECONDS = 2.0  # whatever the deadline, one try is made
_REVOKING_SECONDS = 3.0
_FORBIDDEN = 403


class Session:
    """Asks a server, logged in. A context manager."""

    def __init__(
        self,
        server: VaultServer,
        login: Login,
        transport: Transport,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self.login = login
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._dead: list[Token] = []  # perhaps still being sent by another thread
        self._failures = 0  # of logins, so far
        self._failed: VolwardError | None = None  # why the last one failed

    def ask(self, question: Question, api: Api, *, deadline_seconds: float) -> Answer:
        """Return a good answer, or one whose status the question understands.

        Raises ProviderUnavailableError and KeyDeniedError, and whatever logging in raises. A write that was
        not answered may have been done all the same: its asker reads back.
        """
        end = self._clock() + max(deadline_seconds, LEAST_SECONDS)
        token = self._logged_in(end)
        answer = self._transport.ask(question, api, token.secret, end=end)
        if answer.status == _FORBIDDEN and self.login.can_be_repeated and not self._lives(token, end):
            token = self._logged_in(end, instead_of=token)
            answer = self._transport.ask(question, api, token.secret, end=end)  # it was refused, so not done
        if answer.is_good or answer.status in question.understood:
            return answer
        raise classify.refusal(question, answer)

    def token(self, *, deadline_seconds: float) -> Token:
        """Return the token, logging in if needed; it stays the session's."""
        return self._logged_in(self._clock() + max(deadline_seconds, LEAST_SECONDS))

    def ask_without_token(self, question: Question, api: Api, *, deadline_seconds: float) -> Answer:
        """Ask what needs no login, such as how the server is."""
        end = self._clock() + max(deadline_seconds, LEAST_SECONDS)
        return self._transport.ask(question, api, None, end=end)

    def secret_id_api(self, use: Callable[[str], Api], question: Question, *, deadline_seconds: float) -> Answer:
        """Ask something that names the AppRole's own secret id."""
        end = self._clock() + max(deadline_seconds, LEAST_SECONDS)
        with self.login.secret_id(self._transport, end=end) as secret, secret.view() as view:
            api = use(str(view, "ascii", "replace"))
        return self.ask(question, api, deadline_seconds=end - self._clock())

    def close(self) -> None:
        """Revoke the session's own token, best effort, and close the connections. Raises nothing."""
        token, self._token = self._token, None
        if token is not None:
            if token.ours:
                question = Question("revoking its own token", "auth/token/revoke-self", "update")
                with contextlib.suppress(VolwardError):
                    end = self._clock() + _REVOKING_SECONDS
                    self._transport.ask(
                        question, lambda adapter: TokenApi(adapter).revoke_self(), token.secret, end=end
                    )
            token.secret.wipe()
        while self._dead:
            self._dead.pop().secret.wipe()
        self._transport.close()

    def _lives(self, token: Token, end: float) -> bool:
        question = Question("looking up its own token", "auth/token/lookup-self", understood=(_FORBIDDEN,))
        answer = self._transport.ask(question, lambda adapter: TokenApi(adapter).lookup_self(), token.secret, end=end)
        return answer.status != _FORBIDDEN

    def _logged_in(self, end: float, *, instead_of: Token | None = None) -> Token:
        """Return the token; of many threads that need one at the same time, one logs in."""
        seen = self._failures
        if not self._lock.acquire(timeout=max(0.0, end - self._clock())):
            raise ProviderUnavailableError(
                f"The login to Vault at {self.server.address} takes too long.",
                resolution="It is tried again until the deadline.",
            )
        try:
            if self._token is not None and self._token is not instead_of:
                return self._token
            if self._failed is not None and (isinstance(self._failed, KeyDeniedError) or self._failures > seen):
                raise self._failed  # of the thread that was waited for, or a no, which stays one
            try:
                fresh = self.login.token(self._transport, end=end)
            except VolwardError as error:
                self._failed = error
                self._failures += 1
                raise
            self._failed = None
            if instead_of is not None:
                self._dead.append(instead_of)
            self._token = fresh
            return fresh
        finally:
            self._lock.release()
