"""preflight: who has to open a volume, and what a boot without that one would need."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit import builders
from tests.unit.report.volumes import volume

from volward import lock, logins
from volward.errors import BusyError, KeyDeniedError, ProviderUnavailableError
from volward.header_backup.freshness import BackupState, Freshness
from volward.host import listener
from volward.keys.vault import time_left
from volward.keys.vault.time_left import TimeLeft
from volward.logins import LoginLife
from volward.model import (
    MountPointState,
    Observation,
    ProviderKind,
    VaultLogin,
    VaultLoginMethod,
    VaultPlace,
    VaultServer,
    VolumeSpec,
)
from volward.operations import backup_openers, login_life, preflight
from volward.operations.preflight import DAY_SECONDS
from volward.operations.proof import Tried
from volward.report.preflight import HOST, Check, Verdict

VAULT, CREDENTIAL, TPM2, PROMPT = (
    ProviderKind.VAULT,
    ProviderKind.CREDENTIAL,
    ProviderKind.TPM2,
    ProviderKind.PROMPT,
)
SERVER = VaultServer("https://vault.example:8200", VaultLogin(VaultLoginMethod.APPROLE))
SPEC = replace(builders.SPEC, providers=(VAULT, CREDENTIAL), vault=VaultPlace(SERVER))
NO_END = TimeLeft(600.0, True, secret_id_seconds=None, secret_id_known=True)


DENIED = KeyDeniedError("403.", resolution="Add a policy.")
AWAY = ProviderUnavailableError("Refused.", resolution="Start it.")


@dataclass
class FakeLogin:
    can_be_repeated: bool = True


@dataclass
class FakeSession:
    refusal: Exception | None = None
    login: FakeLogin = field(default_factory=FakeLogin)

    def token(self, *, deadline_seconds: float) -> None:
        if self.refusal:
            raise self.refusal


@dataclass
class Scene:
    """What the providers, Vault and this host answer."""

    specs: list[VolumeSpec] = field(default_factory=lambda: [SPEC])
    tried: dict[str, tuple[Tried, ...]] = field(default_factory=lambda: {"pgdata": (Tried(VAULT), Tried(CREDENTIAL))})
    session: FakeSession = field(default_factory=FakeSession)
    left: TimeLeft | Exception = NO_END
    remembered: list[LoginLife] = field(default_factory=list)
    here: bool = False
    files: tuple[Path, ...] = ()
    seen: Observation = builders.PERFECT
    answering: set[ProviderKind] = field(default_factory=set)

    def check_backups(
        self, spec: VolumeSpec, providers: object, answering: set[ProviderKind], *, deadline_seconds: float
    ) -> Iterator[Check]:
        self.answering |= answering
        yield Check(spec.name, "header backup keys", Verdict.PASSED, "open them")

    def run(self) -> tuple[Check, ...]:
        return preflight.preflight(self.specs, deadline_seconds=1.0)

    def of(self, what: str, name: str = "pgdata") -> list[tuple[Verdict, str]]:
        return [(one.verdict, one.found) for one in self.run() if one.what.startswith(what) and one.volume == name]


class FakeProviders:
    scene: Scene

    def __enter__(self) -> "FakeProviders":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def session(self, server: VaultServer) -> FakeSession:
        return self.scene.session


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    one = Scene()

    def look_at(specs: list[VolumeSpec]) -> list[Any]:
        ready = volume(replace(builders.PERFECT, recovery_confirmed=True, scratch_uuid=builders.UUID))
        return [replace(ready, spec=spec, header_backup=BackupState(Freshness.FRESH)) for spec in specs]

    def try_each(spec: VolumeSpec, *_: object, **__: object) -> Iterator[Tried]:
        yield from one.tried[spec.name]

    def how_long(session: object, *, deadline_seconds: float) -> TimeLeft:
        if isinstance(one.left, Exception):
            raise one.left
        return one.left

    held: Callable[..., Any] = lock.held
    FakeProviders.scene = one
    monkeypatch.setattr(lock, "held", lambda name: held(name, directory=tmp_path))
    monkeypatch.setattr(preflight, "look_at", look_at)
    monkeypatch.setattr(preflight, "observe", lambda spec, **_: one.seen)
    monkeypatch.setattr(preflight, "try_each", try_each)
    monkeypatch.setattr(preflight, "Providers", FakeProviders)
    monkeypatch.setattr(backup_openers, "check", one.check_backups)
    monkeypatch.setattr(time_left, "time_left", how_long)
    monkeypatch.setattr(logins, "write", one.remembered.append)
    monkeypatch.setattr(listener, "is_here", lambda url: one.here)
    monkeypatch.setattr(listener, "files_of", lambda url: one.files)
    return one


def test_all_is_well(scene: Scene) -> None:
    assert {check.verdict for check in scene.run()} == {Verdict.PASSED}
    assert scene.of("vault", HOST) == [(Verdict.PASSED, "the login works, without an end")]
    assert scene.of("key of vault") == [(Verdict.PASSED, "opens its keyslot")]
    assert scene.of("header backup keys") == [(Verdict.PASSED, "open them")]
    assert scene.answering == {VAULT, CREDENTIAL}


def test_one_provider_less_is_a_warning_and_none_is_a_failure(scene: Scene) -> None:
    scene.tried["pgdata"] = (Tried(VAULT, "Sealed."), Tried(CREDENTIAL))
    assert scene.of("key") == [(Verdict.WARNING, "Sealed."), (Verdict.PASSED, "opens its keyslot")]
    scene.tried["pgdata"] = (Tried(VAULT, "Sealed."), Tried(CREDENTIAL, "Gone."))
    assert [verdict for verdict, _ in scene.of("key of")] == [Verdict.FAILED] * 2
    assert scene.of("keys") == [(Verdict.FAILED, "no provider opens it without a person.")]


def test_a_person_is_no_provider_of_a_boot(scene: Scene) -> None:
    scene.specs = [replace(builders.SPEC, providers=(PROMPT,))]
    scene.tried["pgdata"] = (Tried(PROMPT, asks=True),)
    assert scene.of("key of prompt") == [(Verdict.PASSED, "asks a person, so it is no help at a boot; not tried")]
    (keys,) = (one for one in scene.run() if one.what == "keys")
    assert keys.verdict is Verdict.FAILED
    assert "`open_at_boot = false`" in keys.resolution
    scene.specs = [replace(scene.specs[0], open_at_boot=False)]
    assert scene.of("keys") == [(Verdict.WARNING, keys.found)]


def test_a_denial_that_stops_the_chain(scene: Scene) -> None:
    scene.specs = [replace(SPEC, on_denied_stop=True)]
    scene.tried["pgdata"] = (Tried(VAULT, "403.", denied=True), Tried(CREDENTIAL))
    assert "on_denied" in scene.of("keys")[0][1]
    scene.tried["pgdata"] = (Tried(VAULT, "Sealed."), Tried(CREDENTIAL))
    assert scene.of("keys") == []


def test_a_volume_that_somebody_works_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(name: str) -> None:
        raise BusyError("Another volward works on it.", resolution="Wait.")

    monkeypatch.setattr(lock, "held", busy)
    assert scene.of("keys") == [(Verdict.WARNING, "not tried: Another volward works on it.")]
    assert scene.of("vault", HOST)[0][0] is Verdict.PASSED
    scene.left = AWAY
    assert scene.of("vault", HOST)[0][0] is Verdict.WARNING, "whether only Vault opens it is not known"


REENCRYPTING = replace(builders.HEADER, requirements=("online-reencrypt-v2",))


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (replace(builders.PERFECT, header=REENCRYPTING), "unfinished re-encryption"),
        (replace(builders.AT_BOOT, header=replace(builders.HEADER, label="other")), "label is other"),
        (replace(builders.AT_BOOT, mount_point=MountPointState.NOT_A_DIRECTORY), "not a directory"),
        (replace(builders.AT_BOOT, mount_point=MountPointState.UNKNOWN), "cannot be looked at"),
        (replace(builders.AT_BOOT, mount_point=MountPointState.OCCUPIED), "holds files"),
        (replace(builders.AT_BOOT, same_uuid_elsewhere=("/dev/vdc",)), "/dev/vdc"),
    ],
)
def test_what_open_refuses_needs_a_person(scene: Scene, seen: Observation, said: str) -> None:
    scene.seen = seen
    ((verdict, found),) = scene.of("volume")
    assert verdict is Verdict.FAILED and said in found
    assert all(one.resolution for one in scene.run() if one.verdict is Verdict.FAILED)


def test_what_open_refuses_is_found_while_somebody_works_on_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(name: str) -> None:
        raise BusyError("Another volward works on it.", resolution="Wait.")

    monkeypatch.setattr(lock, "held", busy)
    scene.seen = replace(builders.PERFECT, header=REENCRYPTING)
    assert scene.of("volume")[0][0] is Verdict.FAILED


def test_scratch_is_planned_and_has_no_key(scene: Scene) -> None:
    scene.specs = [replace(builders.SCRATCH, vault=None)]
    scene.seen = replace(builders.CLAIMED, mount_point=MountPointState.SEALED)
    assert scene.of("volume") == scene.of("key") == []
    scene.seen = replace(scene.seen, scratch_uuid=builders.OTHER_UUID)
    assert scene.of("volume")[0][0] is Verdict.FAILED


def test_what_the_boot_does_not_open_strands_nobody(scene: Scene) -> None:
    scene.specs = [replace(SPEC, open_at_boot=False)]
    scene.tried["pgdata"] = (Tried(VAULT, "403."), Tried(CREDENTIAL, "Gone."))
    scene.left, scene.here, scene.files = AWAY, True, (builders.MOUNT_POINT / "vault.db",)
    scene.seen = replace(builders.PERFECT, header=REENCRYPTING)
    assert {check.verdict for check in scene.run()} == {Verdict.PASSED, Verdict.WARNING}
    assert "neither starts" in scene.of("vault on", HOST)[0][1]


def test_a_provider_that_opens_by_an_older_key_is_looked_at(scene: Scene) -> None:
    scene.tried["pgdata"] = (Tried(VAULT, doubt="its key opens none of its keyslots."), Tried(CREDENTIAL))
    ((verdict, found), _) = scene.of("key of")
    assert verdict is Verdict.WARNING and "not by its newest key: its key opens none" in found


@pytest.mark.parametrize(
    ("left", "verdict", "said"),
    [
        (replace(NO_END, secret_id_seconds=3.5 * DAY_SECONDS), Verdict.WARNING, "expires in 3 days"),
        (replace(NO_END, secret_id_seconds=30.5 * DAY_SECONDS), Verdict.PASSED, "for 30 more days"),
        (replace(NO_END, secret_id_uses=7), Verdict.WARNING, "7 uses left"),
        (DENIED, Verdict.WARNING, "not to be told: 403."),
        (AWAY, Verdict.WARNING, "Refused."),
        (TimeLeft(600.0, False), Verdict.PASSED, "the login works"),
    ],
)
def test_how_long_the_login_lasts(scene: Scene, left: TimeLeft | Exception, verdict: Verdict, said: str) -> None:
    scene.left = left
    ((found, text),) = scene.of("vault", HOST)
    assert found is verdict
    assert said in text


def test_a_token_that_ends(scene: Scene) -> None:
    scene.session.login.can_be_repeated = False
    scene.left = TimeLeft(7500.0, False)
    assert scene.of("vault", HOST) == [(Verdict.WARNING, "the token ends in 2 h and cannot be renewed")]


@pytest.mark.parametrize("refusal", [DENIED, AWAY, ImportError("hvac")])
def test_a_login_that_fails_is_a_failure_only_where_nothing_else_opens(scene: Scene, refusal: Exception) -> None:
    scene.session.refusal = refusal
    assert scene.of("vault", HOST)[0][0] is Verdict.WARNING
    scene.tried["pgdata"] = (Tried(VAULT, "403."), Tried(CREDENTIAL, "Gone."))
    assert scene.of("vault", HOST)[0][0] is Verdict.FAILED


def test_the_last_use_of_a_secret_id_strands_a_volume_that_has_nothing_else(scene: Scene) -> None:
    scene.left = replace(NO_END, secret_id_uses=1)
    assert scene.of("vault h", HOST)[0][0] is Verdict.WARNING
    scene.tried["pgdata"] = (Tried(VAULT),)
    assert scene.of("vault h", HOST)[0][0] is Verdict.FAILED


def test_vault_on_a_volume_that_only_vault_opens_is_a_deadlock(scene: Scene) -> None:
    scene.here = True
    scene.files = (builders.MOUNT_POINT / "raft" / "vault.db",)
    assert scene.of("vault on", HOST)[0][0] is Verdict.WARNING
    scene.tried["pgdata"] = (Tried(VAULT),)
    ((verdict, said),) = scene.of("vault on", HOST)
    assert verdict is Verdict.FAILED
    assert "after a reboot neither starts" in said


def test_vault_on_this_host_elsewhere_or_out_of_sight(scene: Scene) -> None:
    scene.here = True
    assert scene.of("vault on", HOST)[0] == (
        Verdict.WARNING,
        "Vault runs on this host, and where it keeps its data could not be seen",
    )
    scene.files = (Path("/var/lib/vault"),)
    assert scene.of("vault on", HOST)[0][0] is Verdict.PASSED


def test_volumes_that_wait_for_one_another_are_named(scene: Scene) -> None:
    data = replace(SPEC, name="data", mount_point=Path("/srv/data"), consumers=())
    image = Path("/srv/data/vault.img")
    own = replace(SPEC, name="own", device=image, is_file=True, mount_point=Path("/srv/own"), providers=(CREDENTIAL,))
    scene.specs = [data, own]
    scene.tried = {"data": (Tried(VAULT),), "own": (Tried(CREDENTIAL),)}
    scene.here, scene.files = True, (Path("/srv/own/raft/vault.db"),)
    ((verdict, said),) = scene.of("order", HOST)
    assert verdict is Verdict.FAILED
    assert "own is a file on data" in said
    assert "data needs its key from Vault (https://vault.example:8200), whose data are on own" in said
    scene.tried["data"] = (Tried(VAULT), Tried(CREDENTIAL))
    assert scene.of("order", HOST) == []


def test_how_long_the_login_lasts_is_remembered_for_status(scene: Scene) -> None:
    scene.left = replace(NO_END, secret_id_seconds=30.0 * DAY_SECONDS, secret_id_uses=4)
    scene.run()
    (life,) = scene.remembered
    assert (life.address, life.uses_left) == (SERVER.address, 4)
    assert life.ends_at is not None
    assert life.ends_at - life.seen_at == pytest.approx(30.0 * DAY_SECONDS)
    scene.session.login.can_be_repeated = False
    scene.left = TimeLeft(50.0, False)
    scene.run()
    last = scene.remembered[-1]
    assert last.ends_at is not None
    assert last.ends_at - last.seen_at == pytest.approx(50.0)


def test_a_token_that_was_renewed_is_remembered(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_left, "renew", time_left.time_left)
    scene.left, scene.session.login.can_be_repeated = replace(NO_END, token_renewable=False), False
    left = login_life.renew(SERVER, FakeProviders(), deadline_seconds=1.0)  # type: ignore[arg-type]
    (life,) = scene.remembered
    assert left.token_seconds == 600.0
    assert life.ends_at == pytest.approx(life.seen_at + 600.0)
