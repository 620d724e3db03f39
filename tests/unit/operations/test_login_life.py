"""How long the login to a Vault server lasts: remembered for status, and told by the daily rotation."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from volward import audit, logins
from volward.errors import KeyDeniedError, ProviderUnavailableError, UntrustedServerError
from volward.keys.providers import Providers
from volward.keys.vault import time_left
from volward.keys.vault.time_left import TimeLeft
from volward.logins import EARLY_SECONDS, LoginLife
from volward.model import VaultLogin, VaultLoginMethod, VaultServer
from volward.operations import login_life

SERVER = VaultServer("https://vault.example:8200", VaultLogin(VaultLoginMethod.APPROLE))
REFUSED = KeyDeniedError("Vault refuses the login: invalid secret id.", resolution="Deliver a new secret id.")


@dataclass
class Login:
    can_be_repeated: bool = True


@dataclass
class Scene:
    """A server that answers a login and the look at what is left of it; and what came of that."""

    refusal: Exception | None = None
    left: TimeLeft | Exception = field(default_factory=lambda: TimeLeft(600.0, True, secret_id_known=True))
    login: Login = field(default_factory=Login)
    remembered: list[LoginLife] = field(default_factory=list)
    audited: list[tuple[Any, ...]] = field(default_factory=list)

    def session(self, server: VaultServer) -> "Scene":
        return self

    def token(self, *, deadline_seconds: float) -> None:
        if self.refusal:
            raise self.refusal

    def time_left(self, session: object, *, deadline_seconds: float) -> TimeLeft:
        if isinstance(self.left, Exception):
            raise self.left
        return self.left

    def warnings(self) -> tuple[str, ...]:
        return login_life.warnings(SERVER, ("pgdata", "cache"), cast("Providers", self), deadline_seconds=1.0)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    one = Scene()
    monkeypatch.setattr(time_left, "time_left", one.time_left)
    monkeypatch.setattr(logins, "write", one.remembered.append)
    monkeypatch.setattr(audit, "record", lambda *words, **fields: one.audited.append(words))
    return one


def test_a_login_that_lasts_is_remembered_and_nothing_is_told(scene: Scene) -> None:
    assert scene.warnings() == ()
    assert [(life.address, life.ends_at) for life in scene.remembered] == [(SERVER.address, None)]
    assert scene.audited == []


def test_one_that_ends_soon_is_told(scene: Scene) -> None:
    scene.left = TimeLeft(600.0, True, secret_id_seconds=EARLY_SECONDS - 3600.0, secret_id_known=True)
    (told,) = scene.warnings()
    assert told.startswith("The login to Vault at https://vault.example:8200 ends in 13 days. Make a new secret id")
    assert scene.audited == []


def test_one_that_is_denied_raises_an_alert_although_nothing_needed_it(scene: Scene) -> None:
    scene.refusal = REFUSED
    assert scene.warnings() == (str(REFUSED),)
    assert [words[:3] for words in scene.audited] == [
        ("login-denied", name, audit.Outcome.ALERT) for name in ("pgdata", "cache")
    ]
    (life,) = scene.remembered
    assert life.ends_at == life.seen_at, "status says that it has ended"


def test_a_server_that_is_not_trusted_says_nothing_of_the_login(scene: Scene) -> None:
    scene.refusal = UntrustedServerError("Another CA.", resolution="Look.")
    assert scene.warnings() == (str(scene.refusal),)
    assert len(scene.audited) == 2
    assert scene.remembered == []


@pytest.mark.parametrize("error", [ProviderUnavailableError("Sealed.", resolution="Wait."), ImportError("hvac")])
def test_a_server_that_is_away_is_no_matter_of_the_login(scene: Scene, error: Exception) -> None:
    scene.refusal = error
    assert (scene.warnings(), scene.audited, scene.remembered) == ((), [], [])


def test_a_policy_that_does_not_allow_to_look_is_for_preflight_to_say(scene: Scene) -> None:
    scene.left = KeyDeniedError("403.", resolution="Add a policy.")
    assert (scene.warnings(), scene.audited, scene.remembered) == ((), [], [])


def test_a_token_that_no_boot_can_get_again_ends_with_its_own_time(scene: Scene) -> None:
    scene.login.can_be_repeated = False
    scene.left = TimeLeft(7200.0, False)
    (told,) = scene.warnings()
    assert "ends in" in told
