"""Keys that the owner enrolled while a rotation was cut: resumed or given up, it leaves them alone."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.unit.operations import rotation_world
from tests.unit.operations.rotation_world import CREDENTIAL, RECOVERY, TPM2, World, error_of

from volward import journal
from volward.errors import KeyDeniedError, NoWayBackError, VerificationError
from volward.host.cryptsetup import Argon2id, Pbkdf2
from volward.keys import header_token
from volward.keys.header_token import HeaderToken
from volward.keys.source import KeyRef
from volward.model import ProviderKind, Token
from volward.secret import SecretBytes

world = rotation_world.world


def enrol_tpm(world: World, policy: str) -> int:
    """As `systemd-cryptenroll --tpm2-with-pin=yes` or --tpm2-pcrlock= do, beside the rotation."""
    machine = world.machine
    machine.opener.refuses_twice = False  # their policy is another one
    number = machine.free()
    machine.add(number, b"the owner's", Pbkdf2(), kdf_hash="sha512")
    fields = {"type": "systemd-tpm2", "keyslots": [str(number)], policy: True}
    machine.tokens((Token(machine.free_token(), "systemd-tpm2", (number,), MappingProxyType(fields)),))
    return number


def enrol_recovery(world: World) -> int:
    """As `volward recovery enrol` does."""
    machine, key = world.machine, b"enrolled since"
    number = machine.free()
    machine.add(number, key, Argon2id(65777))
    ref = machine.provider(RECOVERY, machine.spec).first_ref("pgdata")
    text = header_token.build(HeaderToken("pgdata", ref, (number,), "", True, world.now))
    machine.import_token(machine.device.node, text, number=None)
    world.owner.keys.append(key)
    return number


def worlds(tmp_path: Path, kind: ProviderKind) -> Iterator[World]:
    """A world for each place in which a rotation can be cut."""
    for number in range(1000):
        with pytest.MonkeyPatch.context() as monkeypatch:
            world = World(tmp_path / str(number), monkeypatch)
            if world.rotate(kind, cut=number) is not None:
                return
            if journal.unfinished("pgdata"):
                yield world


def there(world: World, number: int, key: bytes) -> bool:
    described = any(number in token.keyslots for token in world.machine.present.tokens)
    return world.machine.slots.get(number) == key and described


@pytest.mark.parametrize("policy", ["tpm2-pin", "tpm2_pcrlock"])
@pytest.mark.parametrize("ending", ["abort", "resume"])
def test_a_tpm_keyslot_with_its_owners_policy(tmp_path: Path, policy: str, ending: str) -> None:
    tried = 0
    for world in worlds(tmp_path, TPM2):
        number = enrol_tpm(world, policy)
        if ending == "resume":
            taken = number == 2  # the old keyslot had gone, and this one took its place
            error = error_of(world.rotate(TPM2))
            assert isinstance(error, VerificationError) if taken else error is None
            plain = [token for token in world.machine.present.tokens if token.is_plain_tpm2]
            assert len(plain) == 1, "it took the owner's keyslot for its own"
        else:
            try:
                world.abort()
            except NoWayBackError:
                continue
            assert 2 in world.machine.slots
        assert there(world, number, b"the owner's")
        tried += 1
    assert tried > 10


@pytest.mark.parametrize("ending", ["abort", "resume"])
def test_a_recovery_key_that_was_enrolled_since(tmp_path: Path, ending: str) -> None:
    tried = 0
    for world in worlds(tmp_path, RECOVERY):
        number = enrol_recovery(world)
        if ending == "resume":
            assert error_of(world.rotate(RECOVERY)) is None
            assert world.machine.slots[world.current(RECOVERY)] in world.owner.keys
        else:
            world.abort()
            assert sorted(world.machine.slots) == sorted({0, 1, 2, number})
        assert there(world, number, b"enrolled since")
        tried += 1
    assert tried > 10


def test_a_stored_key_that_is_denied_is_not_one_that_was_never_created(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the store can say that it is not there: a keyslot that would stay for ever is not forgotten."""
    store = world.machine.sources[CREDENTIAL]
    world.rotate(CREDENTIAL, cut=16)
    (number,) = set(world.machine.slots) - {0, 1, 2}
    read = store.read

    def denied(ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        if ref.version == 2:
            raise KeyDeniedError("Permission denied.", resolution="Look.")
        return read(ref, deadline_seconds=deadline_seconds)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(store, "read", denied)
        with pytest.raises(KeyDeniedError):
            world.abort()
    assert number in world.machine.slots
    assert journal.unfinished("pgdata")
    world.abort()
    assert sorted(world.machine.slots) == [0, 1, 2]


def test_a_stored_key_that_was_never_created_has_no_keyslot(world: World) -> None:
    world.rotate(CREDENTIAL, cut=16)
    (number,) = set(world.machine.slots) - {0, 1, 2}
    world.machine.sources[CREDENTIAL].later.clear()
    world.abort()
    assert number in world.machine.slots, "it may be anybody's"
