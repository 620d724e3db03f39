"""Recovery keys in Vault: written once, each under a path of its own, and never read."""

from collections.abc import Iterator

import pytest
from tests.unit.keys.vault.scripted import DENIED, SERVER, Scripted, logged_in

from volward.errors import KeyDeniedError, KeyExistsError, ProviderUnavailableError, VerificationError, VolwardError
from volward.keys.vault.escrow import Escrow, engine_of
from volward.keys.vault.exchange import Answer
from volward.keys.vault.owner import Owner
from volward.model import VaultKeep, VaultPlace
from volward.secret import SecretBytes

WHERE = "volward-recovery/db1/pgdata/20261126T120000Z"
WRITE = f"POST /v1/kv/data/{WHERE}"
NOON = 1795694400.0
STORED = Answer(200, {"data": {"version": 1}})


@pytest.fixture
def key() -> Iterator[SecretBytes]:
    with SecretBytes(b"A1B2C-D3E4F") as secret:
        yield secret


def put(script: Scripted, key: SecretBytes) -> str:
    escrow = Escrow(
        logged_in(script), {"pgdata": "kv"}, deadline_seconds=5.0, owner=Owner("db1", "m1"), clock=lambda: NOON
    )
    return escrow.put("pgdata", key)


def test_it_is_written_once_and_nothing_is_read(key: SecretBytes) -> None:
    script = Scripted().on(WRITE, STORED)
    assert put(script, key) == f"kv/{WHERE}"
    (asked,) = script.asked
    assert asked.content["options"] == {"cas": 0}
    content = asked.content["data"]
    assert content.pop("created")
    assert content == {
        "recovery_key": "A1B2C-D3E4F",
        "host": "db1",
        "machine": "m1",
        "volume": "pgdata",
        "reason": "recovery key",
    }
    assert asked.question.policy_line == 'path "kv/data/volward-recovery/db1/*" { capabilities = ["create"] }'


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (DENIED, KeyDeniedError),
        (Answer(400, {"errors": ["check-and-set parameter did not match the current version"]}), KeyExistsError),
        (ProviderUnavailableError("Away.", resolution="Wait."), ProviderUnavailableError),
        (Answer(200, {"data": {"version": 2}}), VerificationError),
        (Answer(200, {}), VerificationError),
    ],
)
def test_a_key_that_did_not_arrive_is_said_to_be_discarded(
    key: SecretBytes, reply: Answer | Exception, error: type[VolwardError]
) -> None:
    with pytest.raises(error, match="did not reach Vault, so it was discarded; it opens nothing") as raised:
        put(Scripted().on(WRITE, reply), key)
    assert "A1B2C" not in str(raised.value)
    assert raised.value.resolution


@pytest.mark.parametrize(
    ("place", "engine"),
    [
        (None, "kv"),
        (VaultPlace(SERVER), "kv"),
        (VaultPlace(SERVER, mount="secret"), "secret"),
        (VaultPlace(SERVER, VaultKeep.TRANSIT, mount="transit"), "kv"),
    ],
)
def test_where_recovery_keys_go(place: VaultPlace | None, engine: str) -> None:
    assert engine_of(place) == engine
