"""rotate: a new key in place of one that is enrolled; journaled, resumable, and without downtime.

The volume may be open or closed meanwhile, and what uses it notices nothing. A rotation that was cut short is finished
before another one begins.
"""

import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

from volward import audit, journal, lock
from volward.apply import RecoveryDelivery, Work, apply, authorise
from volward.errors import (
    ConfirmationError,
    KeyExistsError,
    NoTerminalError,
    UnfinishedOperationError,
    VerificationError,
    VolwardError,
)
from volward.header_backup.facts import mark_of
from volward.keys import header_token
from volward.keys.ages import TYPED, current, stored_kinds
from volward.keys.providers import Providers
from volward.keys.source import KeyRef, KeySource
from volward.model import (
    Action,
    Header,
    Observation,
    ProviderKind,
    Rotation,
    RotationPlan,
    Step,
    VaultServer,
    VolumeSpec,
)
from volward.observe import observe
from volward.operations import header_backup, login_life, rewrapping
from volward.operations.enrolment import provable_header
from volward.operations.proof import doubts
from volward.operations.unfinished import refuse_other_header
from volward.operations.watcher import Watcher
from volward.os_errors import explained
from volward.plan.rotation import Wish, as_plan, plan_rotation, settled_header
from volward.plan.rotation_steps import steps_left
from volward.verify import verify_rotation

_MOST_AT_ONCE = 8  # rotations of one volume in one run: each provider has one turn


@dataclass(frozen=True)
class Looked:
    """What a rotation would do to one volume, or the error that forbids it."""

    spec: VolumeSpec
    plan: RotationPlan | None = None
    resumes: str = ""  # the operation that is finished first
    error: VolwardError | None = None


@dataclass(frozen=True)
class Rotated:
    """How it ended for one volume; ``plans`` are those that were carried out."""

    volume: str
    plans: tuple[RotationPlan, ...] = ()
    nothing_because: str = ""
    resumed: str = ""
    remarks: tuple[str, ...] = ()
    error: VolwardError | None = None


@dataclass(frozen=True)
class Pass:
    """What the rotations of one run share."""

    wish: Wish
    recovery: RecoveryDelivery | None
    watcher: Watcher
    approved: Set[str]  # volumes whose destructive plan was confirmed; the timer's needs no confirmation
    deadline_seconds: float
    ask_recovery: bool = False  # no provider opens the volume any more: the typed recovery key authorises
    clock: Callable[[], float] = time.time


def look(spec: VolumeSpec, wish: Wish) -> Looked:
    """Look at a volume and plan its rotation; changes nothing and needs no secret."""
    try:
        with explained(f"Looking at {spec.name}"):
            plan, record = _planned(spec, observe(spec), wish, time.time)
    except VolwardError as error:
        return Looked(spec, error=error)
    return Looked(spec, plan, record.operation if record else "")


def rotate(specs: Sequence[VolumeSpec], shared: Pass) -> tuple[Rotated, ...]:
    """Rotate keys volume by volume; an outcome a volume, in the order given."""
    with Providers() as providers:
        done = tuple(_Rotating(spec, shared, providers).run() for spec in specs)
        return _with_login_warnings(specs, done, shared, providers) if shared.wish.due else done


def _with_login_warnings(
    specs: Sequence[VolumeSpec], done: Sequence[Rotated], shared: Pass, providers: Providers
) -> tuple[Rotated, ...]:
    """Look, once a day, how long the logins last: one that is over is noticed at the next boot otherwise."""
    users: dict[VaultServer, list[str]] = {}
    for spec in specs:
        if spec.vault is not None:
            users.setdefault(spec.vault.server, []).append(spec.name)
    told: dict[str, tuple[str, ...]] = {}
    for server, names in users.items():
        said = login_life.warnings(server, names, providers, deadline_seconds=shared.deadline_seconds)
        told |= dict.fromkeys(names, said)
    return tuple(replace(one, remarks=one.remarks + told.get(one.volume, ())) for one in done)


def _planned(
    spec: VolumeSpec, seen: Observation, wish: Wish, clock: Callable[[], float]
) -> tuple[RotationPlan, journal.Record | None]:
    record = journal.unfinished_rotation(spec.name)
    if record is None:
        return plan_rotation(spec, seen, wish, int(clock())), None
    header, rotation = settled_header(spec, seen), record.as_rotation()
    refuse_other_header(record, header)
    if wish.at_once and not rotation.at_once and rotation.provider is _wished(spec, header, wish):
        raise UnfinishedOperationError(
            f"{record.operation} has not ended, and would only retire the key that is to be removed at once.",
            resolution=f"`volward abort {record.operation}` makes that key current again; then run the same command.",
        )
    actions = steps_left(rotation, header, record.ever_announced)
    return as_plan(spec, header, rotation, actions, int(clock())), record


def _wished(spec: VolumeSpec, header: Header, wish: Wish) -> ProviderKind | None:
    """Return whose key is meant."""
    return wish.provider or next((kind for kind in stored_kinds(spec) if current(header, kind)), None)


class _Rotating:
    """One volume's rotations in one run."""

    def __init__(self, spec: VolumeSpec, shared: Pass, providers: Providers) -> None:
        self._spec = spec
        self._shared = shared
        self._providers = providers
        self._done: list[RotationPlan] = []
        self._remarks: tuple[str, ...] = ()
        self._resumed = ""
        self._more = False  # what was done is not all that was wished

    def run(self) -> Rotated:
        name, nothing, error = self._spec.name, "", None
        try:
            with explained(f"Rotating the key of {name}"), lock.held(name):
                for _ in range(_MOST_AT_ONCE):
                    nothing = self._once()
                    if nothing or not self._more:
                        break
        except VolwardError as raised:
            error = raised
            audit.record("rotate", name, audit.Outcome.FAILED, f"{name}: {raised}", code=raised.code)
        return Rotated(name, tuple(self._done), "" if self._done else nothing, self._resumed, self._remarks, error)

    def _once(self) -> str:
        """Carry one rotation out, or return why there is none. One that was cut comes first, then the wished one."""
        seen = observe(self._spec)
        plan, record = _planned(self._spec, seen, self._shared.wish, self._shared.clock)
        if plan.rotation is None:
            return plan.nothing_because
        self._refuse_unasked(plan, plan.rotation)
        header, wish = provable_header(self._spec, seen), self._shared.wish
        is_wished = wish.provider in (None, plan.rotation.provider)
        if wish.at_once:
            is_wished = plan.rotation.at_once and plan.rotation.provider is _wished(self._spec, header, wish)
        self._more = wish.due or (record is not None and not is_wished)
        with Work.on(self._spec, seen, self._providers) as work:
            work.recovery, work.deadline_seconds = self._shared.recovery, self._shared.deadline_seconds
            work.ask_recovery = self._shared.ask_recovery
            work.clock = self._shared.clock
            if record is None:
                work.rotation = replace(
                    self._with_place(plan.rotation, seen, work),
                    revoked_marks=_revoked_marks(header, plan.rotation),
                )
                authorise(work)
                operation = journal.begin(
                    journal.ROTATE, self._spec.name, journal.rotation_facts(work.rotation, header.uuid)
                )
            else:
                work.rotation, work.resumes_rotation = plan.rotation, True
                work.announced = record.ever_announced
                operation, self._resumed = journal.resume(record), record.operation
            self._carry_out(plan.actions, work, operation)
            self._finish(seen, work.rotation, work)
        operation.end("done")
        self._done.append(plan)
        return ""

    def _refuse_unasked(self, plan: RotationPlan, rotation: Rotation) -> None:
        name, shared = self._spec.name, self._shared
        if plan.destructive and not shared.wish.due and (name not in shared.approved or self._done):
            # What was shown was the first plan: the one that was cut, where there was one.
            so_far = f"{self._resumed} was finished, and nothing else was done." if self._done else "Nothing was done."
            raise ConfirmationError(
                f"The rotation of {name} would remove a keyslot, and that was not confirmed.",
                resolution=f"{so_far} Run the same command with --plan and look again, then without.",
            )
        makes_one = any(action.step is Step.CREATE_SUCCESSOR for action in plan.actions)
        if makes_one and rotation.provider is ProviderKind.RECOVERY and shared.recovery is None:
            raise NoTerminalError(
                f"A recovery key of {name} has to be shown to somebody, and there is no terminal.",
                resolution="Run the command on a terminal, or use --recovery-fd with an escrow.",
            )

    def _with_place(self, rotation: Rotation, seen: Observation, work: Work) -> Rotation:
        """Choose where the new key is going to be: the version after every one that header or store knows.

        A key that an aborted rotation left in the store is passed over: nothing says who has seen it since.
        """
        rotation = replace(rotation, begun_at=int(self._shared.clock()))
        kind = rotation.provider
        if kind is None or kind in TYPED or kind is ProviderKind.TPM2:
            return rotation
        source = self._providers.source(kind, self._spec)
        ref = self._newest(source, seen, work)
        successor = source.next_ref(ref, deadline_seconds=work.deadline_seconds)
        return replace(
            rotation,
            successor_name=successor.name,
            successor_version=successor.version,
            successor_details=dict(successor.details),
        )

    def _newest(self, source: KeySource, seen: Observation, work: Work) -> KeyRef:
        described = header_token.of_provider(seen.header, source.provider) if seen.header else ()
        present = next(one.ref for one in described if one.retired is None)
        stored = source.refs(self._spec.name, deadline_seconds=work.deadline_seconds)
        same = [ref for ref in (*stored, *(one.ref for one in described)) if ref.name == present.name]
        newest = max(same, key=lambda ref: ref.version)
        for ref in stored:
            if ref.name == present.name and ref.version > max(one.ref.version for one in described):
                self._remarks += (f"{ref} is in its store and opens no keyslot here; it is passed over.",)
        return replace(present, version=newest.version)

    def _carry_out(self, actions: Sequence[Action], work: Work, operation: journal.Operation) -> None:
        name, watcher = self._spec.name, self._shared.watcher
        for action in actions:
            watcher.refuse_when_interrupted(f"{name}: {action.what}")
            watcher.step(name, action)
            operation.begin_step(action.name)
            work.announce = partial(operation.announce, action.name)
            try:
                apply(action, work)
            except BaseException as error:
                watcher.step_failed(name, action)
                if action.step is Step.CREATE_SUCCESSOR and _left_nothing(error, action, work):
                    operation.end("no key was made")
                raise
            operation.end_step(action.name)
            watcher.step_done(name, action)

    def _finish(self, before: Observation, rotation: Rotation, work: Work) -> None:
        """Look again and compare; show that the volume's other providers still open it; back the header up."""
        header = provable_header(self._spec, before)
        after = provable_header(self._spec, observe(self._spec))
        found = verify_rotation(self._spec.name, header, after, rotation)
        if found:
            raise VerificationError(
                f"The header of {self._spec.name} is not as planned: {'; '.join(map(str, found))}.",
                resolution=f"`volward status {self._spec.name}` shows it; the keys that it lists open the volume.",
            )
        self._remarks += work.remarks + work.degraded + doubts(self._spec, after, rotation.provider, work)
        self._remarks += rewrapping.of_backups(
            self._spec, rotation.provider, self._providers, deadline_seconds=work.deadline_seconds
        )
        # Before the operation's end: a run that is cut here does it when it is resumed.
        self._remarks += header_backup.after_change(
            self._spec,
            self._providers,
            deadline_seconds=work.deadline_seconds,
            held=[held.key for held in work.keys.values()],
            revoked=rotation.revoked_marks,
        )


def _revoked_marks(header: Header, rotation: Rotation) -> tuple[str, ...]:
    """Return by what a backup knows the keys that open no keyslot any more once the rotation is done; "" if by nothing.

    A key without a mark is one whose keyslot goes, since no other keyslot tells of it.
    """
    doomed = {*rotation.revoked, *(rotation.old if rotation.at_once else ())}
    described = [content for _, content in header_token.all_of(header)]
    stay = {mark_of(one) for one in described if not doomed.issuperset(one.keyslots)} - {""}
    return tuple(sorted({mark_of(one) for one in described if doomed.issuperset(one.keyslots)} - stay))


def _left_nothing(error: BaseException, action: Action, work: Work) -> bool:
    """Whether a key that could not be made is nothing to go on with: nobody has it, or it is somebody else's."""
    typed = action.provider in TYPED and isinstance(error, VolwardError)
    return (typed and not work.announced) or (isinstance(error, KeyExistsError) and not work.resumes_rotation)
