"""Whether the providers of a volume open it, tested one by one; changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from volward import audit
from volward.apply import Work
from volward.apply.target import resolved
from volward.errors import KeyDeniedError, KeyRejectedError, ProviderUnavailableError, VolwardError
from volward.host import cryptsetup
from volward.keys import header_token
from volward.keys.providers import Providers
from volward.keys.source import KeyRef, KeySource, TokenOpener
from volward.model import Header, ProviderKind, VolumeSpec


@dataclass(frozen=True)
class Tried:
    """What came of one provider. ``why_not`` is empty when it opens the volume; ``doubt``: by an older key alone."""

    provider: ProviderKind
    why_not: str = ""
    resolution: str = ""
    enrolled: bool = True  # the header has a keyslot of it
    asks: bool = False  # it asks a person, and was not tried
    denied: bool = False  # it was a no, which asking again does not change
    doubt: str = ""  # why its newest key does not open the volume


def try_each(
    spec: VolumeSpec,
    header: Header,
    node: Path,
    providers: Providers,
    *,
    but: ProviderKind | None = None,
    deadline_seconds: float,
) -> Iterator[Tried]:
    """Test the keyslots of each provider except ``but``, in the volume's order; never raises for one that fails."""
    for provider in providers.chain_of(spec):
        kind = provider.provider
        if kind is but:
            continue
        if not isinstance(provider, TokenOpener) and provider.interactive:
            yield Tried(kind, asks=True)
            continue
        try:
            if isinstance(provider, TokenOpener):
                yield _by_token(provider, node, header)
            else:
                yield _by_key(provider, spec.name, node, header, deadline_seconds)
        except VolwardError as error:
            denied = isinstance(error, KeyDeniedError | KeyRejectedError)
            enrolled = isinstance(provider, TokenOpener) or bool(_named(header, kind))
            yield Tried(kind, error.what, error.resolution, enrolled=enrolled, denied=denied)


def doubts(spec: VolumeSpec, header: Header, but: ProviderKind | None, work: Work) -> tuple[str, ...]:
    """Return a sentence for each enrolled provider, except ``but``, whose newest key does not open the volume now.

    A provider that asks somebody is not asked. Each doubt is an alert in the audit record as well.
    """
    found = []
    node = resolved(work).node
    for one in try_each(spec, header, node, work.providers, but=but, deadline_seconds=work.deadline_seconds):
        why = one.why_not or one.doubt
        if one.enrolled and why:
            found.append(f"{one.provider} was left as it was, and could not be shown to open the volume: {why}")
            audit.record("key-doubt", spec.name, audit.Outcome.ALERT, f"{spec.name}: {found[-1]}")
    return tuple(found)


def _by_token(opener: TokenOpener, node: Path, header: Header) -> Tried:
    tokens = [token for token in header.tokens if token.type == opener.token_type and token.keyslots]
    if not tokens:
        return _not_enrolled(opener.provider)
    if any(opener.test(node, token) for token in tokens):
        return Tried(opener.provider)
    return Tried(opener.provider, "its token does not open its keyslot.", denied=True)


def _by_key(source: KeySource, volume: str, node: Path, header: Header, deadline_seconds: float) -> Tried:
    """Try the keys that the chain would try, in its order: one that is denied does not end the provider's turn."""
    refusal: Tried | None = None
    for ref, keyslots in _keys(source, volume, header, deadline_seconds):
        try:
            with source.read(ref, deadline_seconds=deadline_seconds) as key:
                places = (*keyslots, None)  # None: re-encryption renumbers them
                if any(cryptsetup.test_key(node, key, keyslot=place) for place in places):
                    return Tried(source.provider, doubt=refusal.why_not if refusal else "")
                why, mend = "its key opens none of its keyslots.", ""
        except (KeyDeniedError, KeyRejectedError) as error:
            why, mend = error.what, error.resolution
        refusal = refusal or Tried(source.provider, why, mend, denied=True)
    if refusal is None or not _named(header, source.provider):
        return _not_enrolled(source.provider)
    return refusal


def _keys(
    source: KeySource, volume: str, header: Header, deadline_seconds: float
) -> Iterator[tuple[KeyRef, tuple[int, ...]]]:
    named = _named(header, source.provider)
    yield from named.items()
    try:
        stored = source.refs(volume, deadline_seconds=deadline_seconds)
    except (KeyDeniedError, ProviderUnavailableError):
        if not named:
            raise
        return
    yield from ((ref, ()) for ref in stored if ref not in named)


def _named(header: Header, kind: ProviderKind) -> dict[KeyRef, tuple[int, ...]]:
    return {one.ref: one.keyslots for one in header_token.of_provider(header, kind) if one.keyslots}


def _not_enrolled(kind: ProviderKind) -> Tried:
    return Tried(kind, "it has no keyslot in the header.", "`volward apply` enrols it.", enrolled=False, denied=True)
