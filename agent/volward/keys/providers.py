"""Which provider is which: the one place that makes them from what a volume wants, for one pass over volumes."""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from volward.errors import KeyDeniedError, ToolMissingError
from volward.keys.credential import CredentialSource
from volward.keys.prompt import PromptSource
from volward.keys.recovery import RecoverySource
from volward.keys.source import KeyPurpose, KeySource, TokenOpener
from volward.keys.tpm2 import Tpm2Opener
from volward.keys.unusable import UnusableSource
from volward.keys.vault import library
from volward.model import ProviderKind, VaultPlace, VaultServer, VolumeSpec
from volward.secret import SecretBytes

if TYPE_CHECKING:
    from volward.keys.vault.escrow import Escrow
    from volward.keys.vault.session import Session


class Providers:
    """The providers of one pass. What they share among volumes, a login to Vault, lives as long as this does.

    ``vault_token`` (of whoever runs the command) stands for the configured login; its giver wipes it. Threads may
    share this.
    """

    def __init__(self, *, vault_token: SecretBytes | None = None) -> None:
        self._vault_token = vault_token
        self._sessions: dict[VaultServer, Session] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            while self._sessions:
                self._sessions.popitem()[1].close()

    def source(self, kind: ProviderKind, spec: VolumeSpec, *, purpose: KeyPurpose | None = None) -> KeySource:
        """Return the provider that yields bytes; ``purpose`` is for keys that it creates.

        Raises ValueError for one that does not yield bytes. One that cannot be used on this host says so when it
        is asked for something, so that the chain goes on without it.
        """
        match kind:
            case ProviderKind.CREDENTIAL:
                return CredentialSource(seal=spec.credential_seal, pcrs=spec.tpm2_pcrs)
            case ProviderKind.PROMPT:
                return PromptSource()
            case ProviderKind.RECOVERY:
                return RecoverySource()
            case ProviderKind.VAULT:
                return self.vault(spec.vault, purpose or KeyPurpose(volume=spec.name))
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

    def vault(self, place: VaultPlace | None, purpose: KeyPurpose) -> KeySource:
        """Return the keys at a place in Vault, over the pass's session with its server."""
        if place is None:
            return UnusableSource(
                ProviderKind.VAULT,
                KeyDeniedError(
                    "No Vault server is configured.", resolution="Add [vault] to the configuration (`volward check`)."
                ),
            )
        try:
            # hvac takes several times as long to import as everything else together.
            from volward.keys.vault.source import VaultSource

            return VaultSource(self.session(place.server), place, purpose=purpose)
        except ImportError as error:
            return UnusableSource(ProviderKind.VAULT, library.missing(error))
        except (KeyDeniedError, ToolMissingError) as error:  # its CA or certificate cannot be read; hvac is too old
            return UnusableSource(ProviderKind.VAULT, error)

    def escrow(self, server: VaultServer, specs: Sequence[VolumeSpec], *, deadline_seconds: float) -> "Escrow":
        """Return what takes these volumes' new recovery keys into Vault.

        Raises UntrustedServerError, ToolMissingError.
        """
        try:
            from volward.keys.vault.escrow import Escrow, engine_of

            engines = {spec.name: engine_of(spec.vault) for spec in specs}
            return Escrow(self.session(server), engines, deadline_seconds=deadline_seconds)
        except ImportError as error:
            raise library.missing(error) from error

    def session(self, server: VaultServer) -> "Session":
        """Return the pass's session with a server.

        Raises UntrustedServerError, ToolMissingError for an hvac that is too old; ImportError without one.
        """
        with self._lock:
            if server not in self._sessions:
                from volward.keys.vault import opened

                self._sessions[server] = opened.session(server, given_token=self._vault_token)
            return self._sessions[server]
