"""Recovery keys: what a person mistypes is noticed, named and never quoted."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volward.errors import NoTerminalError, RecoveryKeyFormatError
from volward.keys import prompt, recovery
from volward.keys.recovery import RecoverySource
from volward.keys.source import KeyRef
from volward.model import ProviderKind
from volward.secret import SecretBytes

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
REF = KeyRef(ProviderKind.RECOVERY, "pgdata.recovery", 1)


def text_of(secret: SecretBytes) -> str:
    with secret, secret.view() as view:
        return bytes(view).decode()


def fresh() -> str:
    return text_of(recovery.generate())


def parse(typed: str) -> str:
    with SecretBytes(typed.encode()) as secret:
        return text_of(recovery.parse(secret))


KEY = fresh()


def test_the_form() -> None:
    assert re.fullmatch(rf"[{ALPHABET}]{{5}}(-[{ALPHABET}]{{5}}){{7}}", KEY)
    assert len(KEY) == recovery.TEXT_BYTES == 47
    assert len({fresh() for _ in range(50)}) == 50


def test_every_character_occurs() -> None:
    assert set("".join(fresh() for _ in range(100))) == {*ALPHABET, "-"}


@pytest.mark.parametrize(
    "change",
    [
        str,
        str.lower,
        lambda key: key.replace("-", ""),
        lambda key: key.replace("-", " "),
        lambda key: f"  {key}\t",
        lambda key: key.replace("0", "O").replace("1", "I"),
        lambda key: key.replace("0", "o").replace("1", "l"),
        lambda key: key.replace("1", "L").replace("1", "i"),
    ],
)
def test_what_does_not_matter(change: object) -> None:
    for key in (KEY, fresh(), fresh()):
        assert parse(change(key)) == key  # type: ignore[operator]


def test_every_single_wrong_character_names_its_group() -> None:
    for place, right in enumerate(KEY):
        if right == "-":
            continue
        for wrong in ALPHABET.replace(right, ""):
            with pytest.raises(RecoveryKeyFormatError, match=rf"^Group {place // 6 + 1} of the recovery key does not"):
                parse(KEY[:place] + wrong + KEY[place + 1 :])


def test_two_characters_swapped_within_a_group_are_noticed() -> None:
    for group in range(8):
        for first in range(5):
            for second in range(first + 1, 5):
                letters = list(KEY)
                a, b = group * 6 + first, group * 6 + second
                letters[a], letters[b] = letters[b], letters[a]
                if letters != list(KEY):
                    with pytest.raises(RecoveryKeyFormatError, match=f"Group {group + 1} "):
                        parse("".join(letters))


def test_swapped_groups_are_noticed_and_told() -> None:
    groups = KEY.split("-")
    for first in range(8):
        for second in range(first + 1, 8):
            changed = list(groups)
            changed[first], changed[second] = changed[second], changed[first]
            if changed != groups:
                expected = rf"Groups {first + 1} and {second + 1} .* do not check\. They seem to be in each other"
                with pytest.raises(RecoveryKeyFormatError, match=expected):
                    parse("-".join(changed))


def test_the_key_of_nothing_is_no_key() -> None:
    with pytest.raises(RecoveryKeyFormatError, match="All groups"):
        parse("0" * 40)


@given(st.binary(min_size=1, max_size=80))
def test_anything_typed_gets_an_answer_that_does_not_quote_it(typed: bytes) -> None:
    with SecretBytes(typed) as secret, pytest.raises(RecoveryKeyFormatError) as caught:
        recovery.parse(secret)
    assert caught.value.resolution
    if len(typed) > 8:
        assert typed.decode(errors="replace") not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (KEY[:-1], "40 characters, and 39 were"),
        (KEY + "A", "40 characters, and 41 were"),
        ("--- ", "and 0 were"),
        (KEY[:8] + "U" + KEY[9:], "Character 3 of group 2"),
        (KEY[:8] + "ü" + KEY[9:], "Character 3 of group 2"),
    ],
    ids=["one less", "one more", "none", "a letter that is not used", "a letter of another alphabet"],
)
def test_wrong_lengths_and_characters(typed: str, message: str) -> None:
    with pytest.raises(RecoveryKeyFormatError, match=message):
        parse(typed)


def test_typing_back() -> None:
    chosen = {recovery.choose_groups() for _ in range(500)}
    assert {group for pair in chosen for group in pair} == set(range(1, 9))
    assert all(first < second for first, second in chosen)
    groups = KEY.split("-")
    with SecretBytes(KEY.encode()) as key:
        for number, group in enumerate(groups, start=1):
            with SecretBytes(group.lower().encode()) as typed:
                assert recovery.check_group(key, number, typed)
        with SecretBytes(groups[0].encode()) as typed:
            assert recovery.check_group(key, 2, typed) is (groups[0] == groups[1])
        for wrong in (b"ABC", b"ABCDEF", b"ABC!E"):
            with SecretBytes(wrong) as typed, pytest.raises(RecoveryKeyFormatError, match="Group 2"):
                recovery.check_group(key, 2, typed)


class Person:
    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.questions: list[str] = []

    def __call__(self, question: str) -> SecretBytes:
        self.questions.append(question)
        return SecretBytes(self.answers.pop(0).encode())


def test_a_new_key_is_confirmed_before_it_counts_and_read_once() -> None:
    shown: list[str] = []

    def confirm(key: SecretBytes) -> None:
        with key.view() as view:
            shown.append(bytes(view).decode())

    person = Person(KEY)
    source = RecoverySource(confirm=confirm, ask_for=person)
    assert source.create(source.first_ref("pgdata"), adopt=False) == REF
    assert source.create(REF, adopt=False) == REF
    assert text_of(source.read(REF)) == shown[1]
    assert text_of(source.read(REF)) == KEY
    assert person.questions == ["Recovery key for pgdata:"]
    assert source.present(REF)
    assert source.refs("pgdata") == (REF,)


def test_a_key_that_is_not_confirmed_is_wiped() -> None:
    seen: list[SecretBytes] = []

    def confirm(key: SecretBytes) -> None:
        seen.append(key)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RecoverySource(confirm=confirm).create(REF, adopt=False)
    assert seen[0].wiped
    with pytest.raises(NoTerminalError):
        RecoverySource().create(REF, adopt=False)


def test_an_existing_key_is_adopted_by_typing_it() -> None:
    source = RecoverySource(ask_for=Person(KEY.lower()))
    source.create(REF, adopt=True)
    assert text_of(source.read(REF)) == KEY


def test_a_typo_is_asked_again_with_its_reason_three_times() -> None:
    person = Person(KEY[:-1], "x", KEY)
    assert text_of(RecoverySource(ask_for=person).read(REF)) == KEY
    assert "39 were typed" in person.questions[1]
    with pytest.raises(RecoveryKeyFormatError):
        RecoverySource(ask_for=Person("a", "b", "c", KEY)).read(REF)


def test_a_recovery_key_is_typed_with_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def ask(question: str, *, echo: bool) -> SecretBytes:
        asked.append(echo)
        return SecretBytes(KEY.encode())

    monkeypatch.setattr(recovery, "ask", ask)
    assert text_of(RecoverySource().read(REF)) == KEY
    assert asked == [True]
    assert prompt.ask is not ask


def test_what_a_person_has_knows_no_versions() -> None:
    ref = RecoverySource().first_ref("data")
    assert RecoverySource().next_ref(ref) == ref
