"""The table of failures: which may pass, and which are a no that is never tried again."""

import ssl

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from volward.errors import KeyDeniedError, ProviderUnavailableError, UntrustedServerError
from volward.keys.vault import classify
from volward.keys.vault.exchange import Answer, Question

READ = Question("reading the key kv/a", "kv/data/a")
WRITE = Question("storing the key kv/a", "kv/data/a", "create")
LOGIN = Question("the login", "auth/approle/login", "update", is_login=True)
LATER, NO = ProviderUnavailableError, KeyDeniedError


@pytest.mark.parametrize(
    ("status", "says", "question", "kind", "told"),
    [
        (503, "Vault is sealed", READ, LATER, "operator unseal"),
        (503, "", READ, LATER, "status 503"),
        (501, "", READ, LATER, "not initialised"),
        (500, "local node not active but active cluster node not found", READ, LATER, "another leader"),
        (500, "internal error", WRITE, LATER, "status 500"),
        (502, "", LOGIN, LATER, "status 502"),
        (412, "", READ, LATER, "caught up"),
        (429, "rate limit quota exceeded", READ, LATER, "rate"),
        (472, "", READ, LATER, "standby"),
        (473, "", READ, LATER, "standby"),
        (400, "Upgrading from non-versioned to versioned data", READ, LATER, "upgrading"),
        (400, "invalid role or secret ID", LOGIN, NO, "secret id"),
        (400, "bad", READ, NO, "status 400: bad"),
        (403, "permission denied", READ, NO, 'path "kv/data/a" { capabilities = ["read"] }'),
        (403, "permission denied", WRITE, NO, '["create"]'),
        (403, "permission denied", LOGIN, NO, "CIDR"),
        (404, "", READ, NO, "nothing for reading"),
        (404, 'no handler for route "kv/data/a"', READ, NO, "no such mount"),
        (307, "", READ, NO, "another address"),
        (405, "unsupported operation", READ, NO, "status 405"),
        (102, "", READ, NO, "not Vault"),
    ],
)
def test_statuses(status: int, says: str, question: Question, kind: type, told: str) -> None:
    error = classify.refusal(question, Answer(status, {"errors": [says] if says else []}))
    assert type(error) is kind
    assert told in str(error)


@given(st.integers(300, 599), st.text(max_size=20), st.booleans())
def test_every_status_is_one_or_the_other_and_no_server_error_is_a_no(status: int, says: str, login: bool) -> None:
    question = LOGIN if login else READ
    error = classify.refusal(question, Answer(status, {"errors": [says]}))
    assert isinstance(error, ProviderUnavailableError) == (
        status >= 500 or status in (412, 429, 472, 473) or (status == 400 and "pgrading from" in says)
    )


def verification(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def handshake(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def wrapped(inner: Exception) -> requests.RequestException:
    """As requests does: in a retry error of urllib3, in an argument."""
    return requests.exceptions.SSLError(urllib3.exceptions.SSLError(inner))


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (wrapped(verification(9, "not yet valid")), LATER, "clock"),
        (wrapped(verification(10, "expired")), UntrustedServerError, "expired"),
        (wrapped(verification(62, "hostname mismatch")), UntrustedServerError, "another name"),
        (wrapped(verification(64, "ip mismatch")), UntrustedServerError, "IP address"),
        (wrapped(verification(19, "self-signed certificate")), UntrustedServerError, "ca_file"),
        (wrapped(handshake("TLSV13_ALERT_CERTIFICATE_REQUIRED")), UntrustedServerError, "does not accept"),
        (wrapped(handshake("WRONG_VERSION_NUMBER")), UntrustedServerError, "does not speak TLS"),
        (wrapped(handshake("UNEXPECTED_EOF_WHILE_READING")), LATER, "did not answer"),
        (requests.exceptions.ConnectionError(ConnectionRefusedError(111, "Connection refused")), LATER, "refused"),
        (requests.exceptions.ConnectTimeout(), LATER, "too long"),
        (requests.exceptions.ReadTimeout(), LATER, "too long"),
        (urllib3.exceptions.ProtocolError("cut", ConnectionResetError(104, "reset by peer")), LATER, "reset by peer"),
        (requests.exceptions.ChunkedEncodingError(), LATER, "broke"),
    ],
)
def test_what_gets_no_answer(error: Exception, kind: type, told: str) -> None:
    found = classify.failure(READ, "https://vault", error)
    assert type(found) is kind
    assert told in str(found)


def test_errors_that_refer_to_each_other_end() -> None:
    first, second = OSError("a"), OSError("b")
    first.__context__, second.__context__ = second, first
    assert isinstance(classify.failure(READ, "https://vault", first), ProviderUnavailableError)


@pytest.mark.parametrize("body", [{}, {"errors": "text"}, {"errors": [1, "a\nb"]}])
def test_what_vault_says_is_one_line(body: dict[str, object]) -> None:
    assert "\n" not in Answer(400, body).said


def test_data_that_is_not_there() -> None:
    assert Answer(200, {"data": {"a": 1}}).data("a", "b") is None
    assert Answer(200, {"data": []}).table("a") == {}
    assert "secret" not in repr(Answer(200, {"data": "secret"}))
