"""The chain: who is asked again, who never is, and what is told afterwards."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.unit.keys.test_header_token import header, read_back

from volward.errors import (
    BusyError,
    KeyDeniedError,
    KeyRejectedError,
    NoOpenerError,
    NoTerminalError,
    ProviderUnavailableError,
    ToolFailedError,
    ToolMissingError,
    ToolTimeoutError,
    VolwardError,
)
from volward.keys import header_token
from volward.keys.chain import ChainOutcome, Failure, Patience, open_volume
from volward.keys.header_token import HeaderToken
from volward.keys.source import KeyRef, KeySource, TokenOpener
from volward.model import Header, ProviderKind, Token
from volward.secret import SecretBytes


def unavailable() -> VolwardError:
    return ProviderUnavailableError("It is sealed.", resolution="Wait.")


def denied() -> VolwardError:
    return KeyDeniedError("No.", resolution="Look.")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def patience(self, deadline_seconds: float = 30.0) -> Patience:
        return Patience(deadline_seconds, lambda: self.now, self.sleep, lambda: 1.0)


class Source:
    """Keys by version; ``troubles`` are raised first, one a read."""

    def __init__(
        self,
        keys: dict[int, bytes],
        *troubles: Exception,
        provider: ProviderKind = ProviderKind.CREDENTIAL,
        interactive: bool = False,
    ) -> None:
        self.keys = keys
        self.troubles = list(troubles)
        self.provider = provider
        self.interactive = interactive
        self.reads: list[int] = []
        self.given: list[SecretBytes] = []
        self.deadlines: list[float] = []
        self.listing: Exception | None = None

    def first_ref(self, volume: str) -> KeyRef:
        return KeyRef(self.provider, f"volward.{volume}", 1)

    def next_ref(self, ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        raise AssertionError("opening makes no successor")

    def refs(self, volume: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        if self.listing:
            raise self.listing
        return tuple(KeyRef(self.provider, f"volward.{volume}", version) for version in sorted(self.keys, reverse=True))

    def present(self, ref: KeyRef, *, deadline_seconds: float) -> bool:
        return ref.version in self.keys

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float) -> KeyRef:
        raise AssertionError("opening creates nothing")

    def read(self, ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        self.reads.append(ref.version)
        self.deadlines.append(deadline_seconds)
        if self.troubles:
            raise self.troubles.pop(0)
        if ref.version not in self.keys:
            raise denied()
        self.given.append(SecretBytes(self.keys[ref.version]))
        return self.given[-1]


class Opener:
    provider = ProviderKind.TPM2
    token_type = "systemd-tpm2"

    def enrol(self, node: Path, existing: SecretBytes) -> tuple[str, ...]:
        raise AssertionError("opening enrols nothing")

    def test(self, node: Path, token: Token) -> bool:
        raise AssertionError("opening tests nothing")

    def open(self, node: Path, name: str, token: Token, *, discard: bool, read_only: bool = False) -> None:
        raise AssertionError("the chain is given what opens")


class Volume:
    """Keyslots and what opens them; writes down every try."""

    def __init__(self, keyslots: dict[int, bytes] | None = None, tokens: dict[int, list[Exception]] | None = None):
        self.keyslots = keyslots or {}
        self.tokens = tokens or {}
        self.tries: list[object] = []
        self.opened = 0
        self.trouble: Exception | None = None

    def by_key(self, key: SecretBytes, keyslot: int | None) -> None:
        self.tries.append(keyslot)
        if self.trouble:
            raise self.trouble
        with key.view() as view:
            slots = self.keyslots.values() if keyslot is None else [self.keyslots.get(keyslot)]
            if bytes(view) not in slots:
                raise KeyRejectedError("It does not fit.", resolution="Look.")
        self.opened += 1

    def by_token(self, opener: TokenOpener, token: Token) -> None:
        self.tries.append(f"token {token.number}")
        troubles = self.tokens[token.number]
        if troubles:
            raise troubles.pop(0)
        self.opened += 1


def ours(version: int, *keyslots: int, provider: ProviderKind = ProviderKind.CREDENTIAL) -> Token:
    ref = KeyRef(provider, "volward.pgdata", version)
    return read_back(header_token.build(HeaderToken("pgdata", ref, keyslots)), version)


def tpm(number: int, *keyslots: int) -> Token:
    return Token(number, "systemd-tpm2", keyslots, MappingProxyType({}))


def open_it(
    volume: Volume,
    *providers: KeySource | TokenOpener,
    tokens: tuple[Token, ...] = (),
    time: Time | None = None,
    stop: bool = False,
    alert: Callable[[Failure], None] | None = None,
    keyslots: tuple[int, ...] = (0, 1, 2),
) -> ChainOutcome:
    found: Header = header(*tokens, keyslots=keyslots)
    return open_volume(
        "pgdata",
        providers,
        found,
        open_by_key=volume.by_key,
        open_by_token=volume.by_token,
        on_denied_stop=stop,
        patience=(time or Time()).patience(),
        alert=alert,
    )


def test_the_first_provider_opens_by_the_keyslot_that_the_header_names() -> None:
    volume, source = Volume({1: b"key"}), Source({1: b"key"})
    outcome = open_it(volume, source, Opener(), tokens=(ours(1, 1),))
    assert outcome == ChainOutcome(ProviderKind.CREDENTIAL, 1, ref=KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 1))
    assert not outcome.degraded
    assert volume.tries == [1]
    assert source.given[0].wiped


def test_the_newest_version_first_then_the_older_one() -> None:
    volume, source = Volume({0: b"old", 1: b"new"}), Source({1: b"old"})
    outcome = open_it(volume, source, tokens=(ours(1, 0), ours(2, 1)))
    assert source.reads == [2, 1]
    older = KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 1)
    assert outcome == ChainOutcome(ProviderKind.CREDENTIAL, 0, ref=older), "an older key is no failure"


def test_keyslots_renumbered_by_re_encryption_are_found_by_the_key() -> None:
    volume = Volume({0: b"key"})
    outcome = open_it(volume, Source({1: b"key"}), tokens=(ours(1, 2, 7),))
    assert volume.tries == [2, None], "keyslot 7 is not in the header, so it is not tried"
    assert outcome.keyslot is None


def test_without_a_token_every_key_of_the_store_is_tried_at_every_keyslot() -> None:
    volume, source = Volume({0: b"one"}), Source({1: b"one", 2: b"two"})
    assert open_it(volume, source).opened_by is ProviderKind.CREDENTIAL
    assert volume.tries == [None, None]
    assert all(key.wiped for key in source.given)


def test_a_key_enrolled_before_a_cut_is_found_although_the_token_names_another() -> None:
    volume, source = Volume({1: b"new"}), Source({2: b"new"})
    open_it(volume, source, tokens=(ours(1, 0),))
    assert source.reads == [1, 2]


def test_a_broken_listing_does_not_hide_why_the_named_key_failed() -> None:
    source = Source({})
    source.listing = unavailable()
    with pytest.raises(KeyDeniedError, match=r"No"):
        open_it(Volume(), source, tokens=(ours(1, 0),))


def test_a_broken_listing_is_the_failure_when_the_header_says_nothing() -> None:
    source = Source({1: b"key"})
    source.listing = denied()
    volume = Volume(tokens={0: []})
    outcome = open_it(volume, source, Opener(), tokens=(tpm(0, 1),))
    assert [failure.provider for failure in outcome.failures] == [ProviderKind.CREDENTIAL]


def test_unavailable_is_asked_again_with_growing_pauses() -> None:
    time, source = Time(), Source({1: b"key"}, *[unavailable() for _ in range(3)])
    outcome = open_it(Volume({0: b"key"}), source, tokens=(ours(1, 0),), time=time)
    assert time.pauses == [0.5, 1.0, 2.0]
    assert source.deadlines == [30.0, 29.5, 28.5, 26.5]
    assert not outcome.degraded


def test_pauses_are_jittered_and_capped() -> None:
    time, source = Time(), Source({1: b"key"}, *[unavailable() for _ in range(9)])
    patience = Patience(1000.0, lambda: time.now, time.sleep, lambda: 0.0)
    volume = Volume({0: b"key"})
    open_volume(
        "pgdata",
        [source],
        header(ours(1, 0)),
        open_by_key=volume.by_key,
        open_by_token=volume.by_token,
        patience=patience,
    )
    assert time.pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 7.5, 7.5, 7.5, 7.5]


def test_after_its_deadline_the_next_provider_opens_and_the_state_is_degraded() -> None:
    time, alerts = Time(), list[Failure]()
    source = Source({1: b"key"}, *[unavailable() for _ in range(100)])
    volume = Volume(tokens={4: []})
    outcome = open_it(volume, source, Opener(), tokens=(ours(1, 0), tpm(4, 2)), time=time, alert=alerts.append)
    assert (outcome.opened_by, outcome.keyslot, outcome.degraded) == (ProviderKind.TPM2, 2, True)
    assert str(outcome.failures[0]) == "credential: It is sealed."
    assert sum(time.pauses) <= 30.0
    assert alerts == [], "what may pass is no alert"


def test_what_was_answered_is_told_and_not_that_the_deadline_cut_the_last_question() -> None:
    time = Time()
    source = Source({1: b"key"}, unavailable(), ProviderUnavailableError("It took too long.", resolution="Wait."))
    read = source.read

    def slow_the_second_time(ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        if source.reads:
            time.now += deadline_seconds
        return read(ref, deadline_seconds=deadline_seconds)

    source.read = slow_the_second_time  # type: ignore[method-assign]
    with pytest.raises(NoOpenerError, match=r"pgdata: credential: It is sealed\. credential: Wait\."):
        open_it(Volume(), source, tokens=(ours(1, 0),), time=time)


def test_who_could_not_open_it_says_what_each_provider_needs() -> None:
    source = Source({1: b"key"}, *[unavailable() for _ in range(99)])
    with pytest.raises(NoOpenerError) as caught:
        open_it(Volume(), source, Opener(), tokens=(ours(1, 0),))
    assert caught.value.resolution.startswith("credential: Wait. tpm2: Open the volume by another key and enrol")


def test_a_key_that_does_not_fit_sends_nobody_to_a_recovery_key_that_is_not_there() -> None:
    rejected = KeyRejectedError("It opens no keyslot.", resolution="Try the recovery key: `volward recovery test`.")
    with pytest.raises(KeyDeniedError) as caught:
        open_it(Volume(), Source({}, rejected), tokens=(ours(1, 0),))
    assert caught.value.resolution.startswith("It has no recovery key.")


def test_a_denial_is_never_repeated_and_always_alerts() -> None:
    time, alerts = Time(), list[Failure]()
    source, volume = Source({1: b"key"}, denied()), Volume(tokens={0: []})
    outcome = open_it(volume, source, Opener(), tokens=(ours(1, 0), tpm(0, 1)), time=time, alert=alerts.append)
    assert source.reads == [1]
    assert time.pauses == []
    assert outcome.degraded
    assert alerts == list(outcome.failures)
    assert alerts[0].denied


def test_a_key_that_fits_no_keyslot_is_a_denial() -> None:
    alerts = list[Failure]()
    with pytest.raises(KeyDeniedError, match="does not fit"):
        open_it(Volume({0: b"other"}), Source({1: b"key"}), tokens=(ours(1, 0),), alert=alerts.append)
    assert [failure.denied for failure in alerts] == [True]


def test_on_denied_stop_asks_nobody_else() -> None:
    volume, alerts = Volume(tokens={0: []}), list[Failure]()
    with pytest.raises(KeyDeniedError, match="stays closed"):
        open_it(volume, Source({}, denied()), Opener(), tokens=(tpm(0, 1),), stop=True, alert=alerts.append)
    assert volume.tries == []
    assert len(alerts) == 1


def test_on_denied_stop_does_not_stop_at_what_may_pass() -> None:
    source = Source({1: b"key"}, *[unavailable() for _ in range(99)])
    outcome = open_it(Volume(tokens={0: []}), source, Opener(), tokens=(ours(1, 0), tpm(0, 1)), stop=True)
    assert outcome.opened_by is ProviderKind.TPM2


def test_nobody_could_but_somebody_may_later() -> None:
    source = Source({1: b"key"}, *[unavailable() for _ in range(99)])
    with pytest.raises(NoOpenerError, match=r"credential: It is sealed; tpm2: The header of pgdata has no systemd"):
        open_it(Volume(), source, Opener(), tokens=(ours(1, 0),))


def test_all_denied_is_a_denial_and_no_provider_is_none() -> None:
    with pytest.raises(KeyDeniedError, match="Every provider of pgdata denied"):
        open_it(Volume(), Source({}), Opener())
    with pytest.raises(NoOpenerError, match="it has no provider"):
        open_it(Volume())


def test_tokens_of_others_open_too_and_none_is_tried_twice() -> None:
    volume = Volume(tokens={0: [denied()], 5: []})
    outcome = open_it(volume, Opener(), tokens=(tpm(9), tpm(0, 1), tpm(5, 1, 2)))
    assert volume.tries == ["token 0", "token 5"], "a token without a keyslot opens nothing"
    assert outcome == ChainOutcome(ProviderKind.TPM2, None), "of two keyslots it is not known which"


def test_a_tpm_that_is_not_there_yet_is_waited_for() -> None:
    time, volume = Time(), Volume(tokens={0: [unavailable(), unavailable()]})
    assert not open_it(volume, Opener(), tokens=(tpm(0, 1),), time=time).degraded
    assert len(time.pauses) == 2


def test_a_person_is_asked_once_for_all_keyslots() -> None:
    for tokens, tries in (
        ((ours(1, 1, provider=ProviderKind.PROMPT), ours(2, 2, provider=ProviderKind.PROMPT)), [2, 1]),
        ((), [None]),
    ):
        volume = Volume({1: b"typed"})
        source = Source({1: b"typed", 2: b"typed"}, provider=ProviderKind.PROMPT, interactive=True)
        open_it(volume, source, tokens=tokens)
        assert len(source.reads) == 1
        assert volume.tries == tries


@pytest.mark.parametrize(
    "error",
    [
        NoTerminalError("No terminal.", resolution="x"),
        ToolMissingError("No tool.", resolution="x"),
        ToolFailedError("It failed.", resolution="x"),
    ],
)
def test_a_provider_that_is_broken_on_this_host_is_passed_over(error: VolwardError) -> None:
    alerts = list[Failure]()
    volume = Volume(tokens={0: []})
    outcome = open_it(volume, Source({}, error), Opener(), tokens=(ours(1, 0), tpm(0, 1)), alert=alerts.append)
    assert outcome.failures == (Failure(ProviderKind.CREDENTIAL, error),)
    assert alerts == []


@pytest.mark.parametrize(
    "error", [BusyError("Busy.", resolution="x"), ToolTimeoutError("It still runs.", resolution="x")]
)
def test_what_concerns_the_volume_ends_the_chain(error: VolwardError) -> None:
    volume, source = Volume(), Source({1: b"key"})
    volume.trouble = error
    with pytest.raises(type(error)):
        open_it(volume, source, Opener(), tokens=(ours(1, 0), tpm(0, 1)))
    assert volume.tries == [0]
    assert source.given[0].wiped


def test_what_a_person_typed_wrongly_is_not_looked_for_elsewhere() -> None:
    source = Source({1: b"typo", 2: b"key"}, provider=ProviderKind.PROMPT, interactive=True)
    with pytest.raises(KeyDeniedError, match="does not fit"):
        open_it(Volume({0: b"key"}), source)
    assert source.reads == [1]


@pytest.mark.parametrize("trouble", [unavailable(), denied()], ids=["unavailable", "denied"])
@pytest.mark.parametrize("stop", [False, True])
def test_a_recovery_key_is_named_only_where_there_is_one(trouble: VolwardError, stop: bool) -> None:
    def refusal(*tokens: Token) -> VolwardError:
        source = Source({1: b"k"}, *[trouble] * 99)
        with pytest.raises((NoOpenerError, KeyDeniedError)) as caught:
            open_it(Volume(), source, tokens=(ours(1, 0), *tokens), stop=stop)
        return caught.value

    with_one = refusal(ours(2, 1, provider=ProviderKind.RECOVERY)).resolution
    assert "The recovery key opens it: `volward open --recovery pgdata`." in with_one
    without = refusal().resolution
    assert "--recovery" not in without
    assert "It has no recovery key" in without
    assert "`volward status pgdata`" in without
