"""Logging in to Vault, one function a method. Each returns a token; what it was got with is wiped.

https://developer.hashicorp.com/vault/docs/auth
"""

import time
from collections.abc import Callable
from pathlib import Path

from hvac.api.auth_methods import JWT, AppRole

from volward.errors import KeyDeniedError, ProviderUnavailableError
from volward.keys.vault import classify, wrapped
from volward.keys.vault.credential import LoginCredentials
from volward.keys.vault.exchange import Question
from volward.keys.vault.token import Token, given, of_login
from volward.keys.vault.transport import Api, Transport
from volward.model import VaultLogin, VaultLoginMethod
from volward.secret import SecretBytes

_LONGEST_FILE_BYTES = 64 * 1024


class Login:
    """One way to log in, with the credentials that it needs."""

    def __init__(
        self,
        login: VaultLogin,
        credentials: LoginCredentials,
        *,
        given_token: SecretBytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``given_token`` (VAULT_TOKEN of whoever runs the command) stands for every method; its giver wipes it."""
        self.login = login
        self._credentials = credentials
        self._given = given_token
        self._clock = clock

    @property
    def can_be_repeated(self) -> bool:
        """Whether another login can bring another token; the same static one is never tried twice."""
        return self._given is None and self.login.method is not VaultLoginMethod.TOKEN

    def token(self, transport: Transport, *, end: float) -> Token:
        """Log in. Raises KeyDeniedError, ProviderUnavailableError."""
        if self._given is not None:
            with self._given.view() as view:
                return given(SecretBytes(view), "VAULT_TOKEN")
        match self.login.method:
            case VaultLoginMethod.APPROLE:
                return self._by_approle(transport, end)
            case VaultLoginMethod.CERT:
                content = {"name": self.login.role} if self.login.role else {}
                path = f"/v1/auth/{self.login.path}/login"
                return self._ask(transport, lambda adapter: adapter.post(path, json=content), end)
            case VaultLoginMethod.JWT:
                with _content(self.login.file, "jwt") as jwt, jwt.view() as view:
                    text = str(view, "ascii", "replace")
                return self._ask(
                    transport,
                    lambda adapter: JWT(adapter).jwt_login(
                        self.login.role, text, use_token=False, path=self.login.path
                    ),
                    end,
                )
            case VaultLoginMethod.TOKEN:
                return given(self._credentials.read(self.login.credential), f"The credential {self.login.credential}")
            case VaultLoginMethod.TOKEN_FILE:
                return given(_content(self.login.file, "token-file"), str(self.login.file))

    def secret_id(self, transport: Transport, *, end: float) -> SecretBytes:
        """Return the AppRole's secret id, unwrapped if it is wrapped; the caller wipes it."""
        if self.login.wrapped:
            return wrapped.secret_id(self.login, self._credentials, transport, end=end)
        return self._credentials.read(self.login.credential)

    def _by_approle(self, transport: Transport, end: float) -> Token:
        with self.secret_id(transport, end=end) as secret, secret.view() as view:
            text = str(view, "ascii", "replace")
        return self._ask(
            transport,
            lambda adapter: AppRole(adapter).login(
                self.login.role_id, text, use_token=False, mount_point=self.login.path
            ),
            end,
        )

    def _ask(self, transport: Transport, api: Api, end: float) -> Token:
        path = f"auth/{self.login.path}/login"
        question = Question(
            f"the login ({self.login.method} at {path})", path, "update", is_login=True, method=self.login.method
        )
        answer = transport.ask(question, api, None, end=end)
        if not answer.is_good:
            raise classify.refusal(question, answer)
        return of_login(question, answer, self._clock())


def _content(path: Path | None, method: str) -> SecretBytes:
    """Return a small file's content. Raises ProviderUnavailableError: an agent may not have written it yet."""
    try:
        if path is None:
            raise FileNotFoundError(2, "not configured")
        with path.open("rb", buffering=0) as file:
            content = bytearray(file.read(_LONGEST_FILE_BYTES) or b"")
    except OSError as error:
        raise ProviderUnavailableError(
            f"{path}, needed to log in to Vault by {method}, cannot be read: {error.strerror}.",
            resolution="Look whether the service that writes it runs.",
        ) from error
    while content and content[-1] in b"\r\n \t":
        content.pop()
    if not content:
        raise KeyDeniedError(f"{path} is empty.", resolution="Look at the service that writes it.")
    return SecretBytes(content)
