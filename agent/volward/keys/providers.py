"""Which provider is which: the one place that makes them from what a volume wants, for one pass over volumes."""

from types import TracebackType
from typing import Self

from volward.keys.credential import CredentialSource
from volward.keys.prompt import PromptSource
from volward.keys.recovery import RecoverySource
from volward.keys.source import KeySource, TokenOpener
from volward.keys.tpm2 import Tpm2Opener
from volward.model import ProviderKind, VolumeSpec


class Providers:
    """The providers of one pass. What they share among volumes, such as a login, lives as long as this does."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def source(self, kind: ProviderKind, spec: VolumeSpec) -> KeySource:
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

    def opener(self, spec: VolumeSpec) -> TokenOpener:
        """Return the provider that opens tokens and shows no bytes."""
        return Tpm2Opener(pcrs=spec.tpm2_pcrs)

    def chain_of(self, spec: VolumeSpec) -> tuple[KeySource | TokenOpener, ...]:
        """Return the volume's providers in the order in which they are tried."""
        return tuple(
            self.opener(spec) if kind is ProviderKind.TPM2 else self.source(kind, spec) for kind in spec.providers
        )
