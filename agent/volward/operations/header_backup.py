"""header backup: made and proven. Reads the device alone; writes files in the backup directory.

A backup counts once it was read back from the disk, decrypted by every store that it was sealed for, restored into a
scratch file by cryptsetup, and opened there by an unlocking key of the volume. Not journaled: a file has its name
only after all that, and what a cut leaves without a name goes with the next backup.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from volward import __version__, audit, lock
from volward.errors import (
    KeyRejectedError,
    VerificationError,
    VolwardError,
)
from volward.header_backup import facts as prologue
from volward.header_backup import files, recipients, scratch, sealing
from volward.header_backup.facts import Facts, Kind
from volward.header_backup.recipients import SealingKeys
from volward.header_backup.scratch import Scratch
from volward.keys import header_token, recovery_pair
from volward.keys.providers import Providers
from volward.keys.source import KeyRef
from volward.model import Device, Header, StoreKind, VolumeSpec
from volward.operations import header_backup_expiry, whole_header
from volward.os_errors import explained
from volward.secret import SecretBytes


@dataclass(frozen=True)
class Made:
    """A proven backup of the present header. ``remarks`` are what its owner should know, as sentences."""

    path: Path
    facts: Facts
    existed: bool = False
    remarks: tuple[str, ...] = ()


def backup(spec: VolumeSpec, *, deadline_seconds: float, ask: bool = True) -> Made | None:
    """Make a proven backup of the volume's header, or prove the one that there is of this very header.

    Without ``ask`` nobody is there to type a key: None for a volume that has no other, and no recovery key to seal to.
    Raises DamagedHeaderError, ForeignHeaderError, ProviderUnavailableError (nobody to seal it for), KeyRejectedError
    or VerificationError (it cannot be proven), NoSpaceError.
    """
    with explained(f"Backing up the header of {spec.name}"), lock.held(spec.name), Providers() as providers:
        if not ask and not recipients.sources(spec, providers, interactive=False):
            _, present, _ = whole_header.read(spec)
            if not recipients.recovery_refs(present):
                return None
        return _audited(spec, providers, deadline_seconds=deadline_seconds, held=(), ask=ask)


def after_change(
    spec: VolumeSpec,
    providers: Providers,
    *,
    deadline_seconds: float,
    held: Iterable[SecretBytes] = (),
    revoked: Iterable[str] = (),
    new_volume_key: bool = False,
) -> tuple[str, ...]:
    """Back the header up at the end of an operation that changed it; return warnings, and never raise for a failure.

    The caller holds the volume's lock. ``held`` are keys in hand that open the volume. Once the backup is proven, and
    only then, older files go: those that a key of ``revoked`` opens (marks, see facts.mark_of; "" is a key that has
    none), and all of them with ``new_volume_key``. What fails is in the audit record, and `status` says that the
    backup is stale.
    """
    if spec.store is StoreKind.SCRATCH:
        return ()
    marks = tuple(revoked)
    try:
        made = _audited(spec, providers, deadline_seconds=deadline_seconds, held=tuple(held), ask=False)
    except VolwardError as error:
        again = f"`volward header backup {spec.name}` tries again."
        stay = " Those that a revoked key opens stay until then." if marks or new_volume_key else ""
        return (f"{spec.name} has no backup of its present header: {error.what} {again}{stay}",)
    return made.remarks + header_backup_expiry.after(
        spec, made.path, made.facts, revoked=marks, new_volume_key=new_volume_key
    )


def demand(spec: VolumeSpec, providers: Providers, *, deadline_seconds: float, held: Iterable[SecretBytes]) -> Made:
    """Back the header up before an operation that must not begin without a way back. Raises what `backup` raises.

    The caller holds the volume's lock.
    """
    return _audited(spec, providers, deadline_seconds=deadline_seconds, held=tuple(held), ask=False)


def _audited(
    spec: VolumeSpec, providers: Providers, *, deadline_seconds: float, held: tuple[SecretBytes, ...], ask: bool
) -> Made:
    try:
        with explained(f"Backing up the header of {spec.name}"):
            made = _Backup(spec, providers, deadline_seconds, held, ask=ask).make()
    except VolwardError as error:
        what = f"{spec.name}: the header was not backed up: {error}"
        audit.record("header-backup", spec.name, audit.Outcome.FAILED, what, code=error.code)
        raise
    if not made.existed:
        what = f"{spec.name}: the header was backed up and proven: {made.path.name}"
        audit.record(
            "header-backup", spec.name, audit.Outcome.DONE, what, file=made.path.name, digest=made.facts.digest
        )
    return made


class _Backup:
    """One backup while it is made."""

    def __init__(
        self,
        spec: VolumeSpec,
        providers: Providers,
        deadline_seconds: float,
        held: tuple[SecretBytes, ...],
        *,
        ask: bool,
    ) -> None:
        self._spec, self._providers, self._deadline = spec, providers, deadline_seconds
        self._held, self._ask = held, ask
        self._remarks: list[str] = []

    def make(self) -> Made:
        """Prove the backup that is there, or make one."""
        device, present, area = whole_header.read(self._spec)
        with SealingKeys.of(self._spec, self._providers, deadline_seconds=self._deadline) as keys:
            self._remarks += [
                f"The header backup of {self._spec.name} is not sealed for a provider: {one}" for one in keys.failures
            ]
            wanted = {ref for ref, _ in keys.keys}
            pairs, spoiled = recipients.recovery_refs(present), recipients.spoiled_pairs(present)
            self._remarks += [
                f"The recovery key of keyslot {number} opens no header backup of {self._spec.name}, because its key "
                f"pair cannot be read: `volward recovery enrol {self._spec.name}` makes one that does."
                for number in spoiled
            ]
            # A volume without a recovery key is told so elsewhere, at each step of its life.
            if not pairs and not spoiled and (self._ask or header_token.recovery_keyslots(present)):
                self._remarks.append(
                    f"No recovery key opens the header backups of {self._spec.name}: "
                    f"`volward recovery enrol {self._spec.name}` makes one that does."
                )
            for path, facts in files.backups(self._spec.header_backups, self._spec.name):
                same = facts.digest == sealing.digest(area) and _sealed_for(facts, wanted, pairs)
                if same and self._still_whole(path, area, keys):
                    self._prove_opening(path, area)
                    return Made(path, facts, existed=True, remarks=tuple(self._remarks))
            facts = facts_of(self._spec, device, present, area, Kind.BACKUP, luks_uuid=present.uuid)
            path, facts = write(
                self._spec, facts, area, keys, pairs, prove=lambda written: self._prove(written, area, keys)
            )
        return Made(path, facts, remarks=tuple(self._remarks))

    def _still_whole(self, path: Path, area: bytes, keys: SealingKeys) -> bool:
        try:
            prove_sealing(path, area, keys)
        except VolwardError as error:
            self._remarks.append(f"{error.what} A new one was made in its place.")
            return False
        return True

    def _prove(self, path: Path, area: bytes, keys: SealingKeys) -> None:
        prove_sealing(path, area, keys)
        self._prove_opening(path, area)

    def _prove_opening(self, path: Path, area: bytes) -> None:
        with scratch.restored(path.name, area) as one:
            if not self._opened(one):
                what = f"No key was at hand to try the header backup of {self._spec.name} with"
                self._remarks.append(f"{what}: its providers ask a person.")

    def _opened(self, one: Scratch) -> bool:
        """Whether a key opened the scratch; False when only a person has one. Raises KeyRejectedError."""
        for key in self._held:
            if any(one.opens(key, slot.number) for slot in one.header.keyslots if slot.opens_data):
                return True
        said: list[str] = []
        for name, key, keyslots in recipients.unlocking_keys(
            one.header, self._spec, self._providers, deadline_seconds=self._deadline, ask=self._ask, said=said
        ):
            if any(one.opens(key, number) for number in keyslots):
                return True
            said.append(f"{name} opens none of its keyslots")
        if said or recipients.sources(self._spec, self._providers, interactive=False):
            why = "; ".join(said) or "no provider has a key of it"
            raise KeyRejectedError(
                f"The header backup of {self._spec.name} could not be proven to open: {why}.",
                resolution=f"Look at the providers (`volward status {self._spec.name}`), then run "
                f"`volward header backup {self._spec.name}` again.",
            )
        return False


def prove_sealing(path: Path, area: bytes, keys: SealingKeys) -> None:
    """Read a file back and open it with every store's key. Raises HeaderBackupError, VerificationError, OSError."""
    sealed = sealing.read(path)
    by_ref = dict(keys.keys)
    for recipient in sealed.facts.recipients:
        if recipient.ref in by_ref:
            with sealing.data_key(recipient, by_ref[recipient.ref], luks_uuid=sealed.facts.luks_uuid) as data_key:
                if sealing.unseal(sealed, data_key) != area:
                    raise VerificationError(
                        f"{path} does not give back the header that was sealed into it.",
                        resolution="It was not kept. Look at the file system and the memory of this host.",
                    )


def facts_of(
    spec: VolumeSpec, device: Device, found: Header | None, area: bytes, kind: Kind, *, luks_uuid: str
) -> Facts:
    """Return what a file says of a header area on that device; ``found`` None when no header can be read in it.

    Raises OSError for a directory of backups that cannot be read.
    """
    return Facts(
        kind=kind,
        volume=spec.name,
        identity=device.identity,
        luks_uuid=luks_uuid,
        sequence=found.sequence if found else 0,
        checksums=found.checksums if found else (),
        area_bytes=len(area),
        digest=sealing.digest(area),
        created_at=files.moment(spec.header_backups, spec.name, luks_uuid, now=int(time.time())),
        made_by=f"volward {__version__}",
        keyslots=prologue.keyslots_of(found) if found else (),
        recipients=(),
    )


def write(
    spec: VolumeSpec, facts: Facts, area: bytes, keys: SealingKeys, recovery: Iterable[KeyRef], *, prove: files.Prove
) -> tuple[Path, Facts]:
    """Seal a header area for everybody, write it, have it proven, and return its file. Raises as files.write does."""
    with SecretBytes.random(sealing.DATA_KEY_BYTES) as data_key:
        facts = replace(facts, recipients=keys.seal_for(data_key, recovery, luks_uuid=facts.luks_uuid))
        content = sealing.seal(area, facts, data_key)
    return files.write(spec.header_backups, facts, content, prove=prove), facts


def _sealed_for(facts: Facts, wanted: set[KeyRef], pairs: Iterable[KeyRef]) -> bool:
    """Whether everybody who should open it is a recipient."""
    public = [ref.details[recovery_pair.PUBLIC] for ref in pairs]
    return wanted <= {one.ref for one in facts.recipients} and all(map(facts.has_key, public))
