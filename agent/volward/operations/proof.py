"""Whether the providers of a volume open it, tested one by one; changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from volward import audit
from volward.apply import Work
from volward.apply.keys import resolved
from volward.errors import KeyDeniedError, KeyRejectedError, VolwardError
from volward.host import cryptsetup
from volward.keys import header_token
from volward.keys.providers import Providers
from volward.keys.source import KeySource, TokenOpener
from volward.model import Header, ProviderKind, VolumeSpec


@dataclass(frozen=True)
class Tried:
    """What came of one provider. ``why_not`` is empty when it opens the volume."""

    provider: ProviderKind
    why_not: str = ""
    resolution: str = ""
    enrolled: bool = True  # the header has a keyslot of it
    asks: bool = False  # it asks a person, and was not tried
    denied: bool = False  # it was a no, which asking again does not change


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
            yield _try(provider, node, header, deadline_seconds)
        except VolwardError as error:
            denied = isinstance(error, KeyDeniedError | KeyRejectedError)
            yield Tried(kind, error.what, error.resolution, denied=denied)


def doubts(spec: VolumeSpec, header: Header, but: ProviderKind | None, work: Work) -> tuple[str, ...]:
    """Return a sentence for each enrolled provider, except ``but``, that does not open the volume now.

    A provider that asks somebody is not asked. Each doubt is an alert in the audit record as well.
    """
    found = []
    node = resolved(work).node
    for one in try_each(spec, header, node, work.providers, but=but, deadline_seconds=work.deadline_seconds):
        if one.enrolled and one.why_not:
            found.append(f"{one.provider} was left as it was, and could not be shown to open the volume: {one.why_not}")
            audit.record("key-doubt", spec.name, audit.Outcome.ALERT, f"{spec.name}: {found[-1]}")
    return tuple(found)


def _try(provider: KeySource | TokenOpener, node: Path, header: Header, deadline_seconds: float) -> Tried:
    kind = provider.provider
    if isinstance(provider, TokenOpener):
        tokens = [token for token in header.tokens if token.type == provider.token_type and token.keyslots]
        if not tokens:
            return _not_enrolled(kind)
        fits, why_not = any(provider.test(node, token) for token in tokens), "its token does not open its keyslot."
    else:
        described = next(iter(header_token.of_provider(header, kind)), None)
        if described is None or not described.keyslots:
            return _not_enrolled(kind)
        with provider.read(described.ref, deadline_seconds=deadline_seconds) as key:
            fits = any(cryptsetup.test_key(node, key, keyslot=number) for number in described.keyslots)
        why_not = "its key opens none of its keyslots."
    return Tried(kind) if fits else Tried(kind, why_not, denied=True)


def _not_enrolled(kind: ProviderKind) -> Tried:
    return Tried(kind, "it has no keyslot in the header.", "`volward apply` enrols it.", enrolled=False, denied=True)
