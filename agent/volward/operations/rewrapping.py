"""Keys that Transit wraps, wrapped by its newest version when a rotation ends, so that older versions can be forbidden.

The retired key's own form is in the header, and changes with its token (apply/rotation.py).
"""

from volward.errors import VolwardError
from volward.header_backup import recipients
from volward.keys.providers import Providers
from volward.keys.source import Rewrapper
from volward.model import ProviderKind, VaultKeep, VolumeSpec


def of_backups(
    spec: VolumeSpec, rotated: ProviderKind | None, providers: Providers, *, deadline_seconds: float
) -> tuple[str, ...]:
    """Wrap the key of the volume's header backups anew, where a wrapped key was rotated; backups made since carry it.

    Returns what its owner should know, as sentences, and never raises for a failure.
    """
    if rotated is not ProviderKind.VAULT or spec.vault is None or spec.vault.keep is not VaultKeep.TRANSIT:
        return ()
    source = providers.source(rotated, spec)
    if not isinstance(source, Rewrapper):  # Vault cannot be used here, and has said so
        return ()
    try:
        for ref in source.refs(recipients.key_name(spec), deadline_seconds=deadline_seconds):
            source.rewrap(ref, deadline_seconds=deadline_seconds)
    except VolwardError as error:
        kept = f"The key of {spec.name}'s header backups stays wrapped as it was"
        return (f"{kept}: {error.what} {error.resolution}",)
    return ()
