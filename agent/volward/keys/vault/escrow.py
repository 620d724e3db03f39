"""Recovery keys in Vault: written once, under a path and a policy of their own, where this host cannot read them.

Each key has a path of its own, because KV version 2 takes `update`, and not `create` alone, for a second version. So
whoever takes the host over can neither read a recovery key nor put another one in its place.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from hvac.api.secrets_engines.kv_v2 import KvV2

from volward.errors import KeyDeniedError, KeyExistsError, ProviderUnavailableError, VerificationError
from volward.keys.source import KeyPurpose
from volward.keys.vault.exchange import Question
from volward.keys.vault.owner import Owner, this_host
from volward.keys.vault.policy import ESCROW_PATH
from volward.keys.vault.session import Session
from volward.model import VaultKeep, VaultPlace
from volward.secret import SecretBytes

_REFUSED = 400


class Escrow:
    """Takes recovery keys; ``engines`` is the KV mount path of each volume."""

    def __init__(
        self,
        session: Session,
        engines: Mapping[str, str],
        *,
        deadline_seconds: float,
        owner: Owner | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session = session
        self._engines = engines
        self._deadline_seconds = deadline_seconds
        self._owner = owner or this_host()
        self._clock = clock

    def put(self, volume: str, recovery_key: SecretBytes) -> str:
        """Store the key and return where it is, as ``MOUNT/PATH``.

        Raises KeyDeniedError, ProviderUnavailableError, KeyExistsError, VerificationError. A key whose answer was lost
        may be there all the same; it is of no keyslot, and harmless.
        """
        moment = datetime.fromtimestamp(self._clock(), UTC)
        engine = self._engines[volume]
        path = f"{ESCROW_PATH}/{self._owner.host}/{volume}/{moment:%Y%m%dT%H%M%SZ}"
        where = f"{engine}/{path}"
        allowed = f"{engine}/data/{ESCROW_PATH}/{self._owner.host}/*"  # what a policy has to say; each key has a path
        question = Question(f"storing the recovery key {where}", allowed, "create", understood=(_REFUSED,))
        with recovery_key.view() as view:
            content = {"recovery_key": str(view, "ascii")}
        content |= self._owner.facts(KeyPurpose(volume=volume, reason="recovery key"))
        try:
            answer = self._session.ask(
                question,
                lambda adapter: KvV2(adapter).create_or_update_secret(path, content, cas=0, mount_point=engine),
                deadline_seconds=self._deadline_seconds,
            )
        except ProviderUnavailableError as error:
            raise ProviderUnavailableError(_lost(volume, error.what), resolution=error.resolution) from error
        except KeyDeniedError as error:
            raise KeyDeniedError(_lost(volume, error.what), resolution=error.resolution) from error
        if answer.status == _REFUSED:
            raise KeyExistsError(
                _lost(volume, f"Vault refuses storing {where}: {answer.said}."),
                resolution="Is it a KV version 2 mount? `vault secrets list -detailed` shows it. Then try again.",
            )
        if answer.data("version") != 1:
            raise VerificationError(
                _lost(volume, f"Vault stored {where} as version {answer.data('version')}."),
                resolution="Look who writes there, then run the same command again.",
            )
        return where


def engine_of(place: VaultPlace | None) -> str:
    """Return the mount path for a volume's recovery keys: that of its keys, or `kv` where Vault keeps none of it."""
    return place.engine if place is not None and place.keep is VaultKeep.KV else str(VaultKeep.KV)


def _lost(volume: str, why: str) -> str:
    return f"The recovery key of {volume} did not reach Vault, so it was discarded; it opens nothing. {why}"
