"""reencrypt: a new volume key for all data of a volume; journaled, resumable, and of any length.

The unlocking keys change first (a leaked header opens with the old ones), then a proven backup of the header is made,
then every key is shown to cryptsetup at once. Afterwards every key is tried again, and the header backups of the old
volume key go: restored, they would make the data unreadable.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from volward import audit, journal, lock
from volward.apply import Work, apply
from volward.apply.target import resolved
from volward.errors import (
    InterruptedRunError,
    UnfinishedOperationError,
    VerificationError,
    VolwardError,
)
from volward.host import cryptsetup, reencrypt
from volward.host.reencrypt import Target
from volward.keys.ages import current, stored_kinds
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
from volward.operations.rotate import Pass, rotate
from volward.operations.unfinished import refuse_other_header
from volward.operations.watcher import Watcher
from volward.os_errors import explained
from volward.plan.device import present_device, refuse_duplicates, refuse_other_identity
from volward.plan.reencryption import (
    has_begun,
    plan_reencryption,
    plan_rest,
    refuse_unasked,
    refuse_use,
)
from volward.plan.rotation import Wish


@dataclass(frozen=True)
class Wanted:
    """What the owner asked for."""

    online: bool = False
    typed: bool = False  # somebody is at the terminal
    deadline_seconds: float = 60.0


@dataclass(frozen=True)
class Looked:
    """What would be done; ``rotates`` are the providers whose keys change first."""

    plan: ReencryptionPlan
    rotates: tuple[ProviderKind, ...] = ()
    resumes: str = ""  # the operation that is finished
    replaces: str = ""  # one that was cut before any data were re-encrypted: it is planned and confirmed anew


@dataclass(frozen=True)
class Reencrypted:
    """How it ended."""

    volume: str
    remarks: tuple[str, ...] = ()


def look(spec: VolumeSpec, wanted: Wanted) -> Looked:
    """Look at a volume and plan; changes nothing and needs no secret. Raises what the plan refuses."""
    with explained(f"Looking at {spec.name}"):
        seen = observe(spec)
        plan, record = _planned(spec, seen, wanted)
        if plan.resumes:
            return Looked(plan, resumes=record.operation if record else "a re-encryption that somebody began")
        if (rotation := journal.unfinished_rotation(spec.name)) is not None:
            raise UnfinishedOperationError(
                f"{rotation.operation} did not end.", resolution=f"Finish it first: `volward rotate {spec.name}`."
            )
        if record is not None:
            return Looked(plan, replaces=record.operation)  # the unlocking keys had their turn
        header = seen.header
        if header is None or not plan.actions:
            return Looked(plan)
        return Looked(plan, tuple(kind for kind in stored_kinds(spec) if current(header, kind)))


def _planned(spec: VolumeSpec, seen: Observation, wanted: Wanted) -> tuple[ReencryptionPlan, journal.Record | None]:
    """Plan a new one, the rest of one that was cut short, or the rest of one that somebody began without volward.

    A record beside a plan that resumes nothing is of one that was cut before any data were re-encrypted.
    """
    record = journal.unfinished_reencryption(spec.name)
    begun = Reencryption(old_digest="", online=wanted.online)
    if record is not None:
        refuse_other_header(record, provable_header(spec, seen))
        begun = record.as_reencryption()
    if seen.header is not None and (seen.header.reencrypting or (record is not None and has_begun(seen.header, begun))):
        return plan_rest(spec, seen, provable_header(spec, seen), begun), record
    return plan_reencryption(spec, seen, online=wanted.online, typed=wanted.typed), record


def run(spec: VolumeSpec, wanted: Wanted, watcher: Watcher, *, shown: ReencryptionPlan) -> Reencrypted:
    """Give the volume a new volume key, or finish what was cut short. The plan ``shown`` was confirmed.

    Raises InterruptedRunError when the person asked to stop: what was done is kept, and the same command goes on;
    ConfirmationError when a keyslot would go that was not shown, and what the plan refuses.
    """
    name = spec.name
    try:
        looked = look(spec, wanted)
        refuse_unasked(looked.plan, shown)
        _rotate_first(spec, looked.rotates, wanted, watcher)
        with explained(f"Re-encrypting {name}"), lock.held(name), Providers() as providers:
            return _Reencrypting(spec, wanted, watcher, providers).run(shown)
    except VolwardError as error:
        audit.record("reencrypt", name, audit.Outcome.FAILED, f"{name}: {error}", code=error.code)
        raise


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

    def __init__(self, spec: VolumeSpec, wanted: Wanted, watcher: Watcher, providers: Providers) -> None:
        self._spec, self._wanted, self._watcher, self._providers = spec, wanted, watcher, providers

    def run(self, shown: ReencryptionPlan) -> Reencrypted:
        seen, header, plan, record = self._look()
        refuse_unasked(plan, shown)
        if plan.reencryption is not None and header.cut_at_the_end:
            self._end(seen, header, plan.reencryption, record)
            seen, header, plan, record = self._look()
        wish = plan.reencryption
        if wish is None:
            return Reencrypted(self._spec.name)
        with Work.on(self._spec, seen, self._providers) as work, ExitStack() as wiped:
            work.deadline_seconds = self._wanted.deadline_seconds
            keys = Keys(header, resolved(work).node, work, wiped, self._header_now)
            keys.gather(wish, all_of_them=not plan.resumes)
            if not plan.resumes:
                header_backup.demand(
                    self._spec, self._providers, deadline_seconds=work.deadline_seconds, held=keys.every()
                )
            if record is not None and not plan.resumes:
                journal.resume(record).end("it had not begun")
                record = None
            operation = self._operation(record, wish, header)
            of_tpm = [action for action in plan.actions if action.step is Step.ENROL_TPM2]
            for action in plan.actions:
                if action not in of_tpm:
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
        return seen, provable_header(self._spec, seen), *_planned(self._spec, seen, self._wanted)

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
                work.announce = lambda one: operation.announce(action.name, one)
                self._journaled(action, operation, lambda: apply(action, work))

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
        if present.cut_in_hot_zone:
            reencrypt.recover(keys.node, keys.every()[0])
        if present.reencrypting:
            reencrypt.resume(target, keys.every()[0], on_progress=on_progress, stop=watcher.interrupted)
        else:
            reencrypt.begin(target, keys.by_keyslot, on_progress=on_progress, stop=watcher.interrupted)
        if self._header_now().reencrypting:
            raise InterruptedRunError(
                f"The re-encryption of {name} stopped on the way; it is whole, and not finished.",
                resolution=f"`volward rotate --volume-key {name}` goes on from there.",
            )

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
