"""One login for a pass; one more when the token has died; and none after a denial."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.keys.vault.scripted import (
    APPROLE,
    DENIED,
    LOGIN,
    LOOKUP,
    REVOKE,
    TOKEN,
    Credentials,
    Scripted,
    logged_in,
    session,
)

from volward.errors import KeyDeniedError, ProviderUnavailableError
from volward.keys.vault.exchange import Answer, Question
from volward.keys.vault.login import Login
from volward.keys.vault.session import Session
from volward.keys.vault.time_left import renew, time_left
from volward.keys.vault.transport import Api
from volward.model import VaultLogin, VaultLoginMethod
from volward.secret import SecretBytes

QUESTION = Question("reading x", "kv/data/x")
READ = "GET /v1/x"
GOOD = Answer(200, {"data": {"x": 1}})
SECOND = Answer(200, {"auth": {"client_token": "t2", "lease_duration": 0}})
AWAY = ProviderUnavailableError("Away.", resolution="Wait.")


def x(one: Session, *, deadline_seconds: float = 5.0) -> Answer:
    return one.ask(QUESTION, api, deadline_seconds=deadline_seconds)


def api(adapter: object) -> object:
    return adapter.get("/v1/x")  # type: ignore[attr-defined]


@pytest.mark.parametrize("token", ["\ufefft1", "t 1", "t1\x7f", '"t1"\n2'])
def test_what_can_be_no_token_is_a_no_and_not_a_bug(tmp_path: Path, token: str) -> None:
    """It would end in a header of the request; the chain goes on with the next provider."""
    with pytest.raises(KeyDeniedError, match="VAULT_TOKEN holds no token"):
        x(session(Scripted(), given=token))
    sink = tmp_path / "sink"
    sink.write_text(token)
    login = VaultLogin(VaultLoginMethod.TOKEN_FILE, file=sink)
    with pytest.raises(KeyDeniedError, match="sink holds no token"):
        x(session(Scripted(), login))


@pytest.mark.parametrize("token", ["t\u00e9", "a\nb", ""])
def test_a_login_that_answers_with_no_token(token: str) -> None:
    script = Scripted().on(LOGIN, Answer(200, {"auth": {"client_token": token}}))
    with pytest.raises(KeyDeniedError, match="the answer to the login has no token"):
        x(session(script))


@pytest.mark.parametrize(
    ("method", "advice"),
    [(VaultLoginMethod.CERT, "Look at `certificate`"), (VaultLoginMethod.JWT, "audience and expiry")],
)
def test_a_refused_login_is_told_by_its_method(tmp_path: Path, method: VaultLoginMethod, advice: str) -> None:
    jwt = tmp_path / "jwt"
    jwt.write_text("a.b.c")
    login = VaultLogin(method, role="r", file=jwt)
    script = Scripted().on(f"POST /v1/auth/{method}/login", Answer(400, {"errors": ["invalid"]}))
    with pytest.raises(KeyDeniedError) as raised:
        x(session(script, login))
    assert advice in raised.value.resolution
    assert "secret id" not in raised.value.resolution


def test_one_login_serves_all_and_its_token_is_revoked() -> None:
    script = Scripted().on(LOGIN, TOKEN).on(READ, GOOD).on(REVOKE, Answer(204))
    one = session(script)
    threads = [threading.Thread(target=x, args=(one,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert script.log.count(LOGIN) == 1
    assert script.asked[0].content == {"role_id": "id", "secret_id": "s1"}
    assert {asked.token for asked in script.asked[1:]} == {"t1"}
    left = one.token(deadline_seconds=1.0).left_seconds()
    assert left is not None and 0 < left <= 600
    one.close()
    assert script.log[-1] == REVOKE
    assert script.closed
    one.close()
    assert script.log.count(REVOKE) == 1


def test_a_token_that_was_given_is_not_revoked() -> None:
    script = Scripted().on(READ, GOOD)
    one = logged_in(script)
    assert x(one) is GOOD
    assert one.token(deadline_seconds=1.0).left_seconds() is None
    one.close()
    assert script.log == [READ]


def test_revoking_is_best_effort() -> None:
    script = Scripted().on(LOGIN, TOKEN).on(READ, GOOD).on(REVOKE, AWAY)
    one = session(script)
    x(one)
    one.close()


def test_a_token_that_died_is_replaced_once() -> None:
    script = Scripted().on(LOGIN, TOKEN, SECOND).on(READ, DENIED, GOOD).on(LOOKUP, DENIED).on(REVOKE, Answer(204))
    one = session(script)
    assert x(one) is GOOD
    assert script.log == [LOGIN, READ, LOOKUP, LOGIN, READ]
    assert script.asked[-1].token == "t2"
    one.close()


def test_the_second_no_is_the_last() -> None:
    script = Scripted().on(LOGIN, TOKEN, SECOND).on(READ, DENIED).on(LOOKUP, DENIED)
    with pytest.raises(KeyDeniedError, match="policy has to say"):
        x(session(script))
    assert script.log == [LOGIN, READ, LOOKUP, LOGIN, READ]


def test_a_missing_policy_is_no_reason_to_log_in_again() -> None:
    script = Scripted().on(LOGIN, TOKEN).on(READ, DENIED).on(LOOKUP, GOOD)
    with pytest.raises(KeyDeniedError):
        x(session(script))
    assert script.log == [LOGIN, READ, LOOKUP]


def test_a_static_token_is_never_tried_again() -> None:
    script = Scripted().on(READ, DENIED)
    with pytest.raises(KeyDeniedError):
        x(logged_in(script))
    with pytest.raises(KeyDeniedError):
        x(session(script, VaultLogin(VaultLoginMethod.TOKEN, credential="volward-vault")))
    assert script.log == [READ, READ]
    assert script.asked[-1].token == "s1"


def test_a_denied_login_is_not_tried_again_in_the_pass() -> None:
    script = Scripted().on(LOGIN, Answer(400, {"errors": ["invalid role or secret ID"]}))
    one = session(script)
    for _ in range(3):
        with pytest.raises(KeyDeniedError, match="invalid role"):
            x(one)
    assert script.log == [LOGIN]


def test_an_unreachable_login_is() -> None:
    script = Scripted().on(LOGIN, AWAY, TOKEN).on(READ, GOOD)
    one = session(script)
    with pytest.raises(ProviderUnavailableError):
        x(one)
    assert x(one) is GOOD


class Waiting(Scripted):
    """Logs in only when it is let, and fails then."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go = threading.Event(), threading.Event()

    def ask(self, question: Question, api: Api, token: SecretBytes | None, *, end: float) -> Answer:
        self.asked.append(None)  # type: ignore[arg-type]
        self.began.set()
        self.go.wait(20)
        raise AWAY


def test_who_waited_for_a_login_that_failed_has_its_failure() -> None:
    """Eight volumes and a server that is down: one time-out, and not eight one after another."""
    script = Waiting()
    one = session(script)
    failures: list[Exception] = []

    def run() -> None:
        try:
            x(one, deadline_seconds=20)
        except ProviderUnavailableError as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    threads[0].start()
    assert script.began.wait(20)
    for thread in threads[1:]:
        thread.start()
    while sum(thread.is_alive() for thread in threads) < 4:
        pass
    threading.Event().wait(0.2)  # until they wait
    script.go.set()
    for thread in threads:
        thread.join()
    assert failures == [AWAY] * 4
    assert len(script.asked) == 1


def test_a_login_that_takes_too_long_is_not_waited_for() -> None:
    script = Waiting()
    clock = iter([0.0] * 3 + [100.0] * 20)
    one = Session(
        session(script).server, Login(APPROLE, Credentials(volward_vault="s")), script, clock=lambda: next(clock)
    )
    with one._lock, pytest.raises(ProviderUnavailableError, match="too long"):
        clock = iter([0.0, 100.0])
        x(one)


@pytest.mark.parametrize("body", [{}, {"auth": None}, {"auth": {"client_token": ""}}, {"auth": {"client_token": 1}}])
def test_a_login_without_a_token_is_no_login(body: dict[str, object]) -> None:
    with pytest.raises(KeyDeniedError, match="no token"):
        x(session(Scripted().on(LOGIN, Answer(200, body))))


def test_by_certificate() -> None:
    path = "POST /v1/auth/tls/login"
    for role, content in (("web", {"name": "web"}), ("", {})):
        script = Scripted().on(path, TOKEN).on(READ, GOOD)
        x(session(script, VaultLogin(VaultLoginMethod.CERT, mount="tls", role=role)))
        assert script.asked[0].content == content


def test_by_jwt_and_by_token_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("abc\n")
    script = Scripted().on("POST /v1/auth/jwt/login", TOKEN).on(READ, GOOD)
    x(session(script, VaultLogin(VaultLoginMethod.JWT, role="r", file=file)))
    assert script.asked[0].content == {"role": "r", "jwt": "abc"}
    script = Scripted().on(READ, GOOD)
    x(session(script, VaultLogin(VaultLoginMethod.TOKEN_FILE, file=file)))
    assert script.asked[0].token == "abc"


def test_a_token_file_is_read_anew_when_its_token_died(tmp_path: Path) -> None:
    """The agent that writes it has renewed it meanwhile."""
    file = tmp_path / "token"
    file.write_text("old")

    def renewed(content: object) -> Answer:
        file.write_text("new")
        return DENIED

    script = Scripted().on(READ, renewed, GOOD).on(LOOKUP, DENIED)
    assert x(session(script, VaultLogin(VaultLoginMethod.TOKEN_FILE, file=file))) is GOOD
    assert [asked.token for asked in script.asked] == ["old", "old", "new"]


def test_files_that_are_not_there_may_come_and_empty_ones_do_not_help(tmp_path: Path) -> None:
    login = VaultLogin(VaultLoginMethod.TOKEN_FILE, file=tmp_path / "token")
    with pytest.raises(ProviderUnavailableError, match="token"):
        x(session(Scripted(), login))
    with pytest.raises(ProviderUnavailableError):
        x(session(Scripted(), replace(login, file=None)))
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(KeyDeniedError, match="empty"):
        x(session(Scripted(), login))


SECRET_ID = "POST /v1/auth/approle/role/volward/secret-id/lookup"


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"expiration_time": "0001-01-01T00:00:00Z", "secret_id_num_uses": 0}, None),
        ({"expiration_time": "2020-01-01T00:00:00.5Z", "secret_id_num_uses": 3}, 0.0),
        ({"expiration_time": "soon", "secret_id_num_uses": "x"}, None),
    ],
)
def test_the_time_left(answer: dict[str, object], seconds: float | None) -> None:
    script = Scripted().on(LOGIN, TOKEN).on(LOOKUP, Answer(200, {"data": {"ttl": 599, "renewable": True}}))
    script.on(SECRET_ID, Answer(200, {"data": answer})).on("POST /v1/auth/token/renew-self", TOKEN)
    found = renew(session(script), deadline_seconds=5.0)
    assert (found.token_seconds, found.token_renewable, found.secret_id_known) == (599.0, True, True)
    assert found.secret_id_seconds == seconds
    assert script.asked[-1].content == {"secret_id": "s1"}


def test_the_time_left_of_a_token_alone() -> None:
    script = Scripted().on(LOOKUP, Answer(200, {"data": {"ttl": 0}}))
    found = time_left(logged_in(script), deadline_seconds=5.0)
    assert (found.token_seconds, found.token_renewable, found.secret_id_known) == (None, False, False)


def test_what_needs_no_login() -> None:
    script = Scripted().on(READ, GOOD)
    assert session(script).ask_without_token(QUESTION, api, deadline_seconds=1.0) is GOOD
    assert script.log == [READ]
