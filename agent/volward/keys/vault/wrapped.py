"""Response-wrapped secret ids: looked up, unwrapped once, and sealed on the host for the next boot.

A wrapping token works once. One that was used already, and not here, was used by somebody else, or by a volward that
was cut between unwrapping and sealing: it is never taken in silence.
https://developer.hashicorp.com/vault/docs/concepts/response-wrapping
"""

from hvac.api.system_backend.wrapping import Wrapping

from volward.errors import KeyDeniedError, VolwardError
from volward.keys.vault import classify
from volward.keys.vault.credential import LoginCredentials
from volward.keys.vault.exchange import Answer, Question
from volward.keys.vault.transport import Transport
from volward.model import VaultLogin
from volward.secret import SecretBytes

_LOOKUP = "sys/wrapping/lookup"
_UNWRAP = "sys/wrapping/unwrap"


def secret_id(login: VaultLogin, credentials: LoginCredentials, transport: Transport, *, end: float) -> SecretBytes:
    """Return the secret id that the wrapped credential stands for; the caller wipes it.

    Raises KeyDeniedError for a token that was made for something else, or used, or has expired.
    """
    with credentials.read(login.credential) as wrapping:
        kept = credentials.unwrapped(login.credential, wrapping)
        if kept is not None:
            return kept
        _look_up(login, wrapping, transport, end)
        secret = _unwrap(login, wrapping, transport, end)
        try:
            credentials.keep(login.credential, wrapping, secret)
        except VolwardError as error:
            secret.wipe()
            raise KeyDeniedError(
                f"The secret id in {login.credential} was unwrapped, which works once, and could not be sealed "
                f"on this host: {error.what}",
                resolution="Mend that, then deliver a new wrapped secret id (`volward vault policy`).",
            ) from error
        return secret


def _look_up(login: VaultLogin, wrapping: SecretBytes, transport: Transport, end: float) -> None:
    """Demand that the token was made by asking for a secret id of this very role, before it is spent."""
    question = Question("looking up the wrapped secret id", _LOOKUP, "update", is_login=True, understood=(400,))
    with wrapping.view() as view:
        content = {"token": str(view, "ascii", "replace")}
    answer = transport.ask(question, lambda adapter: adapter.post(f"/v1/{_LOOKUP}", json=content), None, end=end)
    _refuse(question, answer, login)
    made_by = answer.data("creation_path")
    wanted = f"auth/{login.path}/role/{login.role}/secret-id"
    if made_by != wanted:
        raise KeyDeniedError(
            f"The wrapping token in {login.credential} was made by {made_by!r}, and not by {wanted}.",
            resolution="Somebody may have replaced it. Find out who, then deliver a new wrapped secret id.",
        )


def _unwrap(login: VaultLogin, wrapping: SecretBytes, transport: Transport, end: float) -> SecretBytes:
    question = Question("unwrapping the secret id", _UNWRAP, "update", is_login=True, understood=(400,))
    answer = transport.ask(question, lambda adapter: Wrapping(adapter).unwrap(), wrapping, end=end)
    _refuse(question, answer, login)
    found = answer.data("secret_id")
    if not isinstance(found, str) or not found:
        raise classify.nonsense(question, "what was wrapped is no secret id")
    return SecretBytes(found.encode())


def _refuse(question: Question, answer: Answer, login: VaultLogin) -> None:
    if answer.status == 400:
        raise KeyDeniedError(
            f"The wrapping token in {login.credential} was used already or has expired.",
            resolution="If nobody of you used it, somebody else has the secret id: look into Vault's audit log and "
            "revoke it. Then deliver a new wrapped secret id, and have it unwrapped before it expires (30 minutes, if "
            "it was made as `volward vault policy` says).",
        )
    if not answer.is_good:
        raise classify.refusal(question, answer)
