"""Keys that Vault wraps and never keeps: Transit. The wrapped key is no secret and lives in the volume's header.

A new key is 64 random bytes of this host. Vault wraps it; the wrapped form is written to this host durably, unwrapped
again and compared, and travels in the ref's details into the header token, so that a disk opens elsewhere from its
header alone. Where the transit key is derived, the volume's name is the context.
https://developer.hashicorp.com/vault/api-docs/secret/transit
"""

import base64
import contextlib
import re
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from hvac.api.secrets_engines.transit import Transit

from volward.errors import KeyDeniedError, KeyExistsError, UnsafeStoreError, VerificationError
from volward.keys.source import KeyRef, new_key
from volward.keys.vault import classify, place, wire
from volward.keys.vault.exchange import Answer, Question
from volward.keys.vault.session import Session
from volward.keys.vault.wrapped_file import WrappedFiles
from volward.model import ProviderKind, VaultKeep, VaultPlace
from volward.secret import SecretBytes

_REFUSED = 400
_CIPHERTEXT = re.compile(r"vault:v([1-9]\d*):[A-Za-z0-9+/=]+", re.ASCII)


class TransitSource:
    """Wrapped keys. A ref's own details count; ``where`` is for new keys. The caller holds the volume's lock.

    ``beside`` are the keys that the header names: a new one is refused while the transit key does not unwrap them.
    """

    provider = ProviderKind.VAULT
    interactive = False

    def __init__(
        self,
        session: Session,
        where: VaultPlace,
        *,
        files: WrappedFiles | None = None,
        beside: tuple[KeyRef, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._place = where
        self._files = files or WrappedFiles()
        self._beside = beside
        self._clock = clock

    def first_ref(self, volume: str) -> KeyRef:
        """Return version 1, not wrapped yet."""
        return self._ref(volume, 1)

    def next_ref(self, ref: KeyRef, *, deadline_seconds: float = 0.0) -> KeyRef:  # noqa: ARG002
        """Return the version after ``ref``, to be wrapped by the key that is configured now."""
        return self._ref(ref.name, ref.version + 1)

    def refs(self, volume: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        """Return the wrapped keys on this host, newest first. Asks no server."""
        del deadline_seconds
        return tuple(self._with_file(self._ref(volume, version)) for version in self._files.versions(volume))

    def present(self, ref: KeyRef, *, deadline_seconds: float) -> bool:
        """Return whether the wrapped key is at hand, in the ref or on this host."""
        del deadline_seconds
        return bool(self._with_file(ref).details.get("ciphertext"))

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float) -> KeyRef:
        """Make a key, have it wrapped, and prove that it unwraps; or with ``adopt`` take the one that is there.

        Raises KeyExistsError, VerificationError, NoSpaceError, UnsafeStoreError.
        """
        end = self._clock() + deadline_seconds
        place.path(ref)  # it names a file, too
        if not self._files.newest(ref.name, ref.version):
            with new_key() as key:
                details = self._wrapped(self._ref(ref.name, ref.version), key, end)
                if self._files.create(ref.name, ref.version, details):
                    found = KeyRef(self.provider, ref.name, ref.version, MappingProxyType(details))
                    self._compare(self._with_file(self._ref(ref.name, ref.version)), key, end)
                    return found
        if not adopt:
            raise KeyExistsError(
                f"{self._files.path(ref.name, ref.version)} exists already.",
                resolution="It is never overwritten: a keyslot may depend on it. `volward status` shows which.",
            )
        found = self._with_file(self._ref(ref.name, ref.version))
        self.read(found, deadline_seconds=self._left(end)).wipe()
        return found

    def read(self, ref: KeyRef, *, deadline_seconds: float) -> SecretBytes:
        """Unwrap the key: what the ref carries, or else the file of this host.

        Raises KeyDeniedError when it is nowhere, and when the transit key does not unwrap it (any more).
        """
        end = self._clock() + deadline_seconds
        forms = self._forms(ref)
        if not forms:
            raise KeyDeniedError(
                f"There is no wrapped key {ref.name}.v{ref.version} on this host, and the header has none.",
                resolution=f"Restore {self._files.path(ref.name, ref.version)} from a backup, or open by another key.",
            )
        for form in forms[:-1]:
            with contextlib.suppress(KeyDeniedError):  # the other form may be a newer one
                return self._unwrapped(form, end)
        return self._unwrapped(forms[-1], end)

    def _forms(self, ref: KeyRef) -> tuple[KeyRef, ...]:
        """Return the wrapped forms at hand, each once: the ref's own first, then the file's."""
        forms = {one.details["ciphertext"]: one for one in (self._with_file(ref), ref) if one.details.get("ciphertext")}
        return tuple(reversed(forms.values()))

    def _unwrapped(self, wrapped: KeyRef, end: float) -> SecretBytes:
        ref, ciphertext = wrapped, wrapped.details["ciphertext"]
        mount, name = self._key(wrapped)
        question = self._question(wrapped, f"unwrapping the key of {ref.name}", "decrypt", understood=(_REFUSED,))
        answer = self._session.ask(
            question,
            lambda adapter: Transit(adapter).decrypt_data(
                name, ciphertext, context=_context(wrapped), mount_point=mount
            ),
            deadline_seconds=self._left(end),
        )
        if answer.status == _REFUSED:
            raise self._refused(wrapped, answer)
        return wire.to_key(answer.data("plaintext"), f"The wrapped key {ref.name}.v{ref.version}")

    def rewrap(self, ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        """Have the wrapped key wrapped by the newest version of its transit key; return the ref that carries it.

        ``ref`` itself when that version wrapped it. The key stays the same. The new form is kept on this host
        beside the old one; the caller writes it into the header token. Raises VerificationError when it unwraps to
        another key.
        """
        end = self._clock() + deadline_seconds
        wrapped = ref if ref.details.get("ciphertext") else self._with_file(ref)
        mount, name = self._key(wrapped)
        question = self._question(wrapped, f"rewrapping the key of {ref.name}", "rewrap", understood=(_REFUSED,))
        answer = self._session.ask(
            question,
            lambda adapter: Transit(adapter).rewrap_data(
                name, wrapped.details.get("ciphertext", ""), context=_context(wrapped), mount_point=mount
            ),
            deadline_seconds=self._left(end),
        )
        if answer.status == _REFUSED:
            raise self._refused(wrapped, answer)
        ciphertext, by = _ciphertext(question, answer)
        if by == wrapped_by(wrapped.details):
            return wrapped
        details = {**wrapped.details, "ciphertext": ciphertext}
        fresh = KeyRef(self.provider, ref.name, ref.version, MappingProxyType(details))
        with self.read(wrapped, deadline_seconds=self._left(end)) as key:
            self._compare(fresh, key, end)
        self._files.create(ref.name, ref.version, details, rewrapped_by=by)
        return fresh

    def _wrapped(self, ref: KeyRef, key: SecretBytes, end: float) -> dict[str, str]:
        """Return the details of a ref whose key was wrapped."""
        mount, name = self._key(ref)
        details = dict(ref.details)
        if self._is_derived(ref, end):
            details["context"] = f"volward volume {ref.name}"
        with_context = KeyRef(self.provider, ref.name, ref.version, details)
        question = self._question(ref, f"wrapping the key of {ref.name}", "encrypt")
        plaintext = wire.to_text(key)
        answer = self._session.ask(
            question,
            lambda adapter: Transit(adapter).encrypt_data(
                name, plaintext, context=_context(with_context), mount_point=mount
            ),
            deadline_seconds=self._left(end),
        )
        details["ciphertext"], _ = _ciphertext(question, answer)
        return details

    def _is_derived(self, ref: KeyRef, end: float) -> bool:
        """Look at the transit key: `encrypt` would make a missing one by itself, with settings that nobody chose."""
        mount, name = self._key(ref)
        question = Question(
            f"reading the transit key {mount}/{name}", f"{mount}/keys/{name}",
            namespace=place.namespace(ref), understood=(404,),
        )  # fmt: skip
        answer = self._session.ask(
            question,
            lambda adapter: Transit(adapter).read_key(name, mount_point=mount),
            deadline_seconds=self._left(end),
        )
        if answer.status == 404:
            raise KeyDeniedError(
                f"Vault has no transit key {mount}/{name}.",
                resolution=f"Make it: `vault write -force {mount}/keys/{name} derived=true`.",
            )
        self._refuse_forbidden(mount, name, answer.data("min_decryption_version"))
        return answer.data("derived") is True

    def _refuse_forbidden(self, mount: str, name: str, least: object) -> None:
        ours = [one for one in self._beside if one.provider is self.provider and self._key(one) == (mount, name)]
        oldest = min((wrapped_by(one.details) for one in ours if wrapped_by(one.details)), default=0)
        if isinstance(least, int) and 0 < oldest < least:
            raise UnsafeStoreError(
                f"A key of this volume was wrapped by version {oldest} of {mount}/{name}, whose min_decryption_version "
                f"is {least}: it cannot be unwrapped.",
                resolution=f"Lower it: `vault write {mount}/keys/{name}/config min_decryption_version={oldest}`. The "
                "rotation wraps all by the newest version; then it can be raised again.",
            )

    def _refused(self, ref: KeyRef, answer: Answer) -> KeyDeniedError:
        """Say why a wrapped key does not unwrap: too old for the key's settings, or not of this key."""
        mount, name = self._key(ref)
        version = _CIPHERTEXT.fullmatch(ref.details.get("ciphertext", ""))
        number = version[1] if version else "?"
        if "too old" in answer.said or "disallowed by policy" in answer.said:
            return KeyDeniedError(
                f"The key of {ref.name} was wrapped by version {number} of {mount}/{name}, and its "
                "min_decryption_version is above that.",
                resolution=f"Lower it: `vault write {mount}/keys/{name}/config min_decryption_version={number}`; after "
                "a rewrap it can be raised again.",
            )
        return KeyDeniedError(
            f"The transit key {mount}/{name} does not unwrap the key of {ref.name}: {answer.said}.",
            resolution="It was wrapped by another key, for another volume, or it is damaged. Compare the header token "
            f"with {self._files.path(ref.name, ref.version)}, or open by another key.",
        )

    def _compare(self, ref: KeyRef, key: SecretBytes, end: float) -> None:
        with self.read(ref, deadline_seconds=self._left(end)) as back:
            if not back.matches(key):
                raise VerificationError(
                    f"The wrapped key of {ref.name} does not unwrap to the key that was wrapped.",
                    resolution="Nothing depends on it yet. Look at the transit key, then move "
                    f"{self._files.path(ref.name, ref.version)} away by hand.",
                )

    def _with_file(self, ref: KeyRef) -> KeyRef:
        known = self._files.newest(ref.name, ref.version)
        return ref if known is None else KeyRef(self.provider, ref.name, ref.version, MappingProxyType(dict(known)))

    def _ref(self, volume: str, version: int) -> KeyRef:
        where = self._place
        details = {"keep": str(VaultKeep.TRANSIT), "mount": where.mount or str(VaultKeep.TRANSIT), "key": where.key}
        if where.server.namespace:
            details["namespace"] = where.server.namespace
        return KeyRef(self.provider, volume, version, MappingProxyType(details))

    def _key(self, ref: KeyRef) -> tuple[str, str]:
        """Return the mount and the name of the transit key of a ref."""
        return place.mount(ref, str(VaultKeep.TRANSIT)), place.transit_key(ref, self._place.key)

    def _question(self, ref: KeyRef, doing: str, verb: str, *, understood: tuple[int, ...] = ()) -> Question:
        mount, name = self._key(ref)
        namespace = place.namespace(ref)
        return Question(doing, f"{mount}/{verb}/{name}", "update", namespace=namespace, understood=understood)

    def _left(self, end: float) -> float:
        return max(0.0, end - self._clock())


def _context(ref: KeyRef) -> str | None:
    context = ref.details.get("context", "")
    return base64.b64encode(context.encode()).decode() if context else None


def _ciphertext(question: Question, answer: Answer) -> tuple[str, int]:
    """Return the wrapped key and the version of the transit key that it names."""
    found = answer.data("ciphertext")
    match = _CIPHERTEXT.fullmatch(found) if isinstance(found, str) else None
    if match is None:
        raise classify.nonsense(question, "there is no wrapped key in the answer")
    return match[0], int(match[1])


def wrapped_by(details: Mapping[str, str]) -> int:
    """Return the version of the transit key that wrapped a key, 0 when the details do not say."""
    match = _CIPHERTEXT.fullmatch(details.get("ciphertext", ""))
    return int(match[1]) if match else 0
