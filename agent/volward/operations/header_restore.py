"""header restore: a backup's header over the device's present one, which is kept aside first; journaled.

Before anything is written the backup is opened, restored into a scratch file, opened there with a key, and its volume
key has to find the volume's file system in the data on the device: a header of other data (another device, or from
before a re-encryption) is refused. An open mapping is no obstacle when it is this volume's own: the kernel keeps its
volume key, and the header's is shown to be the same. Steps: keep, write, check; each can be cut and is done again. A
restore that goes on later is a new one, to be confirmed and kept again, when the device is not as the cut left it.
"""

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from volward import audit, journal, lock
from volward.errors import HeaderBackupError, IdentityError, VolwardError
from volward.header_backup import recipients, scratch, sealing
from volward.header_backup.recipients import SealingKeys
from volward.header_backup.scratch import Scratch
from volward.keys import recovery_pair
from volward.keys.providers import Providers
from volward.keys.source import KeyRef
from volward.model import FileSystem
from volward.operations.header_keep import keep
from volward.operations.header_target import CHECK, KEEP, WRITE, Wanted, look, newest_backup
from volward.operations.header_verify import fitting_key, typed_key
from volward.operations.header_write import check, misfit, write
from volward.os_errors import explained
from volward.secret import SecretBytes


@dataclass(frozen=True)
class Restored:
    """What was done: who opened the backup, which keyslot opens, and where the header from before is kept."""

    opened_by: str
    keyslot: int
    kept: str


def restore(wanted: Wanted, *, ask_recovery: bool, deadline_seconds: float) -> Restored:
    """Restore the header that was confirmed. ``ask_recovery``: the recovery key is typed, no provider is asked.

    Raises NoOpenerError (nobody opens the backup), HeaderBackupError (not of this data), VerificationError, and what
    `look` raises when something changed meanwhile.
    """
    spec = wanted.spec
    with ExitStack() as stack:
        stack.enter_context(explained(f"Restoring the header of {spec.name}"))
        stack.enter_context(lock.held(spec.name))
        providers = stack.enter_context(Providers())
        again = look(spec, None if wanted.record else str(wanted.backup))
        same = again.device.identity == wanted.device.identity and again.facts == wanted.facts
        if not same or (wanted.is_confirmed and not again.is_confirmed):
            raise IdentityError(
                f"{spec.device} or the backup is not any more what was confirmed.",
                resolution="Nothing was written. Look again, and confirm again.",
            )
        what = f"{spec.name}: the header of {wanted.backup.name} is restored to {wanted.device.node}"
        audit.record("header-restore", spec.name, audit.Outcome.INTENT, what, file=str(wanted.backup))
        try:
            done = _Restore(again, providers, deadline_seconds).run(stack, ask_recovery=ask_recovery)
        except VolwardError as error:
            said = f"{spec.name}: {error}"
            audit.record("header-restore", spec.name, audit.Outcome.FAILED, said, code=error.code)
            raise
        what = f"{spec.name}: the header was restored, and keyslot {done.keyslot} opens"
        audit.record("header-restore", spec.name, audit.Outcome.DONE, what, file=str(wanted.backup), kept=done.kept)
        return done


class _Restore:
    """One restore while it runs."""

    def __init__(self, wanted: Wanted, providers: Providers, deadline_seconds: float) -> None:
        self._wanted, self._spec, self._node = wanted, wanted.spec, wanted.device.node
        self._providers, self._deadline = providers, deadline_seconds

    def run(self, stack: ExitStack, *, ask_recovery: bool) -> Restored:
        """Prove the backup, then keep, write and check."""
        typed = stack.enter_context(typed_key(self._spec, self._providers)) if ask_recovery else None
        sealed = sealing.read(self._wanted.backup)
        area, opener = recipients.unsealed(sealed, self._spec, self._providers, typed, deadline_seconds=self._deadline)
        one = stack.enter_context(scratch.restored(sealed.name, area))
        key, keyslot = fitting_key(stack, one, self._spec, self._providers, typed, deadline_seconds=self._deadline)
        self._prove_data(one, key, keyslot)
        operation, done = self._journal()
        kept = self._step(operation, KEEP, done, lambda: self._keep(area, stack, opener.ref))
        self._step(operation, WRITE, (), lambda: write(self._spec, self._wanted.device, one.image, area))
        self._step(operation, CHECK, (), lambda: check(self._node, area, key, keyslot))
        operation.end("done")
        return Restored(str(opener.ref), keyslot, kept or "as an earlier run left it")

    def _prove_data(self, one: Scratch, key: SecretBytes, keyslot: int) -> None:
        kind = misfit(one, self._spec, self._node, key, keyslot, is_open=self._wanted.is_open)
        if kind is not None:
            by_hand = self._where_data_are_gone() if kind in ("", "unknown") else ""
            raise HeaderBackupError(
                f"The header in {self._wanted.backup.name} is not the one of the data on {self._spec.device}: by it "
                f"they are {kind or 'nothing that volward knows'}, not {self._spec.name}'s {self._spec.file_system}.",
                resolution="Nothing was written. It may be from before a re-encryption, or of another device; "
                f"try another backup.{by_hand}",
            )

    def _where_data_are_gone(self) -> str:
        """What damages a header often goes on into the data, so that even the right one finds no file system there."""
        check = "xfs_repair" if self._spec.file_system is FileSystem.XFS else "fsck.ext4 -b 32768"
        return (
            " If none fits, the start of the data may be overwritten as well: write the header to a file "
            f"(`volward header verify {self._spec.name} {self._wanted.backup} --output FILE`), restore it by hand "
            f"(`cryptsetup luksHeaderRestore {self._spec.device} --header-backup-file FILE`), open it by `cryptsetup "
            f"open` and check it by another superblock (`{check}`). docs/how-to/header-backups.md says it step by step."
        )

    def _journal(self) -> tuple[journal.Operation, tuple[str, ...]]:
        record = self._wanted.record
        if record is not None:  # what was kept before is of use only while the device is as it was left
            return journal.resume(record), record.steps_done if self._wanted.is_confirmed else ()
        facts = {
            "backup": str(self._wanted.backup.absolute()),
            "digest": self._wanted.facts.digest,
            "luks_uuid": self._wanted.facts.luks_uuid,
            "identity": dataclasses.asdict(self._wanted.device.identity),
            "newest_backup": newest_backup(self._spec),
        }
        return journal.begin(journal.HEADER_RESTORE, self._spec.name, facts), ()

    def _step(
        self, operation: journal.Operation, name: str, done: tuple[str, ...], action: Callable[[], str | None]
    ) -> str:
        if name in done:
            return ""
        operation.begin_step(name)
        said = action()
        operation.end_step(name)
        return said or ""

    def _keep(self, area: bytes, stack: ExitStack, opener: KeyRef) -> str:
        """Save what is there, whatever it is: nothing that a restore overwrites is lost; ``opener`` opens it too."""
        keys = stack.enter_context(
            SealingKeys.of(self._spec, self._providers, deadline_seconds=self._deadline, known=[opener])
        )
        refs = [one.ref for one in self._wanted.facts.recipients if one.is_recovery]
        pairs = [ref for ref in refs if recovery_pair.is_complete(ref.details)]
        uuid = self._wanted.facts.luks_uuid
        return keep(self._spec, self._wanted.device, keys, pairs, length=len(area), luks_uuid=uuid)
