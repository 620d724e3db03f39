"""reencrypt: a new volume key for all data of a volume; journaled, resumable, and of any length.

The unlocking keys change first (a leaked header opens with the old ones), then a proven backup of the header is made,
a new recovery key is handed over and enrolled where the present one is not at hand, and every key is shown to
cryptsetup at once. Afterwards every key is tried again, and the header backups of the old volume key go: restored, they
would make the data unreadable.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from volward import audit, journal, lock
from volward.apply import RecoveryDelivery, Work, apply
from volward.apply.target import resolved
from volward.errors import (
    InterruptedRunError,
    MappingError,
    NoTerminalError,
    ToolFailedError,
    VerificationError,
    VolwardError,
)
from volward.host import cryptsetup, reencrypt
from volward.host.reencrypt import Target
from volward.keys.providers import Providers
from volward.model import (
    Action,
    Header,
    MappingState,
    Observation,
    ProviderKind,
    Reencryption,
    ReencryptionPlan,
    Step,
    VolumeSpec,
)
from volward.observe import observe
from volward.operations import header_backup, reencryption_end
from volward.operations.enrolment import provable_header
from volward.operations.reencryption_keys import Keys
from volward.operations.reencryption_look import Wanted, look, planned
from volward.operations.rotate import Pass, rotate
from volward.operations.watcher import Watcher
from volward.os_errors import explained
from volward.plan.device import present_device, refuse_duplicates, refuse_mapping, refuse_other_identity
from volward.plan.reencryption import plan_rest, refuse_unasked, refuse_use
from volward.plan.rotation import Wish


@dataclass(frozen=True)
class Reencrypted:
    """How it ended."""

    volume: str
    remarks: tuple[str, ...] = ()


def run(
    spec: VolumeSpec,
    wanted: Wanted,
    watcher: Watcher,
    *,
    shown: ReencryptionPlan,
    recovery: RecoveryDelivery | None = None,
) -> Reencrypted:
    """Give the volume a new volume key, or finish what was cut short. The plan ``shown`` was confirmed.

    ``recovery`` takes a new recovery key. Raises InterruptedRunError when the person asked to stop: what was done is
    kept, and the same command goes on; ConfirmationError when a keyslot would go that was not shown, NoTerminalError
    when nobody is there to take the recovery key, and what the plan and the delivery refuse.
    """
    name = spec.name
    try:
        looked = look(spec, wanted)
        refuse_unasked(looked.plan, shown)
        _refuse_untaken(looked.plan, recovery)
        _rotate_first(spec, looked.rotates, wanted, watcher)
        with explained(f"Re-encrypting {name}"), lock.held(name), Providers() as providers:
            return _Reencrypting(spec, wanted, watcher, providers, recovery).run(shown)
    except VolwardError as error:
        audit.record("reencrypt", name, audit.Outcome.FAILED, f"{name}: {error}", code=error.code)
        raise


def _refuse_untaken(plan: ReencryptionPlan, recovery: RecoveryDelivery | None) -> None:
    if recovery is None and any(action.step is Step.ENROL_RECOVERY for action in plan.actions):
        raise NoTerminalError(
            f"A new recovery key of {plan.volume} has to be shown to somebody, and there is no terminal.",
            resolution="Run the command on a terminal, or with --recovery-vault, or use --recovery-fd with an escrow.",
        )


def _rotate_first(spec: VolumeSpec, kinds: Sequence[ProviderKind], wanted: Wanted, watcher: Watcher) -> None:
    for kind in kinds:
        shared = Pass(
            Wish(kind, at_once=True), None, watcher, approved={spec.name}, deadline_seconds=wanted.deadline_seconds
        )
        (done,) = rotate([spec], shared)
        if done.error is not None:
            raise done.error


class _Reencrypting:
    """One volume in one run; the caller holds its lock."""

    def __init__(
        self,
        spec: VolumeSpec,
        wanted: Wanted,
        watcher: Watcher,
        providers: Providers,
        recovery: RecoveryDelivery | None,
    ) -> None:
        self._spec, self._wanted, self._watcher, self._providers = spec, wanted, watcher, providers
        self._recovery = recovery

    def run(self, shown: ReencryptionPlan) -> Reencrypted:
        seen, header, plan, record = self._look()
        refuse_unasked(plan, shown)
        _refuse_untaken(plan, self._recovery)
        if plan.reencryption is not None and header.cut_at_the_end:
            self._end(seen, header, plan.reencryption, record)
            seen, header, plan, record = self._look()
        wish = plan.reencryption
        if wish is None:
            return Reencrypted(self._spec.name)
        with Work.on(self._spec, seen, self._providers) as work, ExitStack() as wiped:
            work.recovery, work.keeps_recovery = self._recovery, True
            work.deadline_seconds = self._wanted.deadline_seconds
            keys = Keys(header, resolved(work).node, work, wiped, self._header_now)
            keys.gather(wish, all_of_them=not plan.resumes)
            if not plan.resumes:
                header_backup.demand(
                    self._spec, self._providers, deadline_seconds=work.deadline_seconds, held=keys.every()
                )
            orphans = [action for action in plan.actions if action.step is Step.REMOVE_KEYSLOT]
            if record is not None:
                earlier = journal.resume(record)
                for action in orphans:  # by the record that proves whose they are
                    self._do(action, work, earlier, keys, wish)
                if not plan.resumes:
                    earlier.end("it had not begun")
                    record = None
            operation = self._operation(record, wish, header)
            of_tpm = [action for action in plan.actions if action.step is Step.ENROL_TPM2]
            for action in plan.actions:
                if action not in (*orphans, *of_tpm):
                    self._do(action, work, operation, keys, wish)
            remarks = self._finish(wish, keys)
            # Last, and no condition: a TPM that is gone must not keep the operation, and the old backups, for ever.
            for action in of_tpm:
                remarks += self._enrol_tpm2(action, work, operation, keys, wish)
        operation.end("done")
        return Reencrypted(self._spec.name, (*work.remarks, *work.degraded, *remarks))

    def _look(self) -> tuple[Observation, Header, ReencryptionPlan, journal.Record | None]:
        seen = observe(self._spec)
        refuse_duplicates(self._spec, seen)
        refuse_other_identity(self._spec, seen, present_device(self._spec, seen))
        plan, record = planned(self._spec, seen, self._wanted)
        announced = record.announced if record else ()
        return replace(seen, announced=announced), provable_header(self._spec, seen), plan, record

    def _operation(self, record: journal.Record | None, wish: Reencryption, header: Header) -> journal.Operation:
        if record is not None:
            return journal.resume(record)
        return journal.begin(journal.REENCRYPT, self._spec.name, journal.reencryption_facts(wish, header.uuid))

    def _end(self, seen: Observation, header: Header, wish: Reencryption, record: journal.Record | None) -> None:
        """Write the header that cryptsetup did not come to; then the rest is as after any re-encryption."""
        (action,) = (one for one in plan_rest(self._spec, seen, header, wish).actions if one.provider is None)
        wanted = self._wanted
        self._journaled(
            action,
            self._operation(record, wish, header),
            lambda: reencryption_end.end(
                self._spec, seen, header, self._providers, typed=wanted.typed, deadline_seconds=wanted.deadline_seconds
            ),
        )

    def _header_now(self) -> Header:
        return provable_header(self._spec, observe(self._spec))

    def _do(self, action: Action, work: Work, operation: journal.Operation, keys: Keys, wish: Reencryption) -> None:
        match action.step:
            case Step.LEAVE_KEYSLOT:
                self._journaled(action, operation, lambda: keys.leave(action.keyslot))
            case Step.REENCRYPT:
                self._journaled(action, operation, lambda: self._reencrypt(keys, wish))
            case _:
                work.announce = partial(operation.announce, action.name)
                self._journaled(action, operation, lambda: apply(action, work))
                if action.step is Step.ENROL_RECOVERY:
                    keys.add_successor()

    def _journaled(self, action: Action, operation: journal.Operation, doing: Callable[[], object]) -> None:
        name, watcher = self._spec.name, self._watcher
        watcher.refuse_when_interrupted(f"{name}: {action.what}")
        watcher.step(name, action)
        operation.begin_step(action.name)
        audit.record(action.name, name, audit.Outcome.INTENT, f"{name}: {action.what} ({action.reason})")
        try:
            with explained(f"{name}: {action.what}"):
                doing()
        except BaseException:
            watcher.step_failed(name, action)
            raise
        operation.end_step(action.name)
        watcher.step_done(name, action)
        audit.record(action.name, name, audit.Outcome.DONE, f"{name}: {action.what}: done")

    def _reencrypt(self, keys: Keys, wish: Reencryption) -> None:
        name, watcher = self._spec.name, self._watcher
        seen = observe(self._spec)
        refuse_use(self._spec, seen, online=wish.online)
        is_open = seen.mapping.state is not MappingState.ABSENT
        target = Target(keys.node, self._spec.is_file, self._spec.mapping_name if is_open else "")
        on_progress: Callable[..., None] = lambda so_far: watcher.progress(name, so_far)  # noqa: E731
        present = self._header_now()
        try:
            if present.cut_in_hot_zone:
                reencrypt.recover(keys.node, keys.every()[0])
            if present.reencrypting:
                reencrypt.resume(target, keys.every()[0], on_progress=on_progress, stop=watcher.interrupted)
            else:
                reencrypt.begin(target, keys.by_keyslot, on_progress=on_progress, stop=watcher.interrupted)
        except ToolFailedError as error:
            self._refuse_suspended(error)
            raise
        if self._header_now().reencrypting:
            raise InterruptedRunError(
                f"The re-encryption of {name} stopped on the way; it is whole, and not finished.",
                resolution=f"`volward rotate --volume-key {name}` goes on from there.",
            )

    def _refuse_suspended(self, error: ToolFailedError) -> None:
        """Say what a kill in the middle has left, where it is more than a re-encryption to go on with."""
        try:
            refuse_mapping(self._spec, observe(self._spec))
        except MappingError as left:
            raise left from error

    def _enrol_tpm2(
        self, action: Action, work: Work, operation: journal.Operation, keys: Keys, wish: Reencryption
    ) -> tuple[str, ...]:
        remarks: tuple[str, ...] = ()
        try:
            self._do(action, work, operation, keys, wish)
        except InterruptedRunError:
            raise
        except VolwardError as error:
            again = f"`volward apply {self._spec.name}` enrols it."
            remarks = (f"The TPM does not open the volume any more: {error.what} {error.resolution} {again}",)
        return remarks + self._back_up(keys)

    def _finish(self, wish: Reencryption, keys: Keys) -> tuple[str, ...]:
        """Look again: another volume key, no requirement left, and every key opens it; the old backups go."""
        name, after = self._spec.name, self._header_now()
        if after.reencrypting or after.volume_key_digest in ("", wish.old_digest):
            raise VerificationError(
                f"The data of {name} are not under a new volume key, though cryptsetup says so.",
                resolution=f"Look at `cryptsetup luksDump {self._spec.device}`; every key still opens the volume.",
            )
        lost = [
            number for number, key in keys.by_keyslot.items() if not cryptsetup.test_key(keys.node, key, keyslot=None)
        ]
        if lost:
            raise VerificationError(
                f"The key of what was keyslot {lost[0]} of {name} does not open the new volume key.",
                resolution=f"Another one does: `volward status {name}`. Enrol it again before anything else.",
            )
        return self._back_up(keys)

    def _back_up(self, keys: Keys) -> tuple[str, ...]:
        return header_backup.after_change(
            self._spec,
            self._providers,
            deadline_seconds=self._wanted.deadline_seconds,
            held=keys.every(),
            new_volume_key=True,
        )
