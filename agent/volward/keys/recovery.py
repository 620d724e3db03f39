"""Recovery keys: 160 random bits in a form that a person can write down and type.

Eight groups of five characters of Crockford's base 32 (no I, L, O, U), joined by dashes. Four characters of a
group are random, the fifth checks them and the group's place p (1 to 8): over GF(32) with a generator a,
check = a^4 (p + c1) + a^3 c2 + a^2 c3 + a c4. So every single wrong character, every two characters swapped
in a group, and every two groups swapped are noticed, and the group is named. What is enrolled is the text as
it is shown, upper case with dashes: stock cryptsetup takes it when it is typed so. Calls no host commands.
"""

import random
from collections.abc import Callable

from volward.errors import NoTerminalError, RecoveryKeyFormatError
from volward.keys.prompt import Ask, ask
from volward.keys.source import KeyRef
from volward.model import ProviderKind
from volward.secret import SecretBytes

GROUPS = 8
GROUP_CHARACTERS = 5
TEXT_BYTES = GROUPS * GROUP_CHARACTERS + GROUPS - 1

_ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_IN_GROUP = GROUP_CHARACTERS - 1
_SKIPPED = b" \t-_\r\n"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_VALUES |= {ord(chr(character).lower()): value for character, value in _VALUES.items()}
_VALUES |= dict.fromkeys(b"Oo", 0) | dict.fromkeys(b"ILil", 1)

_ATTEMPTS = 3


def generate() -> SecretBytes:
    """Return a new recovery key: its canonical text, 47 bytes."""
    text = bytearray()
    with SecretBytes.random(GROUPS * _RANDOM_IN_GROUP) as chance, chance.view() as view:
        for place in range(GROUPS):
            digits = bytearray(view[place * _RANDOM_IN_GROUP + i] & 31 for i in range(_RANDOM_IN_GROUP))
            if place:
                text.append(ord("-"))
            text.extend(_ALPHABET[digit] for digit in digits)
            text.append(_ALPHABET[_check(digits, place)])
            digits[:] = bytes(len(digits))
    return SecretBytes(text)


def parse(typed: SecretBytes) -> SecretBytes:
    """Return the canonical text of a key as somebody typed it.

    Case, spaces and dashes do not matter; O is read as 0, I and L as 1. Raises RecoveryKeyFormatError, which
    names the groups to look at and never quotes them.
    """
    digits = bytearray(GROUPS * GROUP_CHARACTERS)
    try:
        _digits(typed, digits, "The recovery key")
        wrong = [place for place in range(GROUPS) if not _fits(digits, place, place)]
        if wrong:
            raise RecoveryKeyFormatError(
                f"{_named(wrong)} of the recovery key {'does' if len(wrong) == 1 else 'do'} not check."
                + (" They seem to be in each other's place." if _swapped(digits, wrong) else ""),
                resolution="Compare with what was written down, character by character.",
            )
        return _text(digits)
    finally:
        digits[:] = bytes(len(digits))


def choose_groups() -> tuple[int, int]:
    """Return two different groups, counted from 1 and in order, for the owner to type back."""
    first, second = sorted(random.SystemRandom().sample(range(1, GROUPS + 1), 2))
    return first, second


def check_group(key: SecretBytes, group: int, typed: SecretBytes) -> bool:
    """Return whether ``typed`` is that group (from 1) of ``key``, which is in canonical form.

    Raises RecoveryKeyFormatError when it is not five characters of a recovery key.
    """
    digits = bytearray(GROUP_CHARACTERS)
    try:
        _digits(typed, digits, f"Group {group}")
        start = (group - 1) * (GROUP_CHARACTERS + 1)
        with key.view() as view:
            return all(view[start + i] == _ALPHABET[digit] for i, digit in enumerate(digits))
    finally:
        digits[:] = bytes(len(digits))


def _digits(typed: SecretBytes, digits: bytearray, what: str) -> None:
    """Fill ``digits`` with the values of the characters. Raises RecoveryKeyFormatError."""
    count = 0
    with typed.view() as view:
        for character in view:
            if character in _SKIPPED:
                continue
            value = _VALUES.get(character)
            if value is None:
                group, place = divmod(count, GROUP_CHARACTERS)
                where = f"Character {place + 1} of group {group + 1}" if len(digits) > GROUP_CHARACTERS else what
                raise RecoveryKeyFormatError(
                    f"{where} is not one of a recovery key's.",
                    resolution="It has digits and letters without I, L, O and U; spaces and dashes do not matter.",
                )
            if count < len(digits):
                digits[count] = value
            count += 1
    if count != len(digits):
        raise RecoveryKeyFormatError(
            f"{what} has {len(digits)} characters, and {count} were typed.",
            resolution=f"There are {len(digits) // GROUP_CHARACTERS} groups of {GROUP_CHARACTERS} to type.",
        )


def _fits(digits: bytearray, group: int, place: int) -> bool:
    start = group * GROUP_CHARACTERS
    return _check(digits[start : start + _RANDOM_IN_GROUP], place) == digits[start + _RANDOM_IN_GROUP]


def _swapped(digits: bytearray, wrong: list[int]) -> bool:
    return len(wrong) == 2 and _fits(digits, wrong[0], wrong[1]) and _fits(digits, wrong[1], wrong[0])


def _text(digits: bytearray) -> SecretBytes:
    text = bytearray()
    for place in range(GROUPS):
        if place:
            text.append(ord("-"))
        start = place * GROUP_CHARACTERS
        text.extend(_ALPHABET[digit] for digit in digits[start : start + GROUP_CHARACTERS])
    return SecretBytes(text)


def _check(digits: bytearray, place: int) -> int:
    """Return the check of four digits at a place (from 0): no two places share one for the same digits."""
    check = place + 1
    for digit in digits:
        check = _times_a(check)
        check ^= _times_a(digit)
    return check


def _named(wrong: list[int]) -> str:
    if len(wrong) == GROUPS:
        return "All groups"
    numbers = [str(place + 1) for place in wrong]
    return f"Group {numbers[0]}" if len(numbers) == 1 else f"Groups {', '.join(numbers[:-1])} and {numbers[-1]}"


def _times_a(value: int) -> int:
    """Multiply by the generator of GF(32) with x^5 + x^2 + 1."""
    value <<= 1
    return value ^ 0b100101 if value & 32 else value


class RecoverySource:
    """The recovery key as a KeySource: typed by its owner; new ones are shown by ``confirm`` before they count.

    ``confirm`` shows the key, has part of it typed back and raises when that fails: nothing is enrolled then.
    """

    provider = ProviderKind.RECOVERY
    interactive = True

    def __init__(self, *, confirm: Callable[[SecretBytes], None] | None = None, ask_for: Ask | None = None) -> None:
        self._confirm = confirm
        self._ask = ask_for or _ask_aloud
        self._created: SecretBytes | None = None

    def first_ref(self, volume: str) -> KeyRef:
        """Return the ref of the volume's recovery key."""
        return KeyRef(self.provider, f"{volume}.recovery", 1)

    def next_ref(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> KeyRef:  # noqa: ARG002
        """Return the same ref: what a person types has no versions."""
        return ref

    def refs(self, volume: str, *, deadline_seconds: float = 0.0) -> tuple[KeyRef, ...]:  # noqa: ARG002
        """Return one ref: a recovery key may always be typed."""
        return (self.first_ref(volume),)

    def present(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> bool:  # noqa: ARG002
        """Return True: whether its owner has it shows when it is asked for."""
        return True

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float = 0.0) -> KeyRef:  # noqa: ARG002
        """Generate a key and have it confirmed; the next ``read`` returns it. ``adopt``: the owner types one."""
        key = self._typed(ref) if adopt else generate()
        try:
            if not adopt:
                if self._confirm is None:
                    raise NoTerminalError(
                        "A recovery key was to be made, and nobody is there to see it.",
                        resolution="Run the command on a terminal, or use `--recovery-vault` or `--recovery-fd`.",
                    )
                self._confirm(key)
        except BaseException:
            key.wipe()
            raise
        if self._created is not None:
            self._created.wipe()
        self._created = key
        return ref

    def read(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> SecretBytes:  # noqa: ARG002
        """Return the key just created, once; otherwise ask for it, three times at most."""
        if self._created is not None:
            key, self._created = self._created, None
            return key
        return self._typed(ref)

    def _typed(self, ref: KeyRef) -> SecretBytes:
        question = f"Recovery key for {ref.name.removesuffix('.recovery')}:"
        for _ in range(_ATTEMPTS - 1):
            with self._ask(question) as typed:
                try:
                    return parse(typed)
                except RecoveryKeyFormatError as error:
                    question = f"{error.what} Again:"
        with self._ask(question) as typed:
            return parse(typed)


def _ask_aloud(question: str) -> SecretBytes:
    """Ask with echo: forty characters are hard to type blindly, and the owner holds them on paper anyway."""
    return ask(question, echo=True)
