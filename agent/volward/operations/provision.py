"""provision: lead volumes from what is there to open, mounted and ready; journaled, resumable.

Two halves with one `systemctl daemon-reload` between them, which costs a second or more: first everything up
to the unit files for each volume, then the mounts. Locks are held from the last look to the verification.
"""

import contextlib
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

from volward import journal, lock
from volward.apply import RecoveryDelivery, Work, apply
from volward.errors import ConfirmationError, InterruptedRunError, NotBlankError, VerificationError, VolwardError
from volward.host import boot, systemd
from volward.model import Action, BlankProbe, Observation, Plan, Presence, Step, StoreKind, VolumeSpec
from volward.observe import observe
from volward.plan import Goal, plan_scratch, plan_volume
from volward.verify import verify

_KEY_STEPS = frozenset({Step.REMOVE_KEYSLOT, Step.ENROL_KEY, Step.ENROL_TPM2, Step.ENROL_RECOVERY})
_AFTER_RELOAD = frozenset({Step.MOUNT, Step.SWAP_ON, Step.PREPARE_STORE})


@dataclass(frozen=True)
class Prepared:
    """A volume with what was seen of it and what is going to be done; or the error that forbids it."""

    spec: VolumeSpec
    seen: Observation | None
    plan: Plan | None
    error: VolwardError | None = None


@dataclass(frozen=True)
class Outcome:
    """How it ended for one volume."""

    volume: str
    error: VolwardError | None
    warnings: tuple[str, ...] = ()


class Watcher:
    """Told of each step; the command line draws progress from it and says when to stop."""

    def step(self, volume: str, action: Action) -> None:
        """An action begins."""

    def step_done(self, volume: str, action: Action) -> None:
        """An action has ended well."""

    def interrupted(self) -> bool:
        """Say whether the person asked to stop; then no further action is begun."""
        return False


def prepare(spec: VolumeSpec, goal: Goal, *, can_hand_over_recovery: bool, overwrite: bool = False) -> Prepared:
    """Look at a volume and plan it; the error that forbids it is returned, so that others can go on."""
    try:
        seen = seen_with_journal(spec, prove_blank=goal is Goal.PROVISION)
        plan = plan_for(spec, seen, goal, can_hand_over_recovery=can_hand_over_recovery, overwrite=overwrite)
    except VolwardError as error:
        return Prepared(spec, None, None, error)
    return Prepared(spec, seen, plan)


def seen_with_journal(spec: VolumeSpec, *, prove_blank: bool = False) -> Observation:
    """Look at a volume and at what its unfinished operations were about to do. Raises JournalError."""
    return replace(observe(spec, prove_blank=prove_blank), announced=journal.announced(spec.name))


def plan_for(
    spec: VolumeSpec, seen: Observation, goal: Goal, *, can_hand_over_recovery: bool, overwrite: bool = False
) -> Plan:
    """Plan by the kind of volume. Raises what the planner raises."""
    seen = _as_if_blank(spec, seen) if overwrite else seen
    if spec.store is StoreKind.SCRATCH:
        return plan_scratch(spec, seen, goal)
    return plan_volume(spec, seen, goal, can_hand_over_recovery=can_hand_over_recovery)


def _as_if_blank(spec: VolumeSpec, seen: Observation) -> Observation:
    """The owner typed the device's identity: what is on it counts for nothing, unless it cannot be read.

    Raises NotBlankError for a device that is pinned: what is on it is the volume itself.
    """
    if seen.pin is not None:
        raise NotBlankError(
            f"{spec.device} is the pinned device of {spec.name}; --overwrite is for devices of unknown content.",
            resolution="Leave --overwrite out. To give the volume up, erase it first.",
        )
    if seen.probe is None or seen.probe.content is Presence.UNKNOWN:
        return seen
    return replace(
        seen, probe=BlankProbe(Presence.ABSENT), header=None, header_presence=Presence.ABSENT, scratch_uuid=""
    )


def provision(
    specs: Sequence[VolumeSpec],
    *,
    recovery: RecoveryDelivery | None,
    watcher: Watcher,
    approved: Set[str],
    overwrite: Set[str] = frozenset(),
) -> tuple[Outcome, ...]:
    """Provision volumes one after another. ``approved`` names those whose destructive plan was confirmed,
    ``overwrite`` those whose device's identity was typed out.

    Each volume is locked, looked at and planned again here, since the confirmed plan may be old: a plan that
    has become destructive without approval is not carried out. Returns an outcome a volume; an interruption
    is the outcome of the volumes that were not finished.
    """
    with contextlib.ExitStack() as stack:
        running: list[_Running] = []
        outcomes: dict[str, Outcome] = {}
        for spec in specs:
            one = _Running(spec, watcher)
            try:
                stack.enter_context(lock.held(spec.name))
                one.begin(recovery, stack, approved=spec.name in approved, overwrite=spec.name in overwrite)
                one.until(lambda step: step in _AFTER_RELOAD)
                running.append(one)
            except VolwardError as error:
                outcomes[spec.name] = Outcome(spec.name, error)
        _have_systemd_read(running)
        for one in running:
            try:
                one.until(lambda _: False)
                one.finish()
                outcomes[one.spec.name] = Outcome(one.spec.name, None, one.warnings)
            except VolwardError as error:
                outcomes[one.spec.name] = Outcome(one.spec.name, error)
        return tuple(outcomes[spec.name] for spec in specs)


def _have_systemd_read(running: Sequence["_Running"]) -> None:
    """One reload for a whole pass; enabling the boot unit includes one."""
    unit = boot.unit()
    at_boot = any(one.spec.open_at_boot for one in running)
    if at_boot and not (unit.current and boot.enabled()):
        unit.write()
        boot.enable()
    elif any(one.wrote_units for one in running):
        systemd.reload()


class _Running:
    """One volume's provisioning while it runs."""

    def __init__(self, spec: VolumeSpec, watcher: Watcher) -> None:
        self.spec = spec
        self.watcher = watcher
        self.wrote_units = False
        self.warnings: tuple[str, ...] = ()
        self._pending: list[Action] = []

    def begin(
        self,
        recovery: RecoveryDelivery | None,
        stack: contextlib.ExitStack,
        *,
        approved: bool,
        overwrite: bool,
    ) -> None:
        """Look, plan, and open the journal: a new operation's, or the one of the run that was cut short."""
        seen = seen_with_journal(self.spec, prove_blank=True)
        plan = plan_for(
            self.spec, seen, Goal.PROVISION, can_hand_over_recovery=recovery is not None, overwrite=overwrite
        )
        if plan.destructive and not approved:
            raise ConfirmationError(
                f"The plan for {self.spec.name} became destructive while it waited to be confirmed.",
                resolution="Nothing was done. Run `volward plan` and look again.",
            )
        self._pending = list(plan.actions)
        self.warnings = plan.warnings
        self._work = stack.enter_context(Work.on(self.spec, seen))
        self._work.recovery, self._work.overwrite = recovery, overwrite
        self._operation = self._journal()

    def _journal(self) -> journal.Operation | None:
        """A volume that is only opened and mounted has nothing to journal: each step is seen on the host."""
        unfinished = journal.unfinished(self.spec.name)
        for verb in (journal.PROVISION, journal.ENROL):
            earlier = [r for r in unfinished if r.verb == verb]
            if earlier:
                # A run that was cut may have written units that systemd has not read.
                self.wrote_units = Step.WRITE_UNITS in earlier[-1].steps_begun
                return journal.resume(earlier[-1])
        steps = {action.step for action in self._pending}
        if Step.FORMAT in steps:
            facts = journal.provisioning_facts(self._work.identity, self._work.luks_uuid, self._work.file_system_uuid)
            return journal.begin(journal.PROVISION, self.spec.name, facts)
        if steps & _KEY_STEPS:
            return journal.begin(journal.ENROL, self.spec.name, {"luks_uuid": self._work.luks_uuid})
        return None

    def until(self, is_barrier: Callable[[Step], bool]) -> None:
        """Do the pending actions up to the first that has to wait. Raises what an action raises."""
        while self._pending and not is_barrier(self._pending[0].step):
            if self.watcher.interrupted():
                raise InterruptedRunError(
                    f"Interrupted before this step of {self.spec.name}: {self._pending[0].what}.",
                    resolution="Run the same command again; it goes on from there.",
                )
            action = self._pending.pop(0)
            self.watcher.step(self.spec.name, action)
            if self._operation:
                self._operation.begin_step(action.name)
                self._work.announce = partial(self._operation.announce, action.name)
            apply(action, self._work)
            if self._operation:
                self._operation.end_step(action.name)
            self.wrote_units = self.wrote_units or action.step is Step.WRITE_UNITS
            self.watcher.step_done(self.spec.name, action)

    def finish(self) -> None:
        """Look again, compare with the plan, and close the journal. Raises VerificationError."""
        found = verify(self.spec, observe(self.spec), provisioned=True)
        if found:
            raise VerificationError(
                f"{self.spec.name} is not as planned: {'; '.join(map(str, found))}.",
                resolution=f"`volward status {self.spec.name}` shows it; `volward apply` goes on from there.",
            )
        if self._operation:
            self._operation.end("done")
