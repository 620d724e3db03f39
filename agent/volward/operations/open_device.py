"""open_device: open a mapping from what the header says, on any host and without a volume in the configuration.

For a disk that was moved, or a host whose configuration is lost. Nothing is mounted, nothing is written.
"""

from functools import partial
from pathlib import Path

from volward import audit
from volward.apply.target import read_header
from volward.errors import DamagedHeaderError, DeviceNotFoundError, KeyDeniedError, VolwardError
from volward.host import cryptsetup
from volward.keys import chain, header_token
from volward.keys.chain import ChainOutcome, Failure, Patience
from volward.keys.credential import CredentialSource
from volward.keys.providers import Providers
from volward.keys.recovery import RecoverySource
from volward.keys.source import KeyPurpose, KeySource, TokenOpener
from volward.keys.tpm2 import Tpm2Opener
from volward.model import Header, ProviderKind, VaultPlace, VaultServer
from volward.os_errors import explained


def open_device(
    device: Path,
    name: str,
    *,
    server: VaultServer | None,
    providers: Providers,
    deadline_seconds: float,
    read_only: bool = False,
    ask_recovery: bool = False,
) -> ChainOutcome:
    """Open ``device`` as mapping ``name`` by the first key that its tokens name; return who did.

    ``server`` is where keys in Vault are asked for; paths and wrapped keys come from the header. Raises
    DeviceNotFoundError, DamagedHeaderError, NoOpenerError, KeyDeniedError, BusyError.
    """
    with explained(f"Opening {device}"):
        if not device.exists():
            raise DeviceNotFoundError(f"{device} is not there.", resolution="Look at `lsblk` and /dev/disk/by-id.")
        header = read_header(device)
        if header.requirements:
            raise DamagedHeaderError(
                f"{device} has an unfinished re-encryption ({', '.join(header.requirements)}).",
                resolution=f"Finish it first: `cryptsetup reencrypt --resume-only {device}`.",
            )
        volume = header.label or name
        sources = _chain(header, volume, server, providers, ask_recovery=ask_recovery)
        try:
            outcome = chain.open_volume(
                volume,
                sources,
                header,
                open_by_key=lambda key, keyslot: cryptsetup.open(
                    device, name, key=key, keyslot=keyslot, discard=False, read_only=read_only
                ),
                open_by_token=lambda opener, token: opener.open(
                    device, name, token, discard=False, read_only=read_only
                ),
                patience=Patience(deadline_seconds),
                alert=partial(_alert, volume),
            )
        except VolwardError as error:
            audit.record("open-device", volume, audit.Outcome.FAILED, f"{device}: {error}", code=error.code)
            raise
        audit.record("open-device", volume, audit.Outcome.DONE, f"{device}: open as {name} by {outcome.opened_by}")
        return outcome


def _chain(
    header: Header, volume: str, server: VaultServer | None, providers: Providers, *, ask_recovery: bool
) -> tuple[KeySource | TokenOpener, ...]:
    """Return a provider for each kind of key that the tokens name, in their order; nobody is asked but on demand."""
    if ask_recovery:
        return (RecoverySource(),)
    kinds = dict.fromkeys(content.ref.provider for _, content in header_token.all_of(header))
    sources: list[KeySource | TokenOpener] = []
    for kind in kinds:
        if kind is ProviderKind.VAULT:
            place = None if server is None else VaultPlace(server)
            sources.append(providers.vault(place, KeyPurpose(volume=volume)))
        elif kind is ProviderKind.CREDENTIAL:
            sources.append(CredentialSource())
    if any(token.type == Tpm2Opener.token_type for token in header.tokens):
        sources.append(Tpm2Opener())
    if not sources:
        named = ", ".join(kinds) or "nothing"
        raise KeyDeniedError(
            f"The tokens of the header name {named}, which opens no volume without a person.",
            resolution="`volward open --recovery --device …` asks for the recovery key.",
        )
    return tuple(sources)


def _alert(volume: str, failure: Failure) -> None:
    audit.record("key-denied", volume, audit.Outcome.ALERT, f"{volume}: {failure}", provider=failure.provider)
