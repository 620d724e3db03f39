"""How old the keys of a header are, and which of them a successor has replaced: by volward's own tokens. Pure."""

from volward.keys import header_token
from volward.keys.header_token import HeaderToken
from volward.model import DAY_SECONDS, Header, ProviderKind, VolumeSpec

TYPED = frozenset({ProviderKind.PROMPT, ProviderKind.RECOVERY})  # a person holds them: no timer replaces them


def stored_kinds(spec: VolumeSpec) -> tuple[ProviderKind, ...]:
    """Return the volume's providers that keep a key by themselves, in their order."""
    return tuple(kind for kind in spec.providers if kind not in TYPED and kind is not ProviderKind.TPM2)


def current(header: Header, provider: ProviderKind) -> HeaderToken | None:
    """Return the token of the provider's present key, None when no keyslot has one."""
    there = {keyslot.number for keyslot in header.keyslots}
    found = header_token.of_provider(header, provider)
    return next((one for one in found if one.retired is None and there & set(one.keyslots)), None)


def retired(header: Header) -> tuple[tuple[int, HeaderToken], ...]:
    """Return the retired keyslots that are still there, each with its token."""
    there = {keyslot.number for keyslot in header.keyslots}
    return tuple(
        (number, content)
        for _, content in header_token.all_of(header)
        if content.retired is not None
        for number in content.keyslots
        if number in there
    )


def days(seconds: int) -> str:
    """Return '1 day', '12 days', rounded down."""
    number = seconds // DAY_SECONDS
    return f"{number} day{'' if number == 1 else 's'}"
