"""cryptsetup reencrypt on the volume of rotation_world.py: its part is played by a class, which can be cut."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.unit.builders import CLOSED
from tests.unit.operations.rotation_world import FIRST_RECOVERY, RECOVERY, WANTED, Cut, World

from volward import journal
from volward.apply import RecoveryDelivery
from volward.errors import ToolFailedError
from volward.host import cryptsetup
from volward.host import reencrypt as tool
from volward.host.reencrypt import Target
from volward.model import Observation, Progress, Token
from volward.operations import header_backup, header_backup_expiry, reencrypt, reencryption_look, unreencrypt
from volward.operations.reencryption_look import Wanted, look
from volward.operations.watcher import Watcher
from volward.secret import SecretBytes


class Tool:
    """cryptsetup reencrypt: at the end each keyslot has another number, and the tokens follow."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.began: dict[int, bytes] = {}
        self.resumed_by: bytes = b""
        self.recovered_by: bytes = b""
        self.targets: list[Target] = []
        self.stops = False  # in the middle, in order
        self.cut = False  # in the middle
        self.does_nothing = False
        self.loses: int | None = None

    def test_key(self, node: Path, key: SecretBytes, *, keyslot: int | None) -> bool:
        """As cryptsetup 2.6.1: a keyslot opens one of two volume keys, and by itself counts for nothing."""
        machine = self.world.machine
        if machine.present.reencrypting and keyslot is not None and machine.test_key(node, key, keyslot=keyslot):
            raise ToolFailedError("`cryptsetup open` ended with status 1.", resolution="Look.", status=1)
        return machine.test_key(node, key, keyslot=keyslot)

    def begin(self, target: Target, keys: Mapping[int, SecretBytes], **watching: Any) -> None:
        machine = self.world.machine
        self.targets.append(target)
        self.began = {number: _bytes(key) for number, key in keys.items()}
        assert self.began == machine.slots, "cryptsetup asks for the key of every keyslot"
        if self.does_nothing:
            return
        self.world.write()
        # The digest stays until the first data are done.
        machine.header = replace(machine.present, requirements=("online-reencrypt-v2",))
        self._go_on(**watching)

    def recover(self, node: Path, key: SecretBytes) -> None:
        self.recovered_by = _bytes(key)
        self.world.machine.header = replace(self.world.machine.present, cut_in_hot_zone=False)

    def resume(self, target: Target, key: SecretBytes, **watching: Any) -> None:
        self.targets.append(target)
        assert not self.world.machine.present.cut_in_hot_zone, "Run repair first."
        self.resumed_by = _bytes(key)
        assert self.resumed_by in self.world.machine.slots.values()
        self._go_on(**watching)

    def _go_on(self, *, on_progress: Callable[[Progress], None], stop: Callable[[], bool]) -> None:
        on_progress(Progress(1, 2, 1.0, 1.0))
        if self.cut:
            raise Cut
        self.world.write()
        if not (self.stops or stop()):
            self.end()
            self.world.write()

    def end(self) -> None:
        machine = self.world.machine
        renumbered = {number: number + 8 for number in machine.slots}
        if self.loses is not None:
            machine.slots[self.loses] = b"another key"
        machine.slots = {renumbered[number]: key for number, key in machine.slots.items()}
        machine.header = replace(
            machine.present,
            requirements=(),
            volume_key_digest="new" if machine.present.volume_key_digest != "new" else "newer",
            keyslots=tuple(replace(one, number=renumbered[one.number]) for one in machine.present.keyslots),
            tokens=tuple(_renumbered(one, renumbered) for one in machine.present.tokens),
        )


def _renumbered(token: Token, numbers: Mapping[int, int]) -> Token:
    keyslots = tuple(numbers[number] for number in token.keyslots)
    fields = dict(token.fields) | {"keyslots": [str(number) for number in keyslots]}
    return replace(token, keyslots=keyslots, fields=MappingProxyType(fields))


def _bytes(key: SecretBytes) -> bytes:
    with key.view() as view:
        return bytes(view)


def play(world: World, monkeypatch: pytest.MonkeyPatch, directory: Path) -> Tool:
    """Let a tool stand for cryptsetup; the volume is closed, and its owner has the first recovery key."""
    one = Tool(world)
    machine = world.machine
    machine.header = replace(machine.present, volume_key_digest="old")
    machine.source(RECOVERY, FIRST_RECOVERY)

    def observe(spec: object, **_: object) -> Observation:
        return replace(world.seen, device=machine.device, mapping=CLOSED, mount=None)

    def demand(*_: object, **__: object) -> None:
        world.backups.append("demanded")

    unfinished = partial(journal.unfinished_reencryption, directory=directory / "journal")
    monkeypatch.setattr(journal, "unfinished_reencryption", unfinished)
    for module in (reencrypt, reencryption_look, unreencrypt):
        monkeypatch.setattr(module, "observe", observe)
    monkeypatch.setattr(cryptsetup, "test_key", one.test_key)
    monkeypatch.setattr(tool, "begin", one.begin)
    monkeypatch.setattr(tool, "resume", one.resume)
    monkeypatch.setattr(tool, "recover", one.recover)
    monkeypatch.setattr(header_backup, "demand", demand)
    monkeypatch.setattr(header_backup_expiry, "expire_others", lambda spec: world.backups.append("others expired"))
    return one


def run(
    wanted: Wanted, watcher: Watcher | None = None, *, recovery: RecoveryDelivery | None = None
) -> reencrypt.Reencrypted:
    """Run `volward rotate --volume-key`, with its plan confirmed as it is shown."""
    shown = look(WANTED, wanted).plan
    return reencrypt.run(WANTED, wanted, watcher or Watcher(), shown=shown, recovery=recovery)


def outcomes(verb: str) -> list[str | None]:
    """Return how each operation of a kind ended, None for one that did not."""
    return [record.outcome for record in journal.every() if record.verb == verb]


def give_up() -> tuple[str, ...]:
    """Run `volward abort` for the re-encryption that did not end."""
    (record,) = journal.unfinished("pgdata")
    return unreencrypt.give_up(WANTED, record, deadline_seconds=0.0)
