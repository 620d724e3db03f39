"""Keys that Vault keeps: KV version 2, created by check-and-set, read back and compared; never overwritten.

A version holds the key in the field ``key`` (64 random bytes, base64) and beside it what it was made for.
https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from hvac.api.secrets_engines.kv_v2 import KvV2

from volward.errors import KeyDeniedError, KeyExistsError, ProviderUnavailableError, VerificationError, VolwardError
from volward.keys.source import KeyPurpose, KeyRef, new_key
from volward.keys.vault import place, settings, wire
from volward.keys.vault.exchange import Answer, Question
from volward.keys.vault.missing import missing_version
from volward.keys.vault.owner import Owner, this_host
from volward.keys.vault.session import Session
from volward.model import ProviderKind, VaultKeep, VaultPlace
from volward.secret import SecretBytes

_NOT_FOUND = 404
_REFUSED = 400


class KvSource:
    """Keys under one path a volume. A ref's own mount and namespace count; ``where`` is for new keys.

    ``purpose`` is what a key that is created is written down to be for.
    """

    provider = ProviderKind.VAULT
    interactive = False

    def __init__(
        self,
        session: Session,
        where: VaultPlace,
        *,
        purpose: KeyPurpose,
        owner: Owner | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._place = where
        self._purpose = purpose
        self._owner = owner or this_host()
        self._clock = clock

    def first_ref(self, volume: str) -> KeyRef:
        """Return version 1 under the volume's path, as the configuration and the host's name make it now."""
        return self._ref(self._place.path_of(volume, self._owner.host), 1)

    def next_ref(self, ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        """Return the version that Vault makes next at the place of ``ref``: it counts on from deleted ones as well.

        Raises KeyDeniedError when the place has lost its versions: a number is never used for two keys.
        """
        current = self._metadata(ref, deadline_seconds).data("current_version")
        if not isinstance(current, int) or current < ref.version:
            raise KeyDeniedError(
                f"Vault has lost versions of {self._mount(ref)}/{ref.name}: the header names {ref.version}, and the "
                f"last one there is {current or 0}.",
                resolution="Bring them back from a snapshot of Vault. If they are gone, write anything there until "
                f"version {ref.version} exists (`vault kv put -mount={self._mount(ref)} {ref.name} lost=1`), then "
                "rotate again.",
            )
        return KeyRef(self.provider, ref.name, current + 1, ref.details)

    def refs(self, volume: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        """Return the versions under the volume's path that can be read, newest first."""
        first = self.first_ref(volume)
        found = self._metadata(first, deadline_seconds).table("versions")
        readable = sorted((int(number) for number, state in found.items() if _is_readable(state)), reverse=True)
        return tuple(self._ref(first.name, number) for number in readable)

    def present(self, ref: KeyRef, *, deadline_seconds: float) -> bool:
        """Return whether Vault still has that version, readable."""
        versions = self._metadata(ref, deadline_seconds).table("versions")
        return _is_readable(versions.get(str(ref.version)))

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float) -> KeyRef:
        """Create the key, or with ``adopt`` take the current version as it is; see KeySource.

        Raises also UnsafeStoreError, and KeyExistsError for a key that is another host's or volume's.
        """
        end = self._clock() + deadline_seconds
        settings.demand_version_2(
            self._session, self._mount(ref), namespace=self._namespace(ref), deadline_seconds=self._left(end)
        )
        kept = settings.demand_keeping(
            self._session, self._mount(ref), place.path(ref),
            namespace=self._namespace(ref), deadline_seconds=self._left(end), needed_versions=self._purpose.versions,
        )  # fmt: skip
        needed = [one.version for one in self._purpose.beside if (one.provider, one.name) == (ref.provider, ref.name)]
        settings.demand_room(kept, self._mount(ref), place.path(ref), ref.version, min(needed, default=0))
        facts = self._owner.facts(self._purpose)
        with new_key() as key:
            if not self._written(ref, key, facts, end):
                if adopt:
                    return self._adopted(ref, end)
                raise KeyExistsError(
                    f"{self._named(ref)} exists already in Vault, or a version after it.",
                    resolution="It is never overwritten: a keyslot may depend on it. `vault kv metadata get "
                    f"-mount={self._mount(ref)} {ref.name}` shows the versions.",
                )
            self._compare(ref, key, end)
        with contextlib.suppress(VolwardError):  # a remark for people; the key is there
            self._remark(ref, facts, end)
        return ref

    def read(self, ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        """Return the key of that version, from where the ref says.

        Raises KeyDeletedError for a deleted or destroyed version, KeyDeniedError for one that never was.
        """
        answer = self._version(ref, deadline_seconds)
        return wire.to_key(answer.data("data", "key"), self._named(ref))

    def _written(self, ref: KeyRef, key: SecretBytes, facts: Mapping[str, str], end: float) -> bool:
        """Store the key as exactly this version; return False when that version, or a later one, is there.

        After an unclear answer the version is read back: what is there then is ours, or somebody else's.
        """
        question = self._question(ref, f"storing {self._named(ref)}", "data", "create", understood=(_REFUSED,))
        content = {"key": wire.to_text(key), **facts}
        mount, path, cas = self._mount(ref), place.path(ref), ref.version - 1
        try:
            answer = self._session.ask(
                question,
                lambda adapter: KvV2(adapter).create_or_update_secret(path, content, cas=cas, mount_point=mount),
                deadline_seconds=self._left(end),
            )
        except ProviderUnavailableError as unclear:
            return self._is_there_after_all(ref, key, end, unclear)
        if answer.status == _REFUSED:
            if "check-and-set" in answer.said:
                return False
            raise KeyDeniedError(
                f"Vault refuses storing {self._named(ref)}: {answer.said}.",
                resolution=f"Look at the mount: `vault read {mount}/config`.",
            )
        if answer.data("version") != ref.version:
            raise VerificationError(
                f"Vault stored {self._named(ref)} as version {answer.data('version')}.",
                resolution="Nothing depends on it yet. Look at the versions, then run the same command again.",
            )
        return True

    def _is_there_after_all(self, ref: KeyRef, key: SecretBytes, end: float, unclear: ProviderUnavailableError) -> bool:
        answer = self._ask_version(ref, self._left(end))
        if answer.status == _NOT_FOUND and not answer.table("metadata"):
            raise unclear  # it was not stored, so asking again is safe
        with wire.to_key(answer.data("data", "key"), self._named(ref)) as found:
            return found.matches(key)

    def _compare(self, ref: KeyRef, key: SecretBytes, end: float) -> None:
        with self.read(ref, deadline_seconds=self._left(end)) as back:
            if not back.matches(key):
                raise VerificationError(
                    f"{self._named(ref)} does not give back the key that was stored.",
                    resolution="Nothing depends on it yet. Somebody else writes there: look at Vault's audit log.",
                )

    def _adopted(self, ref: KeyRef, end: float) -> KeyRef:
        current = self._metadata(ref, self._left(end)).data("current_version")
        if not isinstance(current, int) or current < ref.version:
            raise KeyExistsError(
                f"{self._named(ref)} cannot be created: the current version is {current}.",
                resolution=f"`vault kv metadata get -mount={self._mount(ref)} {ref.name}` shows the versions.",
            )
        found = KeyRef(self.provider, ref.name, current, ref.details)
        answer = self._version(found, self._left(end))
        conflict = self._owner.conflict(self._purpose, answer.table("data"))
        if conflict:
            raise KeyExistsError(
                f"{self._named(found)} is the key of {conflict}.",
                resolution="It is left alone. Give this volume a `path` of its own in [volumes.NAME.vault].",
            )
        wire.to_key(answer.data("data", "key"), self._named(found)).wipe()
        return found

    def _remark(self, ref: KeyRef, facts: Mapping[str, str], end: float) -> None:
        """Write the facts where `vault kv metadata get` shows them, without touching any other setting."""
        question = self._question(ref, f"describing {self._named(ref)}", "metadata", "update")
        path = f"/v1/{self._mount(ref)}/metadata/{place.path(ref)}"
        self._session.ask(
            question,
            lambda adapter: adapter.post(path, json={"custom_metadata": dict(facts)}),
            deadline_seconds=self._left(end),
        )

    def _version(self, ref: KeyRef, deadline_seconds: float) -> Answer:
        answer = self._ask_version(ref, deadline_seconds)
        if answer.status == _NOT_FOUND:
            raise missing_version(ref, self._mount(ref), answer)
        return answer

    def _ask_version(self, ref: KeyRef, deadline_seconds: float) -> Answer:
        question = self._question(ref, f"reading {self._named(ref)}", "data", "read", understood=(_NOT_FOUND,))
        mount, path, version = self._mount(ref), place.path(ref), ref.version
        return self._session.ask(
            question,
            lambda adapter: KvV2(adapter).read_secret_version(
                path, version=version, mount_point=mount, raise_on_deleted_version=False
            ),
            deadline_seconds=deadline_seconds,
        )

    def _metadata(self, ref: KeyRef, deadline_seconds: float) -> Answer:
        return settings.metadata(
            self._session, self._mount(ref), place.path(ref),
            namespace=self._namespace(ref), deadline_seconds=deadline_seconds,
        )  # fmt: skip

    def _question(
        self, ref: KeyRef, doing: str, part: str, capability: str, *, understood: tuple[int, ...] = ()
    ) -> Question:
        path = f"{self._mount(ref)}/{part}/{place.path(ref)}"
        return Question(doing, path, capability, namespace=self._namespace(ref), understood=understood)

    def _ref(self, path: str, version: int) -> KeyRef:
        details = {"keep": str(VaultKeep.KV), "mount": self._place.engine}
        if self._place.server.namespace:
            details["namespace"] = self._place.server.namespace
        return KeyRef(self.provider, path, version, MappingProxyType(details))

    def _mount(self, ref: KeyRef) -> str:
        return place.mount(ref, self._place.engine)

    def _namespace(self, ref: KeyRef) -> str:
        return place.namespace(ref)

    def _named(self, ref: KeyRef) -> str:
        return f"the key {self._mount(ref)}/{ref.name} (version {ref.version})"

    def _left(self, end: float) -> float:
        return max(0.0, end - self._clock())


def _is_readable(state: object) -> bool:
    """Whether a version's entry in the metadata says that it is neither destroyed nor deleted (now)."""
    return isinstance(state, Mapping) and not state.get("destroyed") and not state.get("deletion_time")
