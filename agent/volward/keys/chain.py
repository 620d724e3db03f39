"""The chain: the volume's providers in their order, until one of them opens it. Calls no host commands.

A provider that is *unavailable* is asked again, with jitter, until its deadline, then the next one is tried. A
provider that *denies* (also: a key that opens no keyslot) is never asked again and always alerts; the next
one is tried unless the volume says ``on_denied = "stop"``. What opened the volume and what failed before is
its state. The opening itself, the clock and the chance are passed in.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from volward.errors import (
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
from volward.keys.source import KeyRef, KeySource, TokenOpener
from volward.model import Header, ProviderKind, Token
from volward.secret import SecretBytes

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0

# What one provider may fail with while the next can still succeed. Everything else concerns the volume (a
# busy device, no device mapper) and ends the chain; so does a tool that still runs, since a second try would
# meet the first.
_PROVIDER_FAILURES = (
    ProviderUnavailableError,
    KeyDeniedError,
    KeyRejectedError,
    NoTerminalError,
    ToolMissingError,
    ToolFailedError,
)

OpenByKey = Callable[[SecretBytes, int | None], None]
"""Opens with a key at a keyslot, None: at any. Raises KeyRejectedError when the key opens none."""

OpenByToken = Callable[[TokenOpener, Token], None]
"""Opens through a token. Raises KeyDeniedError, ProviderUnavailableError."""


@dataclass(frozen=True)
class Failure:
    """Why one provider did not open the volume."""

    provider: ProviderKind
    error: VolwardError

    @property
    def denied(self) -> bool:
        """Whether this was a no: trying again cannot help, and somebody should look."""
        return isinstance(self.error, KeyDeniedError | KeyRejectedError)

    @property
    def advice(self) -> str:
        """What to do about it, with the provider that it concerns; "" where only another key helps."""
        return "" if isinstance(self.error, KeyRejectedError) else f"{self.provider}: {self.error.resolution}"

    def __str__(self) -> str:
        return f"{self.provider}: {self.error.what}"


@dataclass(frozen=True)
class ChainOutcome:
    """Who opened the volume, by which key and keyslot (None: not known), and who failed before."""

    opened_by: ProviderKind
    keyslot: int | None
    failures: tuple[Failure, ...] = ()
    ref: KeyRef | None = None  # of the key that opened it; None when a token did

    @property
    def degraded(self) -> bool:
        """Whether a provider that should have opened the volume did not."""
        return bool(self.failures)


@dataclass(frozen=True)
class Patience:
    """How long each provider is asked again while it is unavailable, and what time and chance are."""

    deadline_seconds: float = 30.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random  # 0 to 1


def open_volume(
    volume: str,
    providers: Sequence[KeySource | TokenOpener],
    header: Header,
    *,
    open_by_key: OpenByKey,
    open_by_token: OpenByToken,
    on_denied_stop: bool = False,
    patience: Patience = Patience(),
    alert: Callable[[Failure], None] | None = None,
) -> ChainOutcome:
    """Open the volume by the first provider that can.

    ``alert`` is called once for each denial, when it happens. Raises NoOpenerError when none could and one of
    them may later; KeyDeniedError when all denied, or the first that did with ``on_denied_stop``. Errors that
    concern the volume and not a provider (BusyError, DeviceNotFoundError, ...) pass through.
    """
    failures: list[Failure] = []
    for provider in providers:
        attempt = _Attempt(volume, header, patience)
        try:
            ref, keyslot = (
                (None, attempt.by_token(provider, open_by_token))
                if isinstance(provider, TokenOpener)
                else attempt.by_source(provider, open_by_key)
            )
        except ToolTimeoutError:
            raise
        except _PROVIDER_FAILURES as error:
            failure = Failure(provider.provider, error)
            failures.append(failure)
            if failure.denied and alert is not None:
                alert(failure)
            if failure.denied and on_denied_stop:
                break
        else:
            return ChainOutcome(provider.provider, keyslot, tuple(failures), ref)
    raise _nobody(volume, header, failures, on_denied_stop=on_denied_stop)


class _Attempt:
    """One provider's turn, with its own deadline."""

    def __init__(self, volume: str, header: Header, patience: Patience) -> None:
        self._volume = volume
        self._header = header
        self._patience = patience
        self._end = patience.clock() + patience.deadline_seconds

    @property
    def _left_seconds(self) -> float:
        return max(0.0, self._end - self._patience.clock())

    def by_source(self, source: KeySource, open_by_key: OpenByKey) -> tuple[KeyRef, int | None]:
        """Read the source's keys, newest first, and try each at its keyslots; return which it was, and the keyslot."""
        refusal: VolwardError | None = None
        for ref, keyslots in self._keys_of(source):
            try:
                with self._patiently(partial(self._read, source, ref)) as key:
                    return ref, _try_keyslots(key, keyslots, open_by_key)
            except (KeyDeniedError, KeyRejectedError) as error:
                refusal = refusal or error
        raise refusal or KeyDeniedError(
            f"The provider {source.provider} has no key for {self._volume}.",
            resolution="Open the volume by another key, then enrol one of this provider.",
        )

    def _read(self, source: KeySource, ref: KeyRef) -> SecretBytes:
        return source.read(ref, deadline_seconds=self._left_seconds)

    def _keys_of(self, source: KeySource) -> Iterator[tuple[KeyRef, tuple[int, ...]]]:
        """Yield refs with the keyslots to try: first what the header says, then what else the store has.

        The header counts, not the configured name: a volume may have been renamed. The store's further keys
        matter after a cut between enrolling a key and writing its token.
        """
        enrolled = {keyslot.number for keyslot in self._header.keyslots}
        named: dict[KeyRef, tuple[int, ...]] = {}
        for token in header_token.of_provider(self._header, source.provider):
            slots = tuple(slot for slot in token.keyslots if slot in enrolled)
            named[token.ref] = named.get(token.ref, ()) + slots
        if source.interactive:
            # One question, whatever versions there are: a person types the key that they have.
            ref = next(iter(named), source.first_ref(self._volume))
            yield ref, tuple(slot for slots in named.values() for slot in slots)
            return
        yield from named.items()
        try:
            stored = self._patiently(lambda: source.refs(self._volume, deadline_seconds=self._left_seconds))
        except (KeyDeniedError, ProviderUnavailableError):
            if not named:
                raise
            stored = ()
        for ref in stored:
            if ref not in named:
                yield ref, ()

    def by_token(self, opener: TokenOpener, open_by_token: OpenByToken) -> int | None:
        """Open through the opener's tokens, also those that somebody else enrolled; return the keyslot.

        A token that refuses is not tried again: with a TPM each try may count.
        """
        refusal: VolwardError | None = None
        for token in self._header.tokens:
            if token.type != opener.token_type or not token.keyslots:
                continue
            try:
                self._patiently(partial(open_by_token, opener, token))
            except KeyDeniedError as error:
                refusal = refusal or error
            else:
                return token.keyslots[0] if len(token.keyslots) == 1 else None
        raise refusal or KeyDeniedError(
            f"The header of {self._volume} has no {opener.token_type} token.",
            resolution="Open the volume by another key and enrol this provider: `volward apply`.",
        )

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask until the deadline. What the deadline itself cut off says less than what was answered before it."""
        pause = _FIRST_PAUSE_SECONDS
        answered: ProviderUnavailableError | None = None
        while True:
            try:
                return ask()
            except ProviderUnavailableError as error:
                if answered is None or self._left_seconds > 0:
                    answered = error
                wait = pause * (0.5 + self._patience.chance() / 2)
                if wait >= self._left_seconds:
                    raise answered from None
            self._patience.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _try_keyslots(key: SecretBytes, keyslots: tuple[int, ...], open_by_key: OpenByKey) -> int | None:
    """Try the keyslots that the header names, then all: re-encryption renumbers them."""
    for keyslot in keyslots:
        try:
            open_by_key(key, keyslot)
        except KeyRejectedError:
            continue
        return keyslot
    open_by_key(key, None)
    return None


def _nobody(volume: str, header: Header, failures: list[Failure], *, on_denied_stop: bool) -> VolwardError:
    said = "; ".join(str(failure).rstrip(".") for failure in failures) or "it has no provider"
    way_out = " ".join([*(failure.advice for failure in failures if failure.advice), _way_out(volume, header)])
    if on_denied_stop and failures and failures[-1].denied:
        return KeyDeniedError(
            f"{volume} stays closed after a denial, as `on_denied` says: {said}.",
            resolution=f"Settle why the key was denied. {way_out}",
        )
    if failures and all(failure.denied for failure in failures):
        return KeyDeniedError(f"Every provider of {volume} denied its key: {said}.", resolution=way_out)
    return NoOpenerError(f"No provider could open {volume}: {said}.", resolution=way_out)


def _way_out(volume: str, header: Header) -> str:
    if header_token.recovery_keyslots(header):
        return f"The recovery key opens it: `volward open --recovery {volume}`."
    return (
        f"It has no recovery key. Mend a provider that has a keyslot (`volward status {volume}` lists them), or use a "
        "key that was exported: `cryptsetup open --key-file FILE DEVICE NAME`."
    )
