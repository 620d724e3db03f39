"""Whether the providers of a volume open it, tested one by one; changes nothing."""

from pathlib import Path

from volward import audit
from volward.apply import Work
from volward.apply.keys import resolved
from volward.errors import VolwardError
from volward.host import cryptsetup
from volward.keys import header_token
from volward.keys.source import KeySource, TokenOpener
from volward.model import Header, ProviderKind, VolumeSpec


def doubts(spec: VolumeSpec, header: Header, but: ProviderKind | None, work: Work) -> tuple[str, ...]:
    """Return a sentence for each enrolled provider, except ``but``, that does not open the volume now.

    A provider that asks somebody is not asked. Each doubt is an alert in the audit record as well.
    """
    found = []
    node = resolved(work).node
    for provider in work.providers.chain_of(spec):
        if provider.provider is but or (not isinstance(provider, TokenOpener) and provider.interactive):
            continue
        try:
            why = _why_not(provider, node, header, work.deadline_seconds)
        except VolwardError as error:
            why = error.what
        if why:
            found.append(f"{provider.provider} was left as it was, and could not be shown to open the volume: {why}")
            audit.record("key-doubt", spec.name, audit.Outcome.ALERT, f"{spec.name}: {found[-1]}")
    return tuple(found)


def _why_not(provider: KeySource | TokenOpener, node: Path, header: Header, deadline_seconds: float) -> str:
    if isinstance(provider, TokenOpener):
        tokens = [token for token in header.tokens if token.type == provider.token_type and token.keyslots]
        if not tokens or any(provider.test(node, token) for token in tokens):
            return ""
        return "its token does not open its keyslot."
    described = next(iter(header_token.of_provider(header, provider.provider)), None)
    if described is None or not described.keyslots:
        return ""
    with provider.read(described.ref, deadline_seconds=deadline_seconds) as key:
        fits = any(cryptsetup.test_key(node, key, keyslot=number) for number in described.keyslots)
    return "" if fits else "its key opens none of its keyslots."
