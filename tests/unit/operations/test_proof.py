"""The providers of a volume, tested one by one, each by the keys that the chain would try and in its order."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.apply.machine import KEY, Machine, Source
from tests.unit.builders import SPEC

from volward.errors import KeyDeniedError, ProviderUnavailableError
from volward.keys import header_token
from volward.keys.header_token import HeaderToken
from volward.keys.providers import Providers
from volward.model import ProviderKind
from volward.operations.proof import Tried, try_each

CREDENTIAL, PROMPT = ProviderKind.CREDENTIAL, ProviderKind.PROMPT
NEWER = bytes([2]) * len(KEY)


@pytest.fixture
def store(machine: Machine) -> Source:
    """A key that is retired in keyslot 0 and its successor in keyslot 1."""
    machine.formatted(slots={0: KEY, 1: NEWER})
    store = machine.source(CREDENTIAL, KEY)
    store.later[2] = NEWER
    token(machine, 2, 1)
    token(machine, 1, 0, retired=1_700_000_000)
    return store


def token(machine: Machine, version: int, *keyslots: int, retired: int | None = None) -> None:
    ref = replace(machine.provider(CREDENTIAL, SPEC).first_ref("pgdata"), version=version)
    text = header_token.build(HeaderToken("pgdata", ref, keyslots, retired=retired))
    machine.import_token(machine.device.node, text, number=None)


def tried(machine: Machine) -> Tried:
    (one,) = try_each(SPEC, machine.present, machine.device.node, Providers(), deadline_seconds=0.0)
    return one


def test_the_newest_key(machine: Machine, store: Source) -> None:
    assert tried(machine) == Tried(CREDENTIAL)
    assert len(store.given) == 1


def exchanged(store: Source) -> None:
    store.later[2] = b"exchanged" * 8


def gone(store: Source) -> None:
    store.later[2] = b""


@pytest.mark.parametrize(("spoil", "said"), [(exchanged, "opens none of its keyslots"), (gone, "It is not there.")])
def test_an_older_key_opens_as_well_and_the_newest_is_doubted(
    machine: Machine, store: Source, spoil: Callable[[Source], None], said: str
) -> None:
    spoil(store)
    one = tried(machine)
    assert one.why_not == "" and said in one.doubt


def test_a_key_that_the_store_has_and_no_token_names(machine: Machine, store: Source) -> None:
    """A re-encryption loses the tokens, and the boot tries what the store has."""
    machine.header = replace(machine.present, tokens=())
    assert tried(machine) == Tried(CREDENTIAL)
    store.key, store.later = bytes(64), {}
    one = tried(machine)
    assert one.why_not and not one.enrolled


def test_keyslots_that_were_renumbered(machine: Machine, store: Source) -> None:
    machine.slots = {0: b"", 1: b"", 4: NEWER}
    assert tried(machine) == Tried(CREDENTIAL)


def test_no_key_opens(machine: Machine, store: Source) -> None:
    machine.slots = {0: b"x", 1: b"y"}
    one = tried(machine)
    assert one.denied and one.enrolled and "its key opens none" in one.why_not


def test_a_store_that_is_away(machine: Machine, store: Source) -> None:
    store.error = ProviderUnavailableError("Sealed.", resolution="Unseal it.")
    assert tried(machine) == Tried(CREDENTIAL, "Sealed.", "Unseal it.")


@pytest.mark.parametrize("enrolled", [True, False])
def test_a_store_that_cannot_list_its_keys(
    machine: Machine, store: Source, monkeypatch: pytest.MonkeyPatch, enrolled: bool
) -> None:
    def denied(volume: str, *, deadline_seconds: float) -> None:
        raise KeyDeniedError("403.", resolution="Add a policy.")

    monkeypatch.setattr(store, "refs", denied)
    machine.slots = {0: b"x", 1: b"y"}
    if not enrolled:
        machine.header = replace(machine.present, tokens=())
    one = tried(machine)
    assert one.denied and one.enrolled is enrolled
    assert one.why_not == ("its key opens none of its keyslots." if enrolled else "403.")
