"""The secret id: read from a sealed credential; a wrapped one is unwrapped once, checked first, and sealed."""

import errno
import hashlib
from pathlib import Path

import pytest
from tests.unit.keys.vault.scripted import DENIED, LOGIN, SERVER, TOKEN, Scripted

from volward import durable
from volward.errors import (
    KeyDeniedError,
    NoSpaceError,
    ProviderUnavailableError,
    VolwardError,
)
from volward.host import creds
from volward.keys.vault import opened, transport
from volward.keys.vault.credential import LoginCredentials
from volward.keys.vault.exchange import Answer, Question
from volward.keys.vault.login import Login
from volward.keys.vault.session import Session
from volward.model import VaultLogin, VaultLoginMethod
from volward.secret import SecretBytes

WRAPPED = VaultLogin(VaultLoginMethod.APPROLE, role="db", role_id="id", credential="volward-vault", wrapped=True)
LOOK, UNWRAP = "POST /v1/sys/wrapping/lookup", "POST /v1/sys/wrapping/unwrap"
MADE_BY = Answer(200, {"data": {"creation_path": "auth/approle/role/db/secret-id"}})
SECRET = Answer(200, {"data": {"secret_id": "s9"}})
USED = Answer(400, {"errors": ["wrapping token is not valid or does not exist"]})
INNER = f"volward-vault.{hashlib.sha256(b'w1').hexdigest()[:16]}"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential store whose sealing is to write name and content side by side."""

    def encrypt(name: str, secret: SecretBytes, *, seal: str, pcrs: tuple[int, ...]) -> bytes:
        with secret.view() as view:
            return f"{name} {seal} ".encode() + bytes(view)

    def decrypt(name: str, path: Path) -> SecretBytes:
        inside, _, content = path.read_bytes().split(b" ", 2)
        assert inside == name.encode()
        return SecretBytes(content)

    monkeypatch.setattr(creds, "encrypt", encrypt)
    monkeypatch.setattr(creds, "decrypt", decrypt)
    monkeypatch.setattr(creds, "has_tpm2", lambda: True)
    (tmp_path / "volward-vault").write_bytes(b"volward-vault host  w1\n")
    return tmp_path


def login(script: Scripted, store: Path) -> None:
    one = Session(SERVER, Login(WRAPPED, LoginCredentials(store)), script)
    one.token(deadline_seconds=5.0)


def test_unwrapped_once_and_sealed_for_the_next_boot(store: Path) -> None:
    script = Scripted().on(LOOK, MADE_BY).on(UNWRAP, SECRET).on(LOGIN, TOKEN)
    login(script, store)
    assert script.log == [LOOK, UNWRAP, LOGIN]
    assert script.asked[0].content == {"token": "w1"}
    assert (script.asked[0].token, script.asked[1].token) == ("", "w1")
    assert script.asked[2].content == {"role_id": "id", "secret_id": "s9"}
    assert (store / INNER).read_bytes() == f"{INNER} host+tpm2 s9".encode()
    login(script, store)
    assert script.log[3:] == [LOGIN]
    assert script.asked[-1].content == {"role_id": "id", "secret_id": "s9"}


def test_a_newly_delivered_one_is_unwrapped_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Scripted().on(LOOK, MADE_BY).on(UNWRAP, SECRET).on(LOGIN, TOKEN)
    login(script, store)
    (store / "volward-vault").write_bytes(b"volward-vault host w2")
    monkeypatch.setattr(creds, "has_tpm2", lambda: False)
    login(script, store)
    assert script.log.count(UNWRAP) == 2


@pytest.mark.parametrize(
    ("look", "unwrap", "told"),
    [
        (USED, SECRET, "used already or has expired"),
        (MADE_BY, USED, "used already"),
        (Answer(200, {"data": {"creation_path": "auth/approle/role/other/secret-id"}}), SECRET, "and not by"),
        (Answer(200, {}), SECRET, "made by None"),
        (MADE_BY, Answer(200, {"data": {"password": "x"}}), "no secret id"),
        (DENIED, SECRET, "denies"),
    ],
)
def test_what_is_never_taken_in_silence(store: Path, look: Answer, unwrap: Answer, told: str) -> None:
    script = Scripted().on(LOOK, look).on(UNWRAP, unwrap).on(LOGIN, TOKEN)
    with pytest.raises(KeyDeniedError, match=told):
        login(script, store)
    assert LOGIN not in script.log
    assert [path.name for path in store.iterdir()] == ["volward-vault"]


@pytest.mark.parametrize(
    "error", [OSError(errno.EROFS, "Read-only file system"), NoSpaceError("Full.", resolution="Free some.")]
)
def test_a_secret_id_that_cannot_be_kept_is_said_to_be_lost(
    store: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(durable, "create", fail)
    script = Scripted().on(LOOK, MADE_BY).on(UNWRAP, SECRET).on(LOGIN, TOKEN)
    with pytest.raises(KeyDeniedError, match="works once, and could not be sealed"):
        login(script, store)


@pytest.mark.parametrize(("content", "told"), [(b" \n", "is empty")])
def test_an_empty_credential(store: Path, content: bytes, told: str) -> None:
    (store / "volward-vault").write_bytes(b"volward-vault host " + content)
    with pytest.raises(KeyDeniedError, match=told):
        LoginCredentials(store).read("volward-vault")


def test_a_credential_that_is_not_there(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyDeniedError, match="systemd-creds encrypt --name=other"):
        LoginCredentials(store).read("other")

    def fail(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "lstat", fail)
    with pytest.raises(ProviderUnavailableError, match="Permission denied"):
        LoginCredentials(store).read("volward-vault")


def test_a_session_is_made_of_the_record_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transport, "SYSTEM_CAS", tmp_path / "none")
    with pytest.raises(VolwardError, match="ca_file"):
        opened.session(SERVER)
    (tmp_path / "none").write_text("")
    one = opened.session(SERVER, given_token=SecretBytes(b"t"))
    assert one.token(deadline_seconds=1.0).ours is False
    one.close()


def test_questions_have_the_line_that_a_policy_needs() -> None:
    assert Question("x", "kv/data/a", "create").policy_line == 'path "kv/data/a" { capabilities = ["create"] }'
