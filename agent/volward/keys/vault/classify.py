"""May it pass, or is it a no? Every way in which Vault, TLS or the network can fail, in tables.

ProviderUnavailableError may pass and is tried again by the chain. KeyDeniedError never does. Decided on purpose:

- Every 5xx may pass. After a *write* it says nothing about whether the write was done; the writer reads back.
- A certificate that is not in force yet may pass: a host without a working clock battery boots in the past, until NTP
  corrects it. Every other failure of trust is a no: an expired certificate, an unknown CA or a wrong name
  stay as they are until a person acts, and somebody who stands in between must raise an alert and not a retry.
- A refused redirect or an answer that is not Vault's JSON is a no: something else answers at that address.

Statuses: https://developer.hashicorp.com/vault/api-docs#http-status-codes. Verification codes: openssl-verify(1).
"""

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from volward.errors import KeyDeniedError, ProviderUnavailableError, UntrustedServerError, VolwardError
from volward.keys.vault.exchange import Answer, Question

Kind = type[ProviderUnavailableError] | type[KeyDeniedError]


@dataclass(frozen=True)
class Case:
    """One row: it fits when the status is among ``statuses`` and Vault's words contain ``says``."""

    statuses: frozenset[int]
    says: str
    kind: Kind
    what: str  # may use {doing}, {said}, {status}
    advice: str  # may use {policy}
    login: bool | None = None  # None: at a login and elsewhere


_NO = KeyDeniedError
_LATER = ProviderUnavailableError
_WAIT = "It is tried again until the deadline. `vault status` on the server says more."
_REFUSED_LOGINS = {
    "approle": "Wrong, expired and used-up secret ids are answered alike. Look at the role, then deliver a new secret "
    "id (`volward vault policy` prints the commands).",
    "cert": "Look at `certificate`: is it in force, and among the names and CAs that the role allows?",
    "jwt": "Look at the token's audience and expiry, and at what the role demands of it.",
}

CASES = (
    Case(frozenset({503}), "sealed", _LATER, "Vault is sealed", "Unseal it: `vault operator unseal`."),
    Case(frozenset({501}), "", _LATER, "Vault is not initialised", "Initialise it: `vault operator init`."),
    Case(frozenset({412}), "", _LATER, "This Vault node has not caught up with its leader yet", _WAIT),
    Case(frozenset({429}), "", _LATER, "Vault limits the rate of requests, or is a standby", _WAIT),
    Case(frozenset({472, 473}), "", _LATER, "This Vault node is a standby and does not answer", _WAIT),
    Case(frozenset({500}), "node not active", _LATER, "The Vault cluster is choosing another leader", _WAIT),
    Case(frozenset({400}), "pgrading from non-versioned", _LATER, "Vault is upgrading this KV engine", _WAIT),
    Case(frozenset(range(500, 600)), "", _LATER, "Vault failed at {doing} (status {status}: {said})", _WAIT),
    Case(
        frozenset({404}), "no handler for route", _NO, "Nothing in Vault answers at {doing}: no such mount",
        "Compare `mount` in the configuration with `vault secrets list` and `vault auth list`.",
    ),
    Case(frozenset({400}), "", _NO, "Vault refuses {doing}: {said}", "{login}", login=True),
    Case(
        frozenset({403}), "", _NO, "Vault denies {doing}: {said}",
        "Look at the role: does it allow this host's address (CIDR), and is the token's policy there?", login=True,
    ),
    Case(
        frozenset({403}), "", _NO, "Vault denies {doing}",
        "If the token is valid (`vault token lookup`), a policy has to say: {policy}. `volward vault policy` prints "
        "all lines.",
    ),
    Case(
        frozenset({404}), "", _NO, "Vault has nothing for {doing}",
        "Look with `vault kv metadata get`, or at the mount (`vault secrets list`).",
    ),
    Case(
        frozenset(range(300, 400)), "", _NO, "Vault sends {doing} to another address (status {status})",
        "Only one redirect to an https address is followed. Configure the address of the load balancer or leader.",
    ),
    Case(
        frozenset(range(400, 500)), "", _NO, "Vault refuses {doing} (status {status}: {said})",
        "It is not tried again. `volward vault policy` prints what this host needs in Vault.",
    ),
)  # fmt: skip

_NOT_YET_VALID = 9
# Of SSLCertVerificationError.verify_code.
CERTIFICATES: Mapping[int, tuple[Kind, str, str]] = {
    _NOT_YET_VALID: (
        _LATER, "The certificate of {address} is not in force yet; this host's clock may be wrong",
        "Look at `timedatectl`. It is tried again until the deadline, since the clock may be set meanwhile.",
    ),
    10: (
        UntrustedServerError, "The certificate of {address} has expired, or this host's clock is wrong",
        "Look at `timedatectl`, then renew the server's certificate.",
    ),
    62: (
        UntrustedServerError, "The certificate of {address} is for another name",
        "Write the name that is in the certificate as `address`, or issue one for this name.",
    ),
    64: (
        UntrustedServerError, "The certificate of {address} is not for this IP address",
        "Write the name that is in the certificate as `address`, or issue one for this address.",
    ),
}  # fmt: skip
_UNKNOWN_ISSUER: tuple[Kind, str, str] = (
    UntrustedServerError, "The certificate of {address} was not issued by a CA that this host trusts ({said})",
    "Write the CA's certificate into `ca_file`. If it is there: find out who answers at this address.",
)  # fmt: skip

# Of SSLError.reason: the other side, or a plain HTTP server, refused the handshake. What is not here may pass.
_REFUSED = (
    "The server at {address} does not accept this host's certificate ({said})",
    "Look at `certificate` and `private_key`, and whether the certificate is in force and of the right CA.",
)
_UNUSABLE = (
    "A PEM file of this host, needed for {address}, cannot be used ({said})",
    "Look at `ca_file`, `certificate` and `private_key` in [vault].",
)
_NO_TLS = ("{address} does not speak TLS ({said})", "Look at the address and its port.")
HANDSHAKES: Mapping[str, tuple[str, str]] = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _REFUSED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REFUSED,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _REFUSED,
    "TLSV1_ALERT_ACCESS_DENIED": _REFUSED,
    "TLSV1_ALERT_UNKNOWN_CA": _REFUSED,
    "NO_CERTIFICATE_OR_CRL_FOUND": _UNUSABLE,
    "NO_START_LINE": _UNUSABLE,
    "KEY_VALUES_MISMATCH": _UNUSABLE,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
}


def refusal(question: Question, answer: Answer) -> VolwardError:
    """Return the error that an answer makes which is not what was asked for."""
    said = answer.said.lower()
    for case in CASES:
        if answer.status in case.statuses and case.says in said and case.login in (None, question.is_login):
            break
    else:
        return nonsense(question, f"status {answer.status}")
    login = _REFUSED_LOGINS.get(question.method, _REFUSED_LOGINS["approle"])
    what = case.what.format(doing=question.doing, said=answer.said or "no reason given", status=answer.status)
    return case.kind(f"{what}.", resolution=case.advice.format(policy=question.policy_line, login=login))


def nonsense(question: Question, why: str) -> KeyDeniedError:
    """Return the error for an answer that is not Vault's."""
    return KeyDeniedError(
        f"What answers {question.doing} is not Vault, or is broken: {why}.",
        resolution="Look at what listens at `address` (a proxy, a portal, another service).",
    )


def failure(question: Question, address: str, error: BaseException) -> VolwardError:
    """Return the error that a request makes which got no whole answer."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _told(CERTIFICATES.get(cause.verify_code, _UNKNOWN_ISSUER), address, cause.verify_message)
        if isinstance(cause, ssl.SSLError) and (cause.reason or "") in HANDSHAKES:
            return _told((UntrustedServerError, *HANDSHAKES[cause.reason]), address, cause.reason)
    return ProviderUnavailableError(
        f"Vault at {address} did not answer {question.doing}: {_reason(error)}.",
        resolution="It is tried again until the deadline. Look at the network, at DNS and at the server.",
    )


def _told(row: tuple[Kind, str, str], address: str, said: str) -> VolwardError:
    kind, what, advice = row
    return kind(f"{what.format(address=address, said=said)}.", resolution=advice)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it wraps: requests and urllib3 hide the first one in arguments and contexts."""
    pending, seen = [error], set[int]()
    while pending:
        one = pending.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            inner = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
            pending += [found for found in inner if isinstance(found, BaseException)]


def _reason(error: BaseException) -> str:
    """Return the innermost sentence of the operating system, or else the kind of failure; never what was sent."""
    for cause in reversed(tuple(_causes(error))):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return "it took too long" if "imeout" in type(error).__name__ else f"the connection broke ({type(error).__name__})"
