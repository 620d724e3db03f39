"""A volume with three keys in memory, whose rotations can be cut before or after any single write.

Journal and lock are real, below a temporary directory; header, TPM and stores are those of tests/unit/apply/machine.py.
A cut is an exception that nothing in volward catches, as little as a SIGKILL.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.unit.apply.machine import KEY, Machine
from tests.unit.builders import FRESH_HEADER, PERFECT, SPEC

from volward import journal, lock
from volward.errors import VolwardError
from volward.host.cryptsetup import Argon2id, Pbkdf2
from volward.keys import header_token
from volward.keys.header_token import HeaderToken
from volward.model import Observation, Pin, ProviderKind, RotationProfile, VolumeSpec
from volward.operations import header_backup, header_backup_expiry, rotate, unrotate
from volward.operations.rotate import Pass, Rotated
from volward.operations.watcher import Watcher
from volward.plan.rotation import Wish
from volward.secret import SecretBytes

CREDENTIAL, TPM2, RECOVERY = ProviderKind.CREDENTIAL, ProviderKind.TPM2, ProviderKind.RECOVERY
DAY = 24 * 3600
BIRTH = 1_700_000_000
WANTED = replace(
    SPEC, providers=(CREDENTIAL, TPM2), rotation=RotationProfile(max_age_seconds=90 * DAY, grace_seconds=30 * DAY)
)
FIRST_RECOVERY = b"first recovery key"


class Cut(BaseException):
    """The power went."""


@dataclass
class Owner:
    """Takes every recovery key that is handed over."""

    keys: list[bytes] = field(default_factory=lambda: [FIRST_RECOVERY])

    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        with recovery_key.view() as view:
            self.keys.append(bytes(view))


class World:
    """The volume, its clock, and how many writes are left until the power goes."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = Machine()
        self.machine.install(monkeypatch)
        self.machine.spec = WANTED
        self.owner = Owner()
        self.now = BIRTH
        self.left: int | None = None
        self.writes = 0
        self.machine.opener.refuses_twice = True
        self.machine.source(CREDENTIAL, KEY)
        self._enrol_all()
        self._directories(directory, monkeypatch)
        for module in (rotate, unrotate):
            monkeypatch.setattr(module, "observe", lambda spec: self.seen)
        self.backup_remarks: tuple[str, ...] = ()
        self.backups: list[str] = []  # "made" after a change, or the mark of a key whose backups went
        monkeypatch.setattr(header_backup, "after_change", self._back_up)
        self._make_breakable(monkeypatch)
        monkeypatch.setattr("os.fsync", lambda descriptor: None)  # what is durable is not asked here

    def _enrol_all(self) -> None:
        one = self.machine
        one.header, one.slots = replace(FRESH_HEADER, keyslots=(), tokens=()), {}
        one.add(0, KEY, Pbkdf2())
        one.add(1, FIRST_RECOVERY, Argon2id(65535))
        for number, kind, confirmed in ((0, CREDENTIAL, None), (1, RECOVERY, True)):
            ref = one.provider(kind, WANTED).first_ref("pgdata")
            digest = header_token.fingerprint(SecretBytes(KEY)) if kind is CREDENTIAL else ""
            text = header_token.build(HeaderToken("pgdata", ref, (number,), digest, confirmed, BIRTH))
            one.import_token(one.device.node, text, number=None)
        with SecretBytes(KEY) as key:
            one.opener.enrol(one.device.node, key)

    def _directories(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for module, where, names in (
            (journal, "journal", ("begin", "resume", "unfinished", "unfinished_rotation", "announced", "every")),
            (lock, "lock", ("held",)),
        ):
            for name in names:
                monkeypatch.setattr(module, name, partial(getattr(module, name), directory=directory / where))

    def _back_up(
        self,
        spec: VolumeSpec,
        providers: object,
        *,
        revoked: Sequence[str] = (),
        new_volume_key: bool = False,
        **options: object,
    ) -> tuple[str, ...]:
        self.backups += ["made", *revoked]
        if new_volume_key:
            header_backup_expiry.expire_others(spec)
        return self.backup_remarks

    def _make_breakable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def wrap(owner: Any, name: str) -> None:
            original = getattr(owner, name)

            def wrapped(*args: Any, **named: Any) -> Any:
                self.write()
                result = original(*args, **named)
                self.write()
                return result

            monkeypatch.setattr(owner, name, wrapped)

        from volward.host import cryptsetup

        for name in ("add_key", "import_token", "remove_token", "kill_slot"):
            wrap(cryptsetup, name)
        wrap(journal.Operation, "_append")
        wrap(self.machine, "tokens")  # between keyslot and token of the TPM as well
        wrap(self.machine.sources[CREDENTIAL], "create")
        wrap(self.owner, "hand_over")

    def write(self) -> None:
        """Stand before or after a write, where the power may go."""
        self.writes += 1
        if self.left is not None:
            if self.left == 0:
                raise Cut
            self.left -= 1

    @property
    def seen(self) -> Observation:
        header = self.machine.present
        return replace(PERFECT, header=header, pin=Pin(self.machine.device.identity, header.uuid))

    # what is done to it

    def rotate(
        self, kind: ProviderKind | None = None, *, at_once: bool = False, due: bool = False, cut: int | None = None
    ) -> Rotated | None:
        """Run `volward rotate`; None when it was cut after that many writes."""
        shared = Pass(
            Wish(kind, due, at_once), self.owner, Watcher(), {"pgdata"}, deadline_seconds=0.0, clock=lambda: self.now
        )
        done = self.until(cut, lambda: rotate.rotate([WANTED], shared)[0])
        return done if isinstance(done, Rotated) else None

    def abort(self, cut: int | None = None) -> object:
        """Run `volward abort` for the rotation that did not end; None when it was cut."""
        (record,) = journal.unfinished("pgdata")
        return self.until(cut, lambda: unrotate.give_up(WANTED, record, deadline_seconds=0.0))

    def until(self, cut: int | None, run: Callable[[], object]) -> object:
        self.left = cut
        try:
            return run()
        except Cut:
            return None
        finally:
            self.left = None

    # what has to hold

    def check_always(self) -> None:
        """Whatever was cut: a key that is in its store opens the volume, and so does a recovery key of its owner."""
        store = self.machine.sources[CREDENTIAL]
        stored = {store.key, *store.later.values()}
        assert stored & set(self.machine.slots.values()), "no stored key opens the volume"
        assert set(self.owner.keys) & set(self.machine.slots.values()), "the owner's key opens it no more"
        described = {number for token in self.machine.present.tokens for number in token.keyslots}
        assert described <= set(self.machine.slots)
        assert self.machine.slots[self.current(CREDENTIAL)] in stored

    def check_rest(self) -> None:
        """With nothing unfinished: keyslots, tokens and stores agree, one token for each keyslot."""
        self.check_always()
        assert journal.unfinished("pgdata") == ()
        tokens = self.machine.present.tokens
        assert sorted(n for token in tokens for n in token.keyslots) == sorted(self.machine.slots)
        assert all(token.keyslots for token in tokens)
        assert sorted(token.type for token in tokens if token.type != "volward") == ["systemd-tpm2"]
        store = self.machine.sources[CREDENTIAL]
        for content in header_token.of_provider(self.machine.present, CREDENTIAL):
            key = store.key if content.ref.version == 1 else store.later[content.ref.version]
            assert [self.machine.slots[number] for number in content.keyslots] == [key]
        for kind in (CREDENTIAL, RECOVERY):
            assert (
                len([one for one in header_token.of_provider(self.machine.present, kind) if one.retired is None]) == 1
            )
        assert self.machine.slots[self.current(RECOVERY)] == self.owner.keys[-1]

    def current(self, kind: ProviderKind) -> int:
        """Return the keyslot of the newest key that is not retired."""
        return header_token.of_provider(self.machine.present, kind)[0].keyslots[0]

    def picture(self) -> dict[int, tuple[str, int | None]]:
        """Return each keyslot with its key's provider and when it was retired."""
        found: dict[int, tuple[str, int | None]] = {}
        for token in self.machine.present.tokens:
            own = [content for one, content in header_token.all_of(self.machine.present) if one is token]
            for number in token.keyslots:
                found[number] = (token.opened_by, own[0].retired if own else None)
        return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield World(tmp_path, monkeypatch)


def error_of(done: Rotated | None) -> VolwardError | None:
    """Return what went wrong; fails when the run was cut."""
    assert done is not None
    return done.error


def spec() -> VolumeSpec:
    return WANTED
