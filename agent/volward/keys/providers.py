"""Which provider is which: the one place that makes them from what a volume wants."""

from volward.keys.credential import CredentialSource
from volward.keys.prompt import PromptSource
from volward.keys.recovery import RecoverySource
from volward.keys.source import KeySource, TokenOpener
from volward.keys.tpm2 import Tpm2Opener
from volward.model import ProviderKind, VolumeSpec


def source(kind: ProviderKind, spec: VolumeSpec) -> KeySource:
    """Return the provider that yields bytes. Raises ValueError for one that does not."""
    match kind:
        case ProviderKind.CREDENTIAL:
            return CredentialSource(seal=spec.credential_seal, pcrs=spec.tpm2_pcrs)
        case ProviderKind.PROMPT:
            return PromptSource()
        case ProviderKind.RECOVERY:
            return RecoverySource()
        case ProviderKind.TPM2:
            raise ValueError("the TPM yields no bytes; it opens tokens")


def opener(spec: VolumeSpec) -> TokenOpener:
    """Return the provider that opens tokens and shows no bytes."""
    return Tpm2Opener(pcrs=spec.tpm2_pcrs)


def chain_of(spec: VolumeSpec) -> tuple[KeySource | TokenOpener, ...]:
    """Return the volume's providers in the order in which they are tried."""
    return tuple(opener(spec) if kind is ProviderKind.TPM2 else source(kind, spec) for kind in spec.providers)
