"""The keys of a re-encryption: read or asked for, tried, and shown before a keyslot is left behind."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from volward.apply import Work
from volward.apply.keyslot import keyslot_of
from volward.errors import KeyRejectedError, NoOpenerError, VerificationError, VolwardError
from volward.host import cryptsetup
from volward.host.cryptsetup import KeyslotProof
from volward.keys import header_token
from volward.keys.ages import TYPED
from volward.keys.source import KeyRef
from volward.model import Header, Keyslot, ProviderKind, Reencryption, Token
from volward.plan.reencryption import LEAST_KEYS
from volward.secret import SecretBytes


class Keys:
    """The keys at hand, by the keyslot that each opens, until the operation ends."""

    def __init__(
        self, header: Header, node: Path, work: Work, wiped: ExitStack, header_now: Callable[[], Header]
    ) -> None:
        """``header`` is the one of the plan, ``header_now`` reads it again; ``wiped`` ends with the operation."""
        self.node = node
        self.by_keyslot: dict[int, SecretBytes] = {}
        self._header, self._work, self._wiped, self._header_now = header, work, wiped, header_now

    def every(self) -> list[SecretBytes]:
        """Return the keys at hand, by the numbers of their keyslots."""
        return [self.by_keyslot[number] for number in sorted(self.by_keyslot)]

    def gather(self, wish: Reencryption, *, all_of_them: bool) -> None:
        """Read or ask for the keys of the carried keyslots and try each; of a resumed one any key will do.

        Then a store that cannot be reached is passed over, and what people type is asked for last. Raises NoOpenerError
        when there are too few, with all that was said; of a new one also what the stores raise, and KeyRejectedError
        for a key that opens none of its keyslots.
        """
        numbers = wish.carried if all_of_them else tuple(k.number for k in self._header.keyslots if k.opens_data)
        said: list[str] = []
        for kind, ref, its in self._readable(numbers):
            try:
                self._read(kind, ref, its, all_of_them=all_of_them)
            except VolwardError as error:
                if all_of_them:
                    raise
                said.append(f"{ref or kind}: {error.what}")
            if self.by_keyslot and not all_of_them:
                return
        least = LEAST_KEYS - wish.new_recovery if all_of_them else 1
        if len(self.by_keyslot) < least:
            raise NoOpenerError(
                " ".join([f"Only {len(self.by_keyslot)} key of {self._work.spec.name} is at hand.", *said]),
                resolution="On a terminal, the recovery key is asked for and counts.",
            )
        if all_of_them and (locked := sorted(set(numbers) - set(self.by_keyslot))):
            raise KeyRejectedError(
                f"Keyslot {locked[0]} of {self._work.spec.name} is opened by none of the keys that its token names.",
                resolution="Nothing was changed. `volward preflight` tries every key.",
            )

    def add_successor(self) -> None:
        """Count the recovery key that was just handed over and enrolled. Raises KeyRejectedError when it opens none."""
        held = self._work.successor
        keyslot = keyslot_of(self.node, self._header_now(), held.key) if held else None
        if held is None or keyslot is None:
            raise KeyRejectedError(
                f"The new recovery key opens no keyslot of {self._work.spec.name}.",
                resolution="The other keys still open the volume. Run the same command again for another one.",
            )
        self.by_keyslot[keyslot] = held.key

    def leave(self, number: int | None) -> None:
        """Remove a keyslot that is not carried over, and the tokens that name it alone.

        Raises NoOpenerError with fewer than two keys in hand, VerificationError when it is another one than was
        planned: somebody may have filled it since.
        """
        if len(self.by_keyslot) < LEAST_KEYS:
            raise NoOpenerError(
                f"Only {len(self.by_keyslot)} key of {self._work.spec.name} is at hand, so no keyslot was removed.",
                resolution="Run the same command again.",
            )
        present = self._header_now()
        if number is None or _described(present, number) != _described(self._header, number):
            raise VerificationError(
                f"Keyslot {number} of {self._work.spec.name} is not the one any more that was to be removed.",
                resolution=f"It was left alone. Run `volward rotate --volume-key {self._work.spec.name}` and look at "
                "its plan again.",
            )
        keyslot, key = next(iter(sorted(self.by_keyslot.items())))
        for token in present.tokens:
            if set(token.keyslots) == {number}:
                cryptsetup.remove_token(self.node, token.number)
        cryptsetup.kill_slot(self.node, keyslot=number, proof=KeyslotProof(keyslot, key))

    def _readable(self, numbers: Sequence[int]) -> list[tuple[ProviderKind, KeyRef | None, list[int]]]:
        """Return what can be read or asked for, with the keyslots that it opens: stored keys first, recovery last."""
        found: dict[tuple[ProviderKind, KeyRef | None], list[int]] = {}
        for _, content in header_token.all_of(self._header):
            kind = content.ref.provider
            of = (kind, None if kind in TYPED else content.ref)
            found.setdefault(of, []).extend(number for number in content.keyslots if number in numbers)
        for token in self._header.tokens:
            if token.type == header_token.SYSTEMD_RECOVERY:
                own = found.setdefault((ProviderKind.RECOVERY, None), [])
                own += [number for number in token.keyslots if number in numbers]
        readable = [(kind, ref, its) for (kind, ref), its in found.items() if its]
        return sorted(readable, key=lambda one: (one[0] in TYPED, one[0] is ProviderKind.RECOVERY))

    def _read(self, kind: ProviderKind, ref: KeyRef | None, numbers: list[int], *, all_of_them: bool) -> None:
        """Read a stored key once; what a person types is asked for until it was shown for all keyslots, or for one."""
        source = self._work.providers.source(kind, self._work.spec)
        what = ref or source.first_ref(self._work.spec.name)
        while left := [number for number in numbers if number not in self.by_keyslot]:
            key = self._wiped.enter_context(source.read(what, deadline_seconds=self._work.deadline_seconds))
            self._match(key, left, str(ref or f"the {kind} key"), all_of_them=all_of_them)
            with key.view() as view:  # what is enrolled later is authorised by it, and nobody is asked again
                self._work.take(what, SecretBytes(view))
            if ref is not None or not all_of_them:
                return

    def _match(self, key: SecretBytes, numbers: Sequence[int], name: str, *, all_of_them: bool) -> None:
        # While two volume keys are in use, a keyslot opens one of them, and cryptsetup, asked for that keyslot alone,
        # ends with status 1 for every key that fits (2.6.1): then only the keyslots together tell.
        fits = [
            number for number in numbers if cryptsetup.test_key(self.node, key, keyslot=number if all_of_them else None)
        ]
        if not fits:
            raise KeyRejectedError(
                f"{name} opens none of the keyslots {', '.join(map(str, numbers))} of {self._work.spec.name}.",
                resolution="Nothing was changed. `volward preflight` tries every key.",
            )
        self.by_keyslot |= dict.fromkeys(fits, key)


def _described(header: Header, number: int) -> tuple[list[Keyslot], list[Token]]:
    """Return a keyslot and the tokens that name it."""
    keyslots = [keyslot for keyslot in header.keyslots if keyslot.number == number]
    return keyslots, [token for token in header.tokens if number in token.keyslots]
