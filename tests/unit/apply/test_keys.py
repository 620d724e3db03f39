"""Keys: in their store before a keyslot needs them, shown to open before they are described, wiped afterwards."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.unit.apply.machine import KEY, RECOVERY, Machine
from tests.unit.builders import BLANK, DEVICE, PERFECT, SPEC

from volward.apply import Work, apply
from volward.apply.opening import existing_key, open_through_chain
from volward.errors import (
    BugError,
    ConfirmationError,
    DamagedHeaderError,
    KeyDeniedError,
    KeyRejectedError,
    NoOpenerError,
    ProviderUnavailableError,
)
from volward.keys import recovery
from volward.keys.providers import Providers
from volward.keys.source import KeyRef
from volward.model import Action, AnnouncedKeyslot, Presence, ProviderKind, Step, Token
from volward.secret import SecretBytes

CREDENTIAL, PROMPT, TPM2 = ProviderKind.CREDENTIAL, ProviderKind.PROMPT, ProviderKind.TPM2
SEEN = replace(PERFECT, header=None)


def step(name: Step, provider: ProviderKind | None = None) -> Action:
    return Action(name, f"do {name}", "a test wants it", provider=provider)


@pytest.fixture
def work(machine: Machine) -> Iterator[Work]:
    """Work on a device that carries one keyslot, which the credential opens; nothing is in hand yet."""
    machine.formatted()
    machine.source(CREDENTIAL, KEY)
    spec = replace(SPEC, providers=(CREDENTIAL, PROMPT, TPM2))
    with Work.on(spec, SEEN, Providers()) as one:
        one.deadline_seconds = 0.0
        yield one


def announced(work: Work) -> list[AnnouncedKeyslot]:
    found: list[AnnouncedKeyslot] = []
    work.announce = found.append
    return found


# --- create and describe ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "adopt"), [(CREDENTIAL, True), (PROMPT, False)])
def test_a_stored_key_is_adopted_and_a_passphrase_is_chosen_anew(
    machine: Machine, kind: ProviderKind, adopt: bool
) -> None:
    source = machine.source(kind)
    with Work.on(SPEC, BLANK, Providers()) as work:
        apply(step(Step.CREATE_KEY, kind), work)
        assert work.primary_key().ref.provider is kind if kind in SPEC.providers else kind in work.keys
        assert source.adopted == [adopt]
    assert source.given[0].wiped


def test_the_token_names_the_keyslot_that_the_key_opens(machine: Machine, work: Work) -> None:
    machine.formatted(slots={0: b"another", 5: KEY})
    apply(step(Step.WRITE_TOKEN, CREDENTIAL), work)
    assert machine.log == ["token credential for 5"]
    body = machine.present.tokens[0].fields["volward"]
    assert isinstance(body, dict)
    assert body["key_ref"] == "volward.pgdata.v1"
    assert len(body["fingerprint"]) == 32


def test_a_key_that_opens_nothing_is_not_described(machine: Machine, work: Work) -> None:
    machine.formatted(slots={0: b"another"})
    with pytest.raises(KeyRejectedError, match="opens no keyslot"):
        apply(step(Step.WRITE_TOKEN, CREDENTIAL), work)
    assert machine.log == []


def test_a_token_that_does_not_appear_is_told(machine: Machine, work: Work) -> None:
    machine.obedient = False
    with pytest.raises(DamagedHeaderError, match="does not show it"):
        apply(step(Step.WRITE_TOKEN, CREDENTIAL), work)


def test_without_a_header_there_is_nothing_to_do_and_no_format_to_be_advised(machine: Machine, work: Work) -> None:
    machine.header = None
    with pytest.raises(DamagedHeaderError) as refused:
        apply(step(Step.WRITE_TOKEN, CREDENTIAL), work)
    assert "Do not format" in refused.value.resolution


def test_a_step_about_keys_without_a_provider_is_a_bug(machine: Machine, work: Work) -> None:
    with pytest.raises(BugError):
        apply(step(Step.WRITE_TOKEN), work)


# --- enrol ------------------------------------------------------------------------------------------------


def test_a_passphrase_is_enrolled_beside_the_first_key(machine: Machine, work: Work) -> None:
    machine.source(PROMPT, b"five random words")
    found = announced(work)
    apply(step(Step.ENROL_KEY, PROMPT), work)
    assert machine.log == ["add keyslot 1 Argon2id", "token prompt for 1"]
    body = machine.present.tokens[0].fields["volward"]
    assert isinstance(body, dict)
    assert "fingerprint" not in body, "of a passphrase it would be a way around Argon2id"
    assert [(one.number, one.kdf, one.memory_kib % 2) for one in found] == [(1, "argon2id", 1)]
    assert found[0].memory_kib <= work.spec.recovery.memory_kib


def test_a_key_that_opens_already_gets_a_token_and_no_second_keyslot(machine: Machine, work: Work) -> None:
    machine.formatted(slots={0: KEY, 3: b"five random words"})
    machine.source(PROMPT, b"five random words")
    apply(step(Step.ENROL_KEY, PROMPT), work)
    assert machine.log == ["token prompt for 3"]


def test_a_keyslot_that_does_not_open_is_not_described(machine: Machine, work: Work) -> None:
    machine.source(PROMPT, b"five random words")
    machine.obedient = False
    with pytest.raises(KeyRejectedError, match="its key does not open it"):
        apply(step(Step.ENROL_KEY, PROMPT), work)
    assert machine.log == ["add keyslot 1 Argon2id"]


def test_a_key_does_not_vouch_for_itself(machine: Machine, work: Work) -> None:
    """The key to be enrolled opens nothing yet, and the provider that authorises it is asked for its own."""
    prompt = machine.source(PROMPT, b"five random words")
    apply(step(Step.ENROL_KEY, PROMPT), work)
    assert set(work.keys) == {CREDENTIAL, PROMPT}
    assert len(prompt.given) == 1


def test_all_keyslots_are_in_use(machine: Machine, work: Work) -> None:
    machine.formatted(slots={number: KEY if number == 0 else b"%d" % number for number in range(32)})
    machine.source(PROMPT, b"five random words")
    with pytest.raises(KeyRejectedError, match="All 32 keyslots"):
        apply(step(Step.ENROL_KEY, PROMPT), work)
    assert machine.log == []


def test_the_tpm_opens_once_before_it_counts(machine: Machine, work: Work) -> None:
    found = announced(work)
    apply(step(Step.ENROL_TPM2, TPM2), work)
    assert machine.log == ["enrol TPM in 1"]
    assert work.remarks == ("PCR 7 is empty",)
    assert found[0].number == 1
    machine.opener.works = False
    with pytest.raises(KeyRejectedError, match="does not open its keyslot"):
        apply(step(Step.ENROL_TPM2, TPM2), work)


# --- recovery ---------------------------------------------------------------------------------------------


class Owner:
    """Takes a recovery key, or does not."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.taken: list[str] = []

    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        self.taken.append(volume)
        if self.error:
            raise self.error


def test_a_recovery_key_is_enrolled_once_its_owner_has_it(machine: Machine, work: Work) -> None:
    work.recovery = Owner()
    apply(step(Step.ENROL_RECOVERY, ProviderKind.RECOVERY), work)
    assert machine.log == ["add keyslot 1 Argon2id", "token recovery for 1"]
    assert machine.present.tokens[0].confirmed_recovery


def test_one_that_did_not_reach_its_owner_opens_nothing(machine: Machine, work: Work) -> None:
    work.recovery = Owner(ConfirmationError("Not typed back.", resolution="Again."))
    with pytest.raises(ConfirmationError):
        apply(step(Step.ENROL_RECOVERY, ProviderKind.RECOVERY), work)
    assert machine.log == []
    assert machine.slots == {0: KEY}


def test_it_is_wiped_whatever_happens(machine: Machine, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SecretBytes] = []

    def generate() -> SecretBytes:
        made.append(SecretBytes(RECOVERY))
        return made[-1]

    monkeypatch.setattr(recovery, "generate", generate)
    for owner in (Owner(), Owner(ConfirmationError("No.", resolution="Again."))):
        work.recovery = owner
        try:
            apply(step(Step.ENROL_RECOVERY, ProviderKind.RECOVERY), work)
        except ConfirmationError:
            continue
    assert [key.wiped for key in made] == [True, True]


@pytest.mark.parametrize("obstacle", ["no other key", "no keyslot"])
def test_nobody_writes_down_a_key_that_cannot_be_enrolled(machine: Machine, work: Work, obstacle: str) -> None:
    work.recovery = owner = Owner()
    if obstacle == "no keyslot":
        machine.formatted(slots={number: KEY if number == 0 else b"%d" % number for number in range(32)})
    else:
        machine.sources[CREDENTIAL].error = ProviderUnavailableError("Away.", resolution="Wait.")
        machine.source(PROMPT).error = ProviderUnavailableError("Away.", resolution="Wait.")
    with pytest.raises((NoOpenerError, KeyRejectedError)):
        apply(step(Step.ENROL_RECOVERY, ProviderKind.RECOVERY), work)
    assert owner.taken == []


def test_a_recovery_key_that_nobody_could_see_is_a_bug(machine: Machine, work: Work) -> None:
    with pytest.raises(BugError):
        apply(step(Step.ENROL_RECOVERY, ProviderKind.RECOVERY), work)


# --- open -------------------------------------------------------------------------------------------------


def test_a_key_in_hand_opens_without_asking_again(machine: Machine, work: Work) -> None:
    work.take(KeyRef(CREDENTIAL, "volward.pgdata", 1), SecretBytes(KEY))
    open_through_chain(DEVICE.node, work)
    assert machine.log == ["open by key"]
    assert work.opened_by == "credential"
    assert machine.sources[CREDENTIAL].given == []


def test_the_chain_opens_and_says_who_failed_before(machine: Machine, work: Work) -> None:
    denial = KeyDeniedError("The credential is not there.", resolution="Restore it.")
    machine.sources[CREDENTIAL].error = denial
    machine.source(PROMPT, KEY)
    work.spec = replace(work.spec, discard=True)
    open_through_chain(DEVICE.node, work)
    assert machine.log == ["open by key with discard"]
    assert work.opened_by == "prompt"
    assert work.degraded == ("credential: The credential is not there.",)
    assert machine.audited == [("key-denied", "alert", "")]


def test_a_token_opens_without_a_key(machine: Machine, work: Work) -> None:
    machine.tokens((Token(4, "systemd-tpm2", (0,)),))
    work.spec = replace(work.spec, providers=(TPM2, CREDENTIAL))
    open_through_chain(DEVICE.node, work)
    assert machine.log == ["open by token 4"]


def test_with_recovery_nobody_else_is_asked(machine: Machine, work: Work) -> None:
    machine.formatted(slots={0: KEY, 1: RECOVERY})
    machine.source(ProviderKind.RECOVERY, RECOVERY)
    work.ask_recovery = True
    open_through_chain(DEVICE.node, work)
    assert work.opened_by == "recovery"
    assert machine.sources[CREDENTIAL].given == []


# --- an existing key --------------------------------------------------------------------------------------


def test_an_existing_key_comes_with_its_keyslot_and_is_wiped_with_the_work(machine: Machine, work: Work) -> None:
    machine.formatted(slots={0: b"another", 7: KEY})
    held, keyslot = existing_key(DEVICE.node, work)
    assert keyslot == 7
    again, _ = existing_key(DEVICE.node, work)
    assert again is held, "it stays in hand"
    assert len(machine.sources[CREDENTIAL].given) == 1
    assert machine.sources[CREDENTIAL].given[0].wiped
    with work:
        pass
    assert held.key.wiped


def test_a_tpm_is_not_asked_for_bytes(machine: Machine, work: Work) -> None:
    work.spec = replace(work.spec, providers=(TPM2,))
    machine.tokens((Token(4, "systemd-tpm2", (0,)),))
    with pytest.raises((NoOpenerError, KeyDeniedError)):
        existing_key(DEVICE.node, work)
    assert machine.log == []


def test_nobody_has_a_key(machine: Machine, work: Work) -> None:
    machine.formatted(slots={0: b"another"})
    machine.source(PROMPT, b"wrong words")
    with pytest.raises(KeyDeniedError, match="Every provider of pgdata denied"):
        existing_key(DEVICE.node, work)
    assert [event for event, _, _ in machine.audited] == ["key-denied", "key-denied"]


def test_an_unreadable_header_is_damaged(machine: Machine, work: Work) -> None:
    machine.header_presence = Presence.UNKNOWN
    with pytest.raises(DamagedHeaderError):
        existing_key(DEVICE.node, work)


def test_taking_a_second_key_wipes_the_first(machine: Machine, work: Work) -> None:
    first = work.take(KeyRef(PROMPT, "volward.pgdata", 1), SecretBytes(b"one"))
    work.take(KeyRef(PROMPT, "volward.pgdata", 1), SecretBytes(b"two"))
    assert first.key.wiped
