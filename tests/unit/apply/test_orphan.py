"""Removing a keyslot that nobody has a key to: a last look first, and rule 4."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import DEVICE, HEADER, PERFECT, SPEC

from volward.apply import keyslot, orphan
from volward.apply.work import HeldKey, Work
from volward.errors import BugError, VerificationError
from volward.host import cryptsetup
from volward.host.cryptsetup import KeyslotProof
from volward.keys.providers import Providers
from volward.keys.source import KeyRef
from volward.model import Action, AnnouncedKeyslot, Header, Keyslot, ProviderKind, Step
from volward.secret import SecretBytes

ORPHAN = Keyslot(2, "argon2id", iterations=4, memory_kib=65531, lanes=4, key_bits=512, priority=1)
WITH_ORPHAN = replace(HEADER, keyslots=(*HEADER.keyslots, ORPHAN))
REMOVE = Action(Step.REMOVE_KEYSLOT, "remove keyslot 2", "it is an orphan", keyslot=2)


class Device:
    """A device whose header changes when a keyslot is removed; what was asked of it is kept."""

    def __init__(self, present: Header) -> None:
        self.present = present
        self.removed: list[tuple[int, int]] = []
        self.obeys = True

    def header(self, node: Path) -> Header:
        assert node == DEVICE.node
        return self.present

    def kill_slot(self, node: Path, *, keyslot: int, proof: KeyslotProof) -> None:
        assert node == DEVICE.node
        self.removed.append((keyslot, proof.keyslot))
        if self.obeys:
            rest = tuple(one for one in self.present.keyslots if one.number != keyslot)
            self.present = replace(self.present, keyslots=rest)


HELD = HeldKey(KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 1), SecretBytes(b"key"))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    one = Device(WITH_ORPHAN)
    monkeypatch.setattr(orphan, "resolved", lambda work: DEVICE)
    for module in (orphan, keyslot):
        monkeypatch.setattr(module, "read_header", one.header)
    monkeypatch.setattr(orphan, "existing_key", lambda node, work: (HELD, 0))
    monkeypatch.setattr(cryptsetup, "kill_slot", one.kill_slot)
    return one


@pytest.fixture
def work() -> Iterator[Work]:
    with Work.on(SPEC, PERFECT, Providers()) as one:
        one.announced = (AnnouncedKeyslot(2, "argon2id", 4, 65531, 4),)
        yield one


def test_the_keyslot_goes_once_another_was_opened(device: Device, work: Work) -> None:
    orphan.remove_keyslot(REMOVE, work)

    assert device.removed == [(2, 0)]


def test_a_keyslot_that_is_gone_already_is_no_error(device: Device, work: Work) -> None:
    device.present = HEADER

    orphan.remove_keyslot(REMOVE, work)

    assert device.removed == []


def test_a_keyslot_that_became_another_since_the_plan_stays(device: Device, work: Work) -> None:
    device.present = replace(HEADER, keyslots=(*HEADER.keyslots, replace(ORPHAN, memory_kib=1048576)))

    with pytest.raises(VerificationError, match="not the one of the journal"):
        orphan.remove_keyslot(REMOVE, work)

    assert device.removed == []


def test_a_tool_that_says_yes_and_does_nothing_is_noticed(device: Device, work: Work) -> None:
    device.obeys = False

    with pytest.raises(VerificationError, match="still shows it"):
        orphan.remove_keyslot(REMOVE, work)


def test_an_action_without_a_keyslot_is_a_bug(device: Device, work: Work) -> None:
    with pytest.raises(BugError):
        orphan.remove_keyslot(replace(REMOVE, keyslot=None), work)
