"""A transport that answers from a script and writes down what it was asked; the real server is in tests/vault."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import requests

from volward.keys.vault.credential import LoginCredentials
from volward.keys.vault.exchange import Answer, Question
from volward.keys.vault.login import Login
from volward.keys.vault.session import Session
from volward.keys.vault.transport import Api, VaultAdapter
from volward.model import VaultLogin, VaultLoginMethod, VaultServer
from volward.secret import SecretBytes

Reply = Answer | Exception | Callable[[Any], Answer]

APPROLE = VaultLogin(VaultLoginMethod.APPROLE, role="volward", role_id="id", credential="volward-vault")
SERVER = VaultServer("https://vault.example.com:8200", APPROLE)
LOGIN = "POST /v1/auth/approle/login"
LOOKUP = "GET /v1/auth/token/lookup-self"
REVOKE = "POST /v1/auth/token/revoke-self"
TOKEN = Answer(200, {"auth": {"client_token": "t1", "lease_duration": 600, "renewable": True}})
DENIED = Answer(403, {"errors": ["permission denied"]})
NOTHING = Answer(404, {"errors": []})


@dataclass
class Asked:
    """One request as it would have been sent."""

    what: str
    params: Any
    content: Any
    token: str
    question: Question


@dataclass
class Scripted:
    """``replies`` by "METHOD path": of several the first is used up, the last stays."""

    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    closed: bool = False

    def on(self, what: str, *replies: Reply) -> "Scripted":
        self.replies[what] = list(replies)
        return self

    def ask(self, question: Question, api: Api, token: SecretBytes | None, *, end: float) -> Answer:
        text = ""
        if token is not None:
            with token.view() as view:
                text = str(view, "ascii")

        def send(method: str, url: str, params: Any, content: Any) -> Answer:
            self.asked.append(Asked(f"{method.upper()} {url}", params, content, text, question))
            return self._reply(f"{method.upper()} {url}", content)

        answer: Answer = api(VaultAdapter(requests.Session(), send))
        return answer

    def _reply(self, what: str, content: Any) -> Answer:
        replies = self.replies[what]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Answer) else reply(content)

    def close(self) -> None:
        self.closed = True

    @property
    def log(self) -> list[str]:
        return [one.what for one in self.asked]


class Credentials(LoginCredentials):
    """Credentials in memory."""

    def __init__(self, **held: str) -> None:
        super().__init__()
        self.held = {name.replace("_", "-"): text for name, text in held.items()}
        self.read_names: list[str] = []

    def read(self, name: str) -> SecretBytes:
        self.read_names.append(name)
        return SecretBytes(self.held[name].encode())


def session(transport: Scripted, login: VaultLogin = APPROLE, *, given: str = "") -> Session:
    """A session over the script, with the secret id s1."""
    way = Login(
        login,
        Credentials(volward_vault="s1"),
        given_token=SecretBytes(given.encode()) if given else None,
    )
    return Session(replace(SERVER, login=login), way, transport)


def logged_in(transport: Scripted) -> Session:
    """A session with a token that was given to it, so that the script has only what matters."""
    return session(transport, given="t0")
